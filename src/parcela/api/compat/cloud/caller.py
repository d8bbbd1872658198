"""Who calls: the session's cookie, or a bearer token as everywhere else."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyCookie

from parcela.api.compat.cookies import Credentials, SessionCookie
from parcela.api.dependencies.uow import AppServices
from parcela.core.cookies import REFRESH_COOKIE, REFRESH_PATH, SESSION_COOKIE
from parcela.services.access import Caller

COOKIE = SessionCookie(SESSION_COOKIE, login="POST /auth/login")
REFRESH = SessionCookie(REFRESH_COOKIE, login=COOKIE.login, path=REFRESH_PATH)
SCHEME = APIKeyCookie(name=COOKIE.name, auto_error=False, description=f"Set by `{COOKIE.login}`")
Documented = Annotated[str | None, Depends(SCHEME)]


async def get_cloud_caller(
    request: Request, services: AppServices, credentials: Credentials, _session: Documented
) -> Caller:
    """The caller; a bearer token goes before the cookie.

    Raises:
        ParcelaError: kind ``unauthenticated``; or ``forbidden`` (``foreign_origin``) for a write with the cookie that a
            page of another site made a browser send.
    """
    return await COOKIE.caller_or_bearer(request, services, credentials)


CloudCaller = Annotated[Caller, Depends(get_cloud_caller)]
