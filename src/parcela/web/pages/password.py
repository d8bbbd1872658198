"""A forgotten password: asking for a link, and choosing a new one with it.

The token of the link goes from the address into a cookie at once, so that it is neither in the history, nor in the log
of a proxy, nor in a ``Referer``.
"""

import secrets
from typing import Annotated, Any

from fastapi import Form, Query, Request, Response

from parcela.core.errors import ErrorKind, ParcelaError, Problem, invalid
from parcela.web.dependencies.uow import AppServices
from parcela.web.dependencies.view import StrangerView, View, see_other
from parcela.web.errors import words_of
from parcela.web.pages.login import origin_of
from parcela.web.rendering import NOTICE_COOKIE
from parcela.web.routes import web_router
from parcela.web.session import (
    CSRF_FIELD,
    FORM_COOKIE,
    LOGIN_PATH,
    PASSWORD_PATH,
    RESET_COOKIE,
    check_csrf,
    csrf_token,
    keep_box,
    keep_device,
)
from parcela.web.site import site_of

router = web_router()
RESET_S = 1800
FORM_S = 86400
NewPassword = Annotated[str, Form(max_length=1000)]
KeepTokens = Annotated[bool, Form()]
Proof = Annotated[str, Form(alias=CSRF_FIELD, max_length=200)]


def check_same(password: str, again: str) -> None:
    """Raise ``invalid`` when the two spellings differ."""
    if password != again:
        text = "The two passwords are not the same."
        raise invalid("passwords_differ", text, Problem("again", text, "passwords_differ"))


def _form(request: Request, view: View, template: str, **facts: Any) -> Response:
    """A form of somebody without a session, signed with a secret of this browser."""
    secret = request.cookies.get(FORM_COOKIE) or secrets.token_urlsafe(32)
    status = facts.pop("status", 200)
    values: dict[str, Any] = {"words": "", "done": False, "good": True, "keep_tokens": False, **facts}
    response = view.page(template, status=status, csrf=csrf_token(secret), **values)
    keep_box(request, response, FORM_COOKIE, secret, PASSWORD_PATH, FORM_S)
    return response


async def _again(
    request: Request, view: View, template: str, error: ParcelaError, *, keep_tokens: bool = False
) -> Response:
    """The form once more, with what was wrong."""
    if error.kind not in {ErrorKind.INVALID, ErrorKind.RATE_LIMITED}:
        raise error
    status = await site_of(request).status_of(request, error)
    response = _form(request, view, template, words=words_of(view.t, error), status=status, keep_tokens=keep_tokens)
    if error.retry_after_s:
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


@router.get("/password/forgot")
async def forgot_page(request: Request, view: StrangerView) -> Response:
    """The question for the account."""
    return _form(request, view, "password_forgot.html")


@router.post("/password/forgot")
async def forgot(
    request: Request,
    services: AppServices,
    view: StrangerView,
    identifier: Annotated[str, Form(max_length=254)] = "",
    token: Proof = "",
) -> Response:
    """Mail the link; the page says the same whether there is such an account or not."""
    check_csrf(request.cookies.get(FORM_COOKIE, ""), token)
    try:
        origin = origin_of(request)
        await services.password_resets.request(identifier, origin.address, device=origin.device)
    except ParcelaError as exc:
        return await _again(request, view, "password_forgot.html", exc)
    return _form(request, view, "password_forgot.html", done=True)


@router.get("/password/reset")
async def reset_page(
    request: Request,
    services: AppServices,
    view: StrangerView,
    token: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """The form for the new password, or where to get a new link."""
    if token:
        response: Response = see_other("/password/reset")
        keep_box(request, response, RESET_COOKIE, token, PASSWORD_PATH, RESET_S)
        return response
    good = await services.password_resets.good(request.cookies.get(RESET_COOKIE, ""))
    return _form(request, view, "password_reset.html", good=good, status=200 if good else 410)


@router.post("/password/reset")
async def reset(
    request: Request,
    services: AppServices,
    view: StrangerView,
    password: NewPassword = "",
    again: NewPassword = "",
    keep_tokens: KeepTokens = False,
    token: Proof = "",
) -> Response:
    """Set the new password and go to the sign-in page."""
    check_csrf(request.cookies.get(FORM_COOKIE, ""), token)
    try:
        check_same(password, again)
        device = await services.password_resets.complete(
            request.cookies.get(RESET_COOKIE, ""), password, origin_of(request), keep_personal=keep_tokens
        )
    except ParcelaError as exc:
        return await _again(request, view, "password_reset.html", exc, keep_tokens=keep_tokens)
    response = see_other(LOGIN_PATH)
    keep_device(request, response, device, services.settings)
    response.delete_cookie(RESET_COOKIE, path=PASSWORD_PATH)
    response.set_cookie(NOTICE_COOKIE, "password_changed", max_age=60, httponly=True, samesite="lax")
    return response
