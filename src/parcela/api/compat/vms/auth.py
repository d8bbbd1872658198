"""``POST /login`` with a JSON body; a form is for the page of the same address."""

from fastapi import Request, Response

from parcela.api.compat.vms.errors import SharedVmsRoute, errors
from parcela.api.compat.vms.schemas import Login, Session
from parcela.api.dependencies.caller import client_address
from parcela.api.dependencies.uow import AppServices
from parcela.api.routing import json_router

router = json_router(tags=["vms"], route_class=SharedVmsRoute)


@router.post("/login", summary="Log in (vms)", responses=errors(400, 401, 413, 422, 429))
async def login(body: Login, request: Request, response: Response, services: AppServices) -> Session:
    """Log in with an e-mail address and a password."""
    response.headers["Cache-Control"] = "no-store"
    agent = request.headers.get("user-agent", "")
    address = client_address(request)
    pair = await services.auth.login(body.email, body.password, address, code=body.totp_code, agent=agent)
    return Session(
        token=pair.access_token,
        access_token=pair.access_token,
        token_type=pair.token_type,
        expires_in=pair.expires_in_s,
    )
