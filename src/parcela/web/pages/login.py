"""Signing in and out."""

import secrets
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Form, Query, Request, Response
from fastapi.responses import HTMLResponse

from parcela.core.cookies import DEVICE_COOKIE
from parcela.core.errors import ErrorKind, ParcelaError
from parcela.services.container import Services
from parcela.services.identity.auth import Challenge
from parcela.services.identity.sessions import Origin, TokenPair
from parcela.web.dependencies.caller import Writer
from parcela.web.dependencies.uow import AppServices
from parcela.web.dependencies.view import StrangerView, View, see_other
from parcela.web.errors import words_of
from parcela.web.rendering import NOTICE_COOKIE
from parcela.web.routes import web_router
from parcela.web.session import (
    CSRF_FIELD,
    LOGIN_COOKIE,
    LOGIN_PATH,
    REFRESH_COOKIE,
    check_csrf,
    csrf_token,
    forget_session,
    keep_challenge,
    keep_login_secret,
    keep_session,
    local_path,
)
from parcela.web.site import client_address, site_of, who

router = web_router()
SHOWN_IN_FORM = frozenset({ErrorKind.UNAUTHENTICATED, ErrorKind.RATE_LIMITED})


@router.get("/login")
async def login_page(
    request: Request,
    services: AppServices,
    view: StrangerView,
    wanted: Annotated[str, Query(alias="next")] = "/",
    error: Annotated[str, Query(max_length=20)] = "",
    registered: Annotated[str, Query(max_length=20)] = "",
) -> Response:
    """The form; whoever has a session, or can renew one, is sent on without it.

    ``error=1`` and ``registered=1`` are what forms of the older API ``cloud`` come back with.
    """
    target = local_path(wanted)
    if await who(request):
        return see_other(target)
    words = view.t("login.refused") if error == "1" else ""
    news = ""
    if registered == "1" and not words:
        news = view.t("login.registered.mail" if services.password_resets.available else "login.registered")
    # Whoever has just failed to sign in is not signed in as the person before.
    renewed = None if words else await _renewed(request, services, target)
    return renewed or login_form(request, view, target, words=words, news=news)


async def _renewed(request: Request, services: Services, target: str) -> Response | None:
    token = request.cookies.get(REFRESH_COOKIE)
    if not token:
        return None
    try:
        pair = await site_of(request).refresher(token, client_address(request))
    except ParcelaError:
        return None
    response = see_other(target)
    keep_session(request, response, pair, services.settings)
    return response


def login_form(
    request: Request,
    view: View,
    target: str,
    *,
    identifier: str = "",
    words: str = "",
    news: str = "",
    status: int = 200,
) -> HTMLResponse:
    """The form, with what was wrong before (``words``) or went well (``news``)."""
    # There is no session yet, so the form is signed with a secret of this browser (double submit).
    secret = request.cookies.get(LOGIN_COOKIE) or secrets.token_urlsafe(32)
    csrf = csrf_token(secret)
    services: Services = request.app.state.services
    facts: dict[str, Any] = {
        "target": target,
        "identifier": identifier,
        "words": words,
        "news": news,
        "provider": services.single_sign_on.label,
        "mails": services.password_resets.available,
    }
    response = view.page("login.html", status=status, csrf=csrf, **facts)
    keep_login_secret(request, response, secret)
    if not words:
        # The refresh token that brought somebody here is spent, revoked or expired.
        response.delete_cookie(REFRESH_COOKIE, path=LOGIN_PATH)
    return response


@router.post("/login")
async def login(
    request: Request,
    services: AppServices,
    view: StrangerView,
    identifier: Annotated[str, Form(max_length=254)] = "",
    password: Annotated[str, Form(max_length=1024)] = "",
    wanted: Annotated[str, Form(alias="next")] = "/",
    token: Annotated[str, Form(alias=CSRF_FIELD, max_length=200)] = "",
) -> Response:
    """Open a session."""
    check_csrf(request.cookies.get(LOGIN_COOKIE, ""), token)
    target = local_path(wanted)
    try:
        outcome = await services.auth.begin(identifier, password, origin_of(request))
    except ParcelaError as exc:
        return await _refused(request, view, target, identifier, exc)
    return admit(request, services, outcome, target)


def origin_of(request: Request) -> Origin:
    """Where a session comes from."""
    agent = request.headers.get("user-agent", "")
    return Origin(client_address(request), agent, device=request.cookies.get(DEVICE_COOKIE, ""))


def admit(request: Request, services: Services, outcome: TokenPair | Challenge, target: str) -> Response:
    """Give the browser its session, or ask it for a code first."""
    if isinstance(outcome, Challenge):
        response = see_other("/login/code" if target == "/" else f"/login/code?next={quote(target)}")
        keep_challenge(request, response, outcome.box)
        return response
    response = see_other(target)
    keep_session(request, response, outcome, services.settings)
    return response


async def _refused(request: Request, view: View, target: str, identifier: str, error: ParcelaError) -> Response:
    if error.kind not in SHOWN_IN_FORM:
        raise error
    status = await site_of(request).status_of(request, error)
    response = login_form(request, view, target, identifier=identifier, words=words_of(view.t, error), status=status)
    if error.retry_after_s:
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


@router.post("/logout")
async def logout(caller: Writer, services: AppServices) -> Response:
    """End the session everywhere, not only in this browser's cookies."""
    await services.auth.logout(caller)
    response = see_other(LOGIN_PATH)
    forget_session(response)
    response.set_cookie(NOTICE_COOKIE, "signed_out", max_age=60, httponly=True, samesite="lax")
    return response
