"""``/auth``: forms, and the token of the session in a cookie that scripts cannot read.

As the original, everybody is redirected who does not say ``Accept: application/json``: a wrong login to
``/login?error=1``, whatever was wrong with it.
"""

from typing import Annotated

from fastapi import Depends, Form, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from parcela.api.compat.cloud.caller import COOKIE, REFRESH
from parcela.api.compat.cloud.errors import CloudRoute
from parcela.api.compat.cloud.schemas import Account, Entered, Left
from parcela.api.compat.negotiation import accepts_json
from parcela.api.compat.origin import refuse_foreign_origin
from parcela.api.dependencies.caller import client_address
from parcela.api.dependencies.origins import keep_device, origin_of
from parcela.api.dependencies.uow import AppServices
from parcela.api.errors import problem_responses
from parcela.api.routing import json_router
from parcela.api.schemas.users import EmailText, FullName, Password
from parcela.core.errors import ErrorKind, ParcelaError
from parcela.repositories.users import UserRecord
from parcela.services.identity.registration import Applicant

# Before everything else: a page of another site must not even log somebody in, as somebody else.
router = json_router("/auth", tags=["cloud"], route_class=CloudRoute, dependencies=[Depends(refuse_foreign_origin)])
NO_STORE = {"Cache-Control": "no-store"}
HOME, LOGIN, REGISTERED, REFUSED = "/home", "/login", "/login?registered=1", "/login?error=1"
NOT_LET_IN = frozenset({ErrorKind.UNAUTHENTICATED, ErrorKind.FORBIDDEN})


@router.post(
    "/register",
    summary="Register (cloud)",
    status_code=303,
    response_class=RedirectResponse,
    responses=problem_responses(400, 403, 413, 422, 429)
    | {
        201: {"model": Entered, "description": "For programs that accept JSON"},
        202: {"model": Entered, "description": "The same, where mails are sent: a mail says how to go on"},
    },
)
async def register(
    email: Annotated[EmailText, Form()],
    full_name: Annotated[FullName, Form()],
    password: Annotated[Password, Form()],
    request: Request,
    services: AppServices,
) -> Response:
    """Make an account of one's own, role `client`, where registration is open. `password2` is ignored."""
    applicant = Applicant(email=email, password=password, full_name=full_name)
    user = await services.registration.register(None, applicant, origin_of(request))
    if not accepts_json(request.headers):
        return RedirectResponse(REGISTERED, status_code=303, headers=NO_STORE)
    if user is None:
        entered, status = Entered(message="Look into your mail: it says how to go on.", user=None), 202
    else:
        entered, status = Entered(message="Registered.", user=_account(user)), 201
    return JSONResponse(entered.model_dump(), status_code=status, headers=NO_STORE)


@router.post(
    "/login",
    summary="Log in (cloud)",
    status_code=303,
    response_class=RedirectResponse,
    responses=problem_responses(400, 401, 403, 413, 422, 429)
    | {200: {"model": Entered, "description": "For programs that accept JSON"}},
)
async def login(
    request: Request,
    email: Annotated[str, Form(min_length=1, max_length=254)],
    password: Annotated[str, Form(max_length=1000)],
    services: AppServices,
    totp_code: Annotated[str, Form(max_length=64, description="Where the account has a second factor")] = "",
) -> Response:
    """Log in; the session goes into HTTP-only cookies, the hashes of its tokens into the table of tokens.

    The original's session lasted a day; here the login page renews it, as it does that of its own form.
    """
    try:
        pair = await services.auth.login_from(email, password, origin_of(request), code=totp_code)
    except ParcelaError as exc:
        if accepts_json(request.headers) or exc.kind not in NOT_LET_IN:
            raise
        return RedirectResponse(REFUSED, status_code=303, headers=NO_STORE)
    caller = await services.auth.authenticate(pair.access_token, client_address(request))
    async with services.uows.read() as uow:
        user = _account(await services.users.get(uow, caller, caller.user_id))
    response: Response = RedirectResponse(HOME, status_code=303, headers=NO_STORE)
    if accepts_json(request.headers):
        response = JSONResponse(Entered(message="Logged in.", user=user).model_dump(), headers=NO_STORE)
    COOKIE.keep(request, response, pair.access_token, pair.expires_in_s)
    REFRESH.keep(request, response, pair.refresh_token, services.settings.refresh_token_ttl_s)
    keep_device(request, response, services, pair.device)
    return response


@router.get(
    "/logout",
    summary="Log out (cloud)",
    status_code=303,
    response_class=RedirectResponse,
    responses=problem_responses(403) | {200: {"model": Left, "description": "For programs that accept JSON"}},
)
async def logout(request: Request, services: AppServices) -> Response:
    """End the session of the cookie, and take the cookie back. Without a session there is nothing to do."""
    await COOKIE.end_session(request, services)
    response: Response = RedirectResponse(LOGIN, status_code=303)
    if accepts_json(request.headers):
        response = JSONResponse(Left(message="Logged out.").model_dump())
    COOKIE.take_back(response)
    REFRESH.take_back(response)
    return response


def _account(user: UserRecord) -> Account:
    return Account(id=user.id, email=user.email, full_name=user.full_name, role=user.role)
