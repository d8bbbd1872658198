"""Sessions of the older families that browsers keep in a cookie: who calls, and what a login leaves behind.

Each family has a cookie of its own, which only its routes accept. A cookie goes along with requests that pages of other
sites make, so writes and WebSockets are refused to those pages (``origin.py``).
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import structlog
from fastapi import Depends, Request, Response
from fastapi.security import HTTPAuthorizationCredentials
from starlette.requests import HTTPConnection

from parcela.api.compat.origin import refuse_foreign_origin
from parcela.api.dependencies.caller import bearer, client_address
from parcela.core.errors import ErrorKind, ParcelaError, unauthenticated
from parcela.services.access import Caller
from parcela.services.container import Services

log = structlog.get_logger(__name__)
READING = frozenset({"GET", "HEAD"})
ENDED = frozenset({ErrorKind.UNAUTHENTICATED, ErrorKind.FORBIDDEN})
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]


@dataclass(frozen=True, slots=True)
class SessionCookie:
    """The cookie of a family.

    Attributes:
        name: of the cookie.
        login: the route that sets it, for people who have none, e.g. ``POST /auth/login``.
        path: addresses that browsers send it to.
        same_site: whether links of other sites take it along (``lax``) or nothing does (``strict``).
    """

    name: str
    login: str
    path: str = "/"
    same_site: Literal["lax", "strict"] = "lax"

    def keep(self, request: Request, response: Response, token: str, max_age_s: int | None = None) -> None:
        """Give the browser a session's access token, until it is closed unless ``max_age_s`` is given."""
        secure = request.url.scheme == "https"  # a lab without TLS must be able to log in too
        response.set_cookie(
            self.name, token, max_age_s, path=self.path, secure=secure, httponly=True, samesite=self.same_site
        )

    def take_back(self, response: Response) -> None:
        """Have the browser forget it."""
        response.delete_cookie(self.name, path=self.path)

    async def caller(self, connection: HTTPConnection, services: Services) -> Caller:
        """Who calls by this cookie, in a request or in the handshake of a WebSocket.

        Raises:
            ParcelaError: kind ``unauthenticated``; or ``forbidden`` (``foreign_origin``) for anything but a read that a
                page of another site made a browser send.
        """
        token = connection.cookies.get(self.name)
        if not token:
            raise unauthenticated("session_missing", f"Log in first: {self.login}.")
        # A handshake has no method. What it opens can be read by any page: WebSockets know no CORS.
        if connection.scope.get("method") not in READING:
            await refuse_foreign_origin(connection)
        caller = await services.auth.authenticate(token, address=client_address(connection))
        if caller.scopes is not None:
            # A personal token is for programs; as a cookie, its owner never gave it to this browser.
            raise unauthenticated("session_missing", f"Log in with your password: {self.login}.")
        return caller

    async def caller_or_bearer(
        self, request: Request, services: Services, credentials: HTTPAuthorizationCredentials | None
    ) -> Caller:
        """Who calls by a bearer token, which goes before the cookie, or by the cookie; raises as ``caller``."""
        if credentials is None:
            return await self.caller(request, services)
        return await services.auth.authenticate(credentials.credentials, address=client_address(request))

    async def caller_or_nobody(
        self, request: Request, services: Services, credentials: HTTPAuthorizationCredentials | None
    ) -> Caller | None:
        """As ``caller_or_bearer``, but None for strangers.

        A bad bearer token is an error, not nobody. A cookie of a session that has ended is nobody: browsers send it
        along until they are closed, also where somebody wants to register.
        """
        try:
            return await self.caller_or_bearer(request, services, credentials)
        except ParcelaError as exc:
            if credentials is not None or exc.kind is not ErrorKind.UNAUTHENTICATED:
                raise
            return None

    async def prolong(self, request: Request, response: Response, services: Services) -> None:
        """Give the browser a newer token of its session, where half the life of the one that it has is over."""
        try:
            newer = await services.prolonging.prolong(request.cookies[self.name])
        except ParcelaError as exc:
            # The session is good for a while yet, and what was asked for may be a read that needs no writable disk.
            log.warning("session.not_prolonged", code=exc.code)
            return
        if newer is not None:
            self.keep(request, response, newer)

    async def end_session(self, connection: HTTPConnection, services: Services) -> None:
        """End the session that this browser has. Without a good one there is nothing to do."""
        token = connection.cookies.get(self.name)
        if not token:
            return
        try:
            await services.auth.logout(await services.auth.authenticate(token, client_address(connection)))
        except ParcelaError as exc:
            if exc.kind not in ENDED:
                raise  # a database that is away has ended nothing
