"""Who calls: the session's cookie, or a bearer token as everywhere else."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials

from parcela.api.compat.cloud.origin import refuse_foreign_origin
from parcela.api.dependencies.caller import bearer, client_address
from parcela.api.dependencies.uow import AppServices
from parcela.core.cookies import SESSION_COOKIE
from parcela.core.errors import unauthenticated
from parcela.services.access import Caller

READING = frozenset({"GET", "HEAD"})
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
SessionToken = Annotated[
    str | None,
    Depends(APIKeyCookie(name=SESSION_COOKIE, auto_error=False, description="Set by `POST /auth/login`")),
]


async def get_cloud_caller(
    request: Request, services: AppServices, credentials: Credentials, session: SessionToken
) -> Caller:
    """The caller; a bearer token goes before the cookie.

    Raises:
        ParcelaError: kind ``unauthenticated``; or ``forbidden`` (``foreign_origin``) for a write with the cookie that a
            page of another site made a browser send.
    """
    address = client_address(request)
    if credentials is not None:
        return await services.auth.authenticate(credentials.credentials, address=address)
    if not session:
        raise unauthenticated("session_missing", "Log in first: POST /auth/login.")
    if request.method not in READING:
        await refuse_foreign_origin(request)
    caller = await services.auth.authenticate(session, address=address)
    if caller.scopes is not None:
        # A personal token is for programs; as a cookie, its owner never gave it to this browser.
        raise unauthenticated("session_missing", "Log in with your password: POST /auth/login.")
    return caller


CloudCaller = Annotated[Caller, Depends(get_cloud_caller)]
