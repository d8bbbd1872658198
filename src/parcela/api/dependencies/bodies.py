"""What every JSON body must be, whatever the endpoint makes of it."""

import json
from typing import Any

from starlette.requests import HTTPConnection, Request

from parcela.core.errors import Problem, invalid

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
    repeated: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            repeated.extend(sorted({key for key in keys if keys.count(key) > 1}))

    json.loads(body, object_pairs_hook=note)
    if repeated:
        text = "A key stands in the same object more than once; leave only one of them."
        problems = [Problem(f"body.{_shown(key)}", text, "duplicate_key") for key in repeated[:MAX_REPORTED]]
        raise invalid("duplicate_key", text, *problems)


def _is_json(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


def _shown(key: str) -> str:
    return key[:64].encode("utf-8", "replace").decode()
