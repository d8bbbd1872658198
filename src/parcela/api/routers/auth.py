"""Logging in and out."""

from dataclasses import replace

from fastapi import Request, Response

from parcela.api.dependencies.caller import CurrentCaller, client_address
from parcela.api.dependencies.origins import keep_device, origin_of
from parcela.api.dependencies.uow import AppServices
from parcela.api.errors import problem_responses
from parcela.api.routing import v1_router
from parcela.api.schemas.auth import LoginRequest, RefreshRequest, TokenPairRead
from parcela.services.container import Services

router = v1_router(tags=["auth"])
NO_STORE = {"Cache-Control": "no-store"}
"""Answers that hold a secret are kept by nobody on the way."""


async def open_session(
    body: LoginRequest, request: Request, response: Response, services: Services, *, speaks_vm_api: bool = False
) -> TokenPairRead:
    """Open a session; ``speaks_vm_api``: for a client of that older API."""
    response.headers.update(NO_STORE)
    origin = replace(origin_of(request), speaks_vm_api=speaks_vm_api)
    pair = await services.auth.login_from(body.identifier, body.password, origin, code=body.totp_code)
    keep_device(request, response, services, pair.device)
    return TokenPairRead.model_validate(pair)


@router.post("/login", responses=problem_responses(400, 401, 413, 422, 429))
async def login(body: LoginRequest, request: Request, response: Response, services: AppServices) -> TokenPairRead:
    """Log in with an e-mail address or username and a password.

    An account with a second factor needs `totp_code` too: without it the answer is 401 with the code `totp_required`
    (and the password was right), with a wrong one 401 with `bad_code`.
    """
    return await open_session(body, request, response, services)


@router.post("/token/refresh", responses=problem_responses(400, 401, 413, 422))
async def refresh(body: RefreshRequest, request: Request, response: Response, services: AppServices) -> TokenPairRead:
    """Exchange a refresh token for new tokens. Using one twice ends the session."""
    response.headers.update(NO_STORE)
    pair = await services.auth.refresh(body.refresh_token, client_address(request))
    return TokenPairRead.model_validate(pair)


@router.post("/logout", status_code=204, responses=problem_responses(401, 403))
async def logout(caller: CurrentCaller, services: AppServices) -> None:
    """End the session: its tokens are worth nothing from now on."""
    await services.auth.logout(caller)
