"""Addresses that an older API and a page of ours share: who gets which.

``GET /``, ``POST /login``, ``GET /templates/{id}`` and ``POST /slices/{id}/destroy`` are pages (HTML for people) and
routes of an older API (JSON for programs). This is the one place that decides. A request is for a page when

- htmx made it (``HX-Request``), or
- its body is a form (those routes of the older APIs take JSON or nothing), or
- it accepts ``text/html``, as browsers do, and does not bring a JSON body.

All others are for the older API: ``curl``, ``requests`` and ``fetch`` say ``Accept: */*`` or nothing at all. Routes of
pages stand behind those of the APIs, so a route that steps aside here leaves the request to the page.
"""

from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.routing import Match
from starlette.types import Scope

from parcela.api.forms import FORMS, media_type


def is_for_page(headers: Headers) -> bool:
    """Whether a request to a shared address is for the page."""
    if "hx-request" in headers:
        return True
    kind = media_type(headers)
    if kind in FORMS:
        return True
    return accepts_html(headers) and kind != "application/json"


def accepts_html(headers: Headers) -> bool:
    """Whether a person with a browser waits for the answer."""
    return "text/html" in headers.get("accept", "")


def accepts_json(headers: Headers) -> bool:
    """Whether a program says that it reads JSON: those of the older API that redirected everybody did not."""
    return "application/json" in headers.get("accept", "")


class SharedRoute(APIRoute):
    """A route of an older API that steps aside for the page of the same address."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """No match for requests that are for the page."""
        if scope["type"] == "http" and is_for_page(Headers(scope=scope)):
            return Match.NONE, {}
        return super().matches(scope)
