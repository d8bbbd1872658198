"""One's own account: password, second factor, sessions."""

from typing import Annotated, Any

from fastapi import Depends, Form, Path, Request, Response

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.repositories.paging import PageRequest
from parcela.web.dependencies.caller import Reader, Writer
from parcela.web.dependencies.uow import AppServices, WriteUow
from parcela.web.dependencies.view import ReaderView, View, see_other
from parcela.web.errors import words_of
from parcela.web.pages.login import origin_of
from parcela.web.pages.password import KeepTokens, check_same
from parcela.web.rendering import NOTICE_COOKIE
from parcela.web.routes import web_router
from parcela.web.session import keep_device
from parcela.web.site import site_of

router = web_router()
PAGE = "/account/security"
ENROL = f"{PAGE}/totp"
SESSIONS_SHOWN = 50
Password = Annotated[str, Form(max_length=1000)]
Code = Annotated[str, Form(max_length=64)]
SHOWN = frozenset({ErrorKind.INVALID, ErrorKind.RATE_LIMITED, ErrorKind.CONFLICT})


class Account:
    """The page of one request's reader."""

    def __init__(self, request: Request, services: AppServices, caller: Reader, view: ReaderView) -> None:
        """What everything here needs."""
        self.request = request
        self.services = services
        self.caller = caller
        self.view: View = view

    async def page(self, error: ParcelaError | None = None, *, keep_tokens: bool = False) -> Response:
        """The page; with what was wrong, when something was."""
        if error is not None and error.kind not in SHOWN:
            raise error
        async with self.services.uows.read() as uow:
            state = await self.services.second_factors.status(uow, self.caller)
            newest = PageRequest(limit=SESSIONS_SHOWN, sort="-id")
            sessions = await self.services.sessions.page(uow, self.caller, newest)
        status = 200 if error is None else await site_of(self.request).status_of(self.request, error)
        words = "" if error is None else words_of(self.view.t, error)
        facts: dict[str, Any] = {"state": state, "sessions": sessions.rows, "keep_tokens": keep_tokens}
        return self.view.page("security.html", status=status, words=words, **facts)

    async def enrolment(self, error: ParcelaError | None = None) -> Response:
        """The page with the QR code, while an enrolment waits for its first code."""
        if error is not None and error.kind not in SHOWN:
            raise error
        async with self.services.uows.read() as uow:
            enrolment = await self.services.second_factors.pending(uow, self.caller)
        if enrolment is None:
            return see_other(PAGE)
        status = 200 if error is None else await site_of(self.request).status_of(self.request, error)
        words = "" if error is None else words_of(self.view.t, error)
        return self.view.page("security_totp.html", status=status, words=words, enrolment=enrolment)

    def codes(self, codes: list[str]) -> Response:
        """The recovery codes, this once."""
        return self.view.page("security_codes.html", codes=codes)


Mine = Annotated[Account, Depends()]


def _done(notice: str) -> Response:
    response = see_other(PAGE)
    response.set_cookie(NOTICE_COOKIE, notice, max_age=60, httponly=True, samesite="lax")
    return response


@router.get("/account/security")
async def security_page(account: Mine) -> Response:
    """Password, second factor, sessions."""
    return await account.page()


@router.post("/account/security/password")
async def change_password(
    caller: Writer,
    account: Mine,
    old: Password = "",
    password: Password = "",
    again: Password = "",
    keep_tokens: KeepTokens = False,
) -> Response:
    """Set a new password; the other sessions end, and the personal tokens unless they are to be kept."""
    try:
        check_same(password, again)
        device = await account.services.auth.change_password(
            caller, old, password, origin_of(account.request), keep_personal=keep_tokens
        )
    except ParcelaError as exc:
        return await account.page(exc, keep_tokens=keep_tokens)
    response = _done("password_changed")
    keep_device(account.request, response, device, account.services.settings)
    return response


@router.post("/account/security/totp")
async def begin(caller: Writer, account: Mine, password: Password = "") -> Response:
    """Begin to set a second factor up."""
    try:
        await account.services.second_factors.begin(caller, password)
    except ParcelaError as exc:
        return await account.page(exc)
    return see_other(ENROL)


@router.get("/account/security/totp")
async def enrolment_page(account: Mine) -> Response:
    """The QR code, until its first code is given."""
    return await account.enrolment()


async def _confirmed(caller: Writer, account: Mine, uow: WriteUow, code: Code = "") -> list[str] | ParcelaError:
    """Committed before the page is made, which reads by itself."""
    try:
        return await account.services.second_factors.confirm(uow, caller, code)
    except ParcelaError as exc:
        return exc


@router.post("/account/security/totp/confirm")
async def confirm(account: Mine, outcome: Annotated[list[str] | ParcelaError, Depends(_confirmed)]) -> Response:
    """Turn it on; the recovery codes, this once."""
    return await account.enrolment(outcome) if isinstance(outcome, ParcelaError) else account.codes(outcome)


@router.post("/account/security/recovery-codes")
async def renew_codes(caller: Writer, account: Mine, code: Code = "") -> Response:
    """New recovery codes, this once."""
    try:
        return account.codes(await account.services.second_factors.renew_codes(caller, code))
    except ParcelaError as exc:
        return await account.page(exc)


@router.post("/account/security/totp/disable")
async def disable(caller: Writer, account: Mine, password: Password = "", code: Code = "") -> Response:
    """Turn it off."""
    try:
        await account.services.second_factors.disable(caller, password, code)
    except ParcelaError as exc:
        return await account.page(exc)
    return _done("totp_disabled")


@router.post("/account/security/sessions/end-others")
async def end_others(caller: Writer, services: AppServices, uow: WriteUow) -> Response:
    """End all sessions but this one."""
    await services.sessions.end_others(uow, caller)
    return _done("sessions_ended")


@router.post("/account/security/sessions/{session_id}/end")
async def end_session(
    caller: Writer, services: AppServices, uow: WriteUow, session_id: Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
) -> Response:
    """End one session."""
    await services.sessions.end(uow, caller, session_id)
    return _done("sessions_ended")
