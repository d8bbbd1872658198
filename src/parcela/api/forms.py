"""Routes that take a form where another route of the same address takes JSON."""

from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.routing import Match
from starlette.types import Scope

FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})


def media_type(headers: Headers) -> str:
    """Media type of a request's body, in lower case; "" without."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


class FormRoute(APIRoute):
    """A route for requests whose body is a form; it stands before the one for all others."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """No match for anything but forms."""
        if scope["type"] == "http" and media_type(Headers(scope=scope)) not in FORMS:
            return Match.NONE, {}
        return super().matches(scope)
