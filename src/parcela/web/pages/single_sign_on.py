"""Signing in at the identity provider: there and back."""

from typing import Annotated

from fastapi import Query, Request, Response

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.core.sites import own_site
from parcela.services.container import Services
from parcela.web.dependencies.uow import AppServices
from parcela.web.dependencies.view import StrangerView, View, see_other
from parcela.web.errors import words_of
from parcela.web.pages.login import admit, login_form, origin_of
from parcela.web.routes import web_router
from parcela.web.session import OIDC_COOKIE, OIDC_PATH, keep_box, local_path
from parcela.web.site import site_of

router = web_router()
FLOW_S = 600
ANSWER = ("state", "code", "error", "iss")
MAX_VALUE_CHARS = 4096
SHOWN = frozenset({ErrorKind.UNAUTHENTICATED, ErrorKind.UNAVAILABLE, ErrorKind.UNSUPPORTED, ErrorKind.CONFLICT})


@router.get("/auth/oidc/start")
async def start(
    request: Request, services: AppServices, view: StrangerView, wanted: Annotated[str, Query(alias="next")] = "/"
) -> Response:
    """Send the browser to the provider. A link and no form: nothing of ours changes."""
    target = local_path(wanted)
    try:
        address, box = await services.single_sign_on.start(_callback_address(request, services), target)
    except ParcelaError as exc:
        return await _refused(request, view, target, exc)
    response = see_other(address)
    keep_box(request, response, OIDC_COOKIE, box, OIDC_PATH, FLOW_S)
    return response


@router.get("/auth/oidc/callback")
async def callback(request: Request, services: AppServices, view: StrangerView) -> Response:
    """The browser comes back with the provider's answer."""
    query = request.query_params
    answer = {name: query[name] for name in ANSWER if len(query.get(name) or "") in range(1, MAX_VALUE_CHARS)}
    try:
        arrival = await services.single_sign_on.finish(request.cookies.get(OIDC_COOKIE, ""), answer, origin_of(request))
    except ParcelaError as exc:
        response = await _refused(request, view, "/", exc)
    else:
        response = admit(request, services, arrival.outcome, arrival.target)
    response.delete_cookie(OIDC_COOKIE, path=OIDC_PATH)
    return response


async def _refused(request: Request, view: View, target: str, error: ParcelaError) -> Response:
    """The sign-in page with the reason: passwords still work."""
    if error.kind not in SHOWN:
        raise error
    status = await site_of(request).status_of(request, error)
    return login_form(request, view, target, words=words_of(view.t, error), status=status)


def _callback_address(request: Request, services: Services) -> str:
    """Our address as the provider knows it; it sends nobody to one it does not know."""
    settings = services.settings
    site = own_site(str(request.base_url), settings.public_url, (settings.listen_host, settings.listen_port))
    return f"{site}{OIDC_PATH}/callback"
