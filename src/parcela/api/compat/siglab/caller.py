"""Who calls: a bearer token, or the cookie that a login leaves, for pages that send no token."""

from typing import Annotated

from fastapi import Depends, Request, Response
from fastapi.security import APIKeyCookie

from parcela.api.compat.cookies import Credentials, SessionCookie
from parcela.api.dependencies.uow import AppServices
from parcela.core.cookies import SIGLAB_COOKIE
from parcela.core.permissions import Permission
from parcela.services.access import Caller

# The pages' way to leave tells the server nothing, and labs share their machines: the cookie ends with the browser at
# the latest, and no link or form of another site takes it along.
COOKIE = SessionCookie(SIGLAB_COOKIE, login="POST /api/auth/login", path="/api/", same_site="strict")
SCHEME = APIKeyCookie(name=COOKIE.name, auto_error=False, description=f"Set by `{COOKIE.login}`")
Documented = Annotated[str | None, Depends(SCHEME)]


async def get_siglab_caller(
    request: Request, response: Response, services: AppServices, credentials: Credentials, _session: Documented
) -> Caller:
    """The caller; a bearer token goes before the cookie, which lasts as long as somebody works with it.

    Raises:
        ParcelaError: kind ``unauthenticated``; or ``forbidden`` (``foreign_origin``) for a write with the cookie that a
            page of another site made a browser send.
    """
    caller = await COOKIE.caller_or_bearer(request, services, credentials)
    if credentials is None:
        await COOKIE.prolong(request, response, services)
    return caller


async def get_optional_caller(
    request: Request, services: AppServices, credentials: Credentials, _session: Documented
) -> Caller | None:
    """The same; None for strangers."""
    return await COOKIE.caller_or_nobody(request, services, credentials)


SiglabCaller = Annotated[Caller, Depends(get_siglab_caller)]
OptionalCaller = Annotated[Caller | None, Depends(get_optional_caller)]


class Requires:
    """Dependency that lets only callers with a right through, and gives the caller."""

    def __init__(self, permission: Permission) -> None:
        """Name the right."""
        self.permission = permission

    async def __call__(self, caller: SiglabCaller) -> Caller:
        """Check it."""
        caller.require(self.permission)
        return caller
