"""``/metrics`` for Prometheus."""

from ipaddress import ip_address, ip_network
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import HTTPAuthorizationCredentials
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from parcela.api.dependencies.caller import bearer, client_address, get_current_user
from parcela.api.dependencies.uow import AppServices
from parcela.api.errors import problem_responses
from parcela.core.permissions import Permission
from parcela.core.settings import Settings

router = APIRouter(tags=["system"])
FORWARDED = ("x-forwarded-for", "forwarded")


def _is_near(request: Request, settings: Settings) -> bool:
    """Whether the scrape comes from an address that may read metrics without a token.

    A request through a reverse proxy that is not trusted has the proxy's address, often this machine's own: it is
    anybody's.
    """
    if not settings.trusted_proxies and any(name in request.headers for name in FORWARDED):
        return False
    try:
        address = ip_address(client_address(request))
    except ValueError:
        return False
    return any(address in ip_network(network, strict=False) for network in settings.metrics_allowed)


async def _check_scraper(
    request: Request,
    services: AppServices,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> None:
    if credentials is None and _is_near(request, services.settings):
        return
    caller = await get_current_user(request, credentials)
    caller.require(Permission.SYSTEM_READ)


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    dependencies=[Depends(_check_scraper)],
    response_class=Response,
    responses=problem_responses(401, 403)
    | {200: {"description": "Metrics", "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(services: AppServices) -> Response:
    """From an address of `PARCELA_METRICS_ALLOWED` without a token, else with the permission `system:read`."""
    return Response(await services.observing.scrapes.scrape(), media_type=CONTENT_TYPE_LATEST)
