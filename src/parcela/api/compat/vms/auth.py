"""``POST /login`` with a JSON body; a form is for the page of the same address."""

from fastapi import Request, Response

from parcela.api.compat.vms.errors import SharedVmsRoute, errors
from parcela.api.compat.vms.schemas import Login, Session
from parcela.api.dependencies.origins import keep_device, origin_of
from parcela.api.dependencies.uow import AppServices
from parcela.api.routing import json_router

router = json_router(tags=["vms"], route_class=SharedVmsRoute)


@router.post("/login", summary="Log in (vms)", responses=errors(400, 401, 413, 422, 429))
async def login(body: Login, request: Request, response: Response, services: AppServices) -> Session:
    """Log in with an e-mail address and a password."""
    response.headers["Cache-Control"] = "no-store"
    pair = await services.auth.login_from(body.email, body.password, origin_of(request), code=body.totp_code)
    keep_device(request, response, services, pair.device)
    return Session(
        token=pair.access_token,
        access_token=pair.access_token,
        token_type=pair.token_type,
        expires_in=pair.expires_in_s,
    )
