"""What the HTML edge has besides the services; built once by ``include_web``."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import FastAPI, Request

from parcela.core.cookies import SESSION_COOKIE
from parcela.core.errors import ErrorKind, ParcelaError
from parcela.services.access import Caller
from parcela.services.container import Services
from parcela.services.identity.sessions import TokenPair
from parcela.web.rendering import Renderer
from parcela.web.session import Refresher

StatusOf = Callable[[Request, Exception], Awaitable[int]]


@dataclass(frozen=True)
class Site:
    """Templates, the exchange of refresh tokens, and the HTTP status of an error."""

    renderer: Renderer
    refresher: Refresher
    status_of: StatusOf


def build_site(app: FastAPI, renderer: Renderer, status_of: StatusOf) -> Site:
    """The services exist only once the application has started, so they are looked up when they are needed."""

    async def refresh(token: str, address: str) -> TokenPair:
        services: Services = app.state.services
        return await services.auth.refresh(token, address)

    return Site(renderer, Refresher(refresh), status_of)


def site_of(request: Request) -> Site:
    """The site of the application that serves a request."""
    site: Site = request.app.state.site
    return site


def client_address(request: Request) -> str:
    """Address of the client; the server has already believed the trusted proxies only."""
    return request.client.host if request.client else "unknown"


async def who(request: Request) -> Caller | None:
    """The person behind the session cookie; None for strangers, personal tokens, and when the session has ended."""
    token = request.cookies.get(SESSION_COOKIE)
    if not token:
        return None
    services: Services = request.app.state.services
    try:
        caller = await services.auth.authenticate(token, address=client_address(request))
    except ParcelaError as exc:
        if exc.kind is not ErrorKind.UNAUTHENTICATED:
            raise  # a database that is away has signed nobody out
        return None
    # As the pages see it: else the login page would send the holder of a personal token back and forth for ever.
    return caller if caller.scopes is None else None
