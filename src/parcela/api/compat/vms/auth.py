"""``POST /login`` with a JSON body; a form is for the page of the same address."""

from dataclasses import replace

from fastapi import Request, Response

from parcela.api.compat.siglab.words import ROLE_NAMES
from parcela.api.compat.vms.errors import SharedVmsRoute, errors
from parcela.api.compat.vms.schemas import Login, Session
from parcela.api.compat.vms.sockets import VMS_SOCKETS
from parcela.api.dependencies.origins import keep_device, origin_of
from parcela.api.dependencies.uow import AppServices
from parcela.api.routing import json_router

router = json_router(tags=["vms"], route_class=SharedVmsRoute)


@router.post("/login", summary="Log in (vms)", responses=errors(400, 401, 413, 422, 429))
async def login(body: Login, request: Request, response: Response, services: AppServices) -> Session:
    """Log in with an e-mail address and a password.

    Browsers on pages of this server get a cookie too, for the WebSockets: the old pages send them nothing else.
    """
    response.headers["Cache-Control"] = "no-store"
    # The pages decide by ``rol`` in the token what they show; what they may do is read from the database.
    origin = replace(origin_of(request), roles=ROLE_NAMES)
    pair = await services.auth.login_from(body.email, body.password, origin, code=body.totp_code)
    keep_device(request, response, services, pair.device)
    VMS_SOCKETS.keep(request, response, pair.access_token)
    return Session(
        token=pair.access_token,
        access_token=pair.access_token,
        token_type=pair.token_type,
        expires_in=pair.expires_in_s,
    )
