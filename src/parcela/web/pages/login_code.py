"""The second step of signing in: the code of the authenticator app."""

import secrets
from typing import Annotated, Any

from fastapi import Form, Query, Request, Response

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.web.dependencies.uow import AppServices
from parcela.web.dependencies.view import StrangerView, View, see_other
from parcela.web.errors import words_of
from parcela.web.pages.login import admit, login_form, origin_of
from parcela.web.routes import web_router
from parcela.web.session import (
    CHALLENGE_COOKIE,
    CSRF_FIELD,
    LOGIN_COOKIE,
    LOGIN_PATH,
    check_csrf,
    csrf_token,
    keep_login_secret,
    local_path,
)
from parcela.web.site import site_of

router = web_router()
ASKED_AGAIN = frozenset({"bad_code", "too_many_attempts"})


@router.get("/login/code")
async def code_page(
    request: Request, view: StrangerView, wanted: Annotated[str, Query(alias="next")] = "/"
) -> Response:
    """The question for the code; whoever has not given a password yet begins there."""
    if not request.cookies.get(CHALLENGE_COOKIE):
        return see_other(LOGIN_PATH)
    return _form(request, view, local_path(wanted))


def _form(request: Request, view: View, target: str, *, words: str = "", status: int = 200) -> Response:
    secret = request.cookies.get(LOGIN_COOKIE) or secrets.token_urlsafe(32)
    facts: dict[str, Any] = {"csrf": csrf_token(secret), "target": target, "words": words}
    response = view.page("login_code.html", status=status, **facts)
    keep_login_secret(request, response, secret)
    return response


@router.post("/login/code")
async def code(
    request: Request,
    services: AppServices,
    view: StrangerView,
    code: Annotated[str, Form(max_length=64)] = "",
    wanted: Annotated[str, Form(alias="next")] = "/",
    token: Annotated[str, Form(alias=CSRF_FIELD, max_length=200)] = "",
) -> Response:
    """Open the session."""
    check_csrf(request.cookies.get(LOGIN_COOKIE, ""), token)
    target = local_path(wanted)
    try:
        pair = await services.auth.finish(request.cookies.get(CHALLENGE_COOKIE, ""), code, origin_of(request))
    except ParcelaError as exc:
        return await _refused(request, view, target, exc)
    return admit(request, services, pair, target)


async def _refused(request: Request, view: View, target: str, error: ParcelaError) -> Response:
    if error.kind not in {ErrorKind.UNAUTHENTICATED, ErrorKind.RATE_LIMITED}:
        raise error
    status, words = await site_of(request).status_of(request, error), words_of(view.t, error)
    if error.code in ASKED_AGAIN:
        response = _form(request, view, target, words=words, status=status)
        if error.retry_after_s:
            response.headers["Retry-After"] = str(error.retry_after_s)
        return response
    response = login_form(request, view, target, words=words, status=status)
    response.delete_cookie(CHALLENGE_COOKIE, path=LOGIN_PATH)
    return response
