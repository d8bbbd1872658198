"""Who is calling: bearer token or nothing. Rights are ``Annotated`` dependencies, never URL text."""

from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import HTTPConnection, Request

from parcela.api.dependencies.uow import get_services
from parcela.core.errors import ErrorKind, ParcelaError, unauthenticated
from parcela.core.permissions import Permission
from parcela.services.access import Caller

bearer = HTTPBearer(auto_error=False, description="A session token from `POST /api/v1/login`, or a personal token")


def client_address(connection: HTTPConnection) -> str:
    """Address of the client; the middleware has already believed the trusted proxies only."""
    return connection.client.host if connection.client else "unknown"


async def get_current_user(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> Caller:
    """The caller behind the bearer token.

    Raises:
        ParcelaError: kind ``unauthenticated`` when it is missing, forged, expired or revoked.
    """
    if credentials is None:
        raise unauthenticated("token_missing", "Log in first: send 'Authorization: Bearer <token>'.")
    services = await get_services(request)
    return await services.auth.authenticate(credentials.credentials, address=client_address(request))


async def get_optional_user(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> Caller | None:
    """The caller behind the bearer token; None when there is none. A bad one is an error, not nobody."""
    return None if credentials is None else await get_current_user(request, credentials)


async def get_health_reader(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> bool:
    """Whether the caller may read the details of health; False as well while the database is away.

    Raises:
        ParcelaError: kind ``unauthenticated`` for a token that is forged, expired or revoked.
    """
    try:
        caller = await get_optional_user(request, credentials)
    except ParcelaError as exc:
        if exc.kind is not ErrorKind.UNAVAILABLE:
            raise
        return False
    return caller is not None and caller.can(Permission.SYSTEM_READ)


HealthReader = Annotated[bool, Depends(get_health_reader)]
OptionalCaller = Annotated[Caller | None, Depends(get_optional_user)]
CurrentCaller = Annotated[Caller, Depends(get_current_user)]


class Requires:
    """Dependency that lets only callers with a right through, and gives the caller."""

    def __init__(self, permission: Permission) -> None:
        """Name the right."""
        self.permission = permission

    async def __call__(self, caller: CurrentCaller) -> Caller:
        """Check it."""
        caller.require(self.permission)
        return caller
