"""What every JSON body must be, whatever the endpoint makes of it."""

import json
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import HTTPConnection, Request

from parcela.core.errors import Problem, invalid
from parcela.core.json_text import RepeatedKey, repeated_keys

MAX_REPORTED = 20


async def refuse_repeated_keys(connection: HTTPConnection) -> None:
    """Refuse a JSON body in which an object has a key twice.

    Readers disagree about which of the two counts, so what one program has checked another would not do.

    Raises:
        ParcelaError: kind ``invalid``, code ``duplicate_key``, with a problem per key.
    """
    if not isinstance(connection, Request) or not _is_json(connection):
        return
    # The endpoint's own body was read before any dependency; a streamed one (an upload) was not, and stays alone.
    body: bytes | None = getattr(connection, "_body", None)
    if not body:
        return
    repeated = False

    def note(pairs: list[tuple[str, Any]]) -> None:
        nonlocal repeated
        repeated = repeated or len(dict(pairs)) < len(pairs)

    json.loads(body, object_pairs_hook=note)
    if repeated:  # only now is it worth looking for the places
        text = body.decode(json.detect_encoding(body), "replace").removeprefix("\ufeff")
        places = {found.key: found for found in reversed([*repeated_keys(text)])}  # the first of each key
        problems = [_problem(places[key]) for key in sorted(places)[:MAX_REPORTED]]
        raise invalid("duplicate_key", problems[0].what, *problems)


def _is_json(request: Request) -> bool:
    if "content-type" not in request.headers:
        route = request.scope.get("route")
        return isinstance(route, APIRoute) and route.strict_content_type is False
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


def _problem(found: RepeatedKey) -> Problem:
    shown = _shown(found.key)
    what = (
        f"The key '{shown}' at line {found.line}, column {found.column} stands in the same object as on line "
        f"{found.first_line}; leave only one of them."
    )
    return Problem(f"body.{shown}", what, "duplicate_key")


def _shown(key: str) -> str:
    return key[:64].encode("utf-8", "replace").decode()
