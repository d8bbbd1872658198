"""The one place that makes HTML answers: templates, languages, security headers, fragment or page."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from parcela.services.access import Caller
from parcela.web.assets import Assets
from parcela.web.i18n.catalogue import NAMES, Translator, choose_locale, load_translators
from parcela.web.session import csrf_token

LANGUAGE_COOKIE, NOTICE_COOKIE = "parcela_language", "parcela_notice"
NOTICES = frozenset({"renewed", "signed_out", "password_changed", "totp_disabled", "sessions_ended"})
POLICY = {
    "default-src": "'self'",
    "img-src": "'self' data:",  # Pico draws its check marks and arrows from data: addresses
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}


def policy_text(policy: Mapping[str, str]) -> str:
    """A policy as ``Content-Security-Policy`` has it."""
    return "; ".join(f"{what} {where}" for what, where in policy.items())


HEADERS = {
    "Content-Security-Policy": policy_text(POLICY),
    "Cache-Control": "no-store",  # lab machines are shared: the back button must not show the person before
    "Vary": "Cookie, Accept-Language, HX-Request",
}


def wants_fragment(request: Request) -> bool:
    """Whether htmx asks for the inside of a page only."""
    headers = request.headers
    return "hx-request" in headers and "hx-boosted" not in headers and "hx-history-restore-request" not in headers


class Renderer:
    """Fills templates."""

    def __init__(self, assets: Assets) -> None:
        """Load the languages; templates are compiled when they are first used."""
        self._assets = assets
        self._translators = load_translators()
        self._env = Environment(
            loader=PackageLoader("parcela.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            enable_async=False,
        )
        self._env.globals.update(assets=assets, language_names=NAMES, has_scripts=assets.built)
        self._env.filters["utc"] = _utc

    def translator(self, request: Request, caller: Caller | None) -> Translator:
        """The language of a person: the one chosen in this browser, that of the account, that of the browser."""
        wishes = (request.cookies.get(LANGUAGE_COOKIE), caller.locale if caller else None)
        return self._translators[choose_locale(*wishes, accept_language=request.headers.get("accept-language", ""))]

    def answer(
        self,
        request: Request,
        caller: Caller | None,
        template: str,
        *,
        fragment: str | None = None,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **facts: Any,
    ) -> HTMLResponse:
        """A page, or the fragment of it that htmx asked for.

        Args:
            request: says which of the two, and the language.
            caller: who reads it; None for strangers.
            template: file of the page in ``templates/``.
            fragment: file in ``templates/fragments/``; None when the page has none.
            status: of the answer.
            headers: further ones.
            facts: values of the template.
        """
        t = self.translator(request, caller)
        name = f"fragments/{fragment}" if fragment and wants_fragment(request) else template
        notice = request.cookies.get(NOTICE_COOKIE)
        context = {
            "t": t,
            "caller": caller,
            "path": request.url.path,
            "csrf": csrf_token(caller.token_family) if caller else "",
            "notice": notice if notice in NOTICES and name == template else None,
            "live": wants_fragment(request),
            **facts,
        }
        html = self._env.get_template(name).render(context)
        response = HTMLResponse(html, status_code=status, headers={**HEADERS, **(headers or {})})
        if context["notice"]:
            response.delete_cookie(NOTICE_COOKIE, path="/")
        return response


def _utc(moment: datetime) -> str:
    """What somebody without scripts reads; the others see their own time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def duration(t: Translator, span: timedelta) -> str:
    """A length of time in its two largest units."""
    minutes = max(0, int(span.total_seconds() // 60))
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    parts = [(days, "unit.days"), (hours, "unit.hours"), (minutes, "unit.minutes")]
    shown = [t(key, count=count) for count, key in parts if count][:2]
    return " ".join(shown) or t("unit.moment")
