"""Query parameters that a route does not have, or that are given more often than it reads them."""

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, get_args, get_origin

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, APIWebSocketRoute
from pydantic import BaseModel
from starlette.requests import HTTPConnection

from parcela.core.errors import Problem, invalid

MAX_REPORTED = 20
MAX_SHOWN_CHARS = 64


class StrictQueryRoute(APIRoute):
    """A route that knows the names of all its query parameters, those of its dependencies included."""

    @cached_property
    def query_names(self) -> Mapping[str, bool]:
        """Names as they stand in an address, and whether each may stand there several times."""
        return dict(_names(self.dependant))


def _names(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    for field in dependant.query_params:
        model = field.field_info.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):  # a parameter for each field of the model
            yield from ((inner.alias or name, _is_list(inner.annotation)) for name, inner in model.model_fields.items())
        else:
            yield field.alias, _is_list(model)
    for part in dependant.dependencies:
        yield from _names(part)


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(_is_list(part) for part in get_args(annotation))


async def refuse_unknown_query(connection: HTTPConnection) -> None:
    """Refuse names that the route does not have: a filter that is misspelt would otherwise answer with everything.

    A second value where one is read is refused too: the first would be lost without a word.

    A WebSocket is accepted and closed with 4400 (``errors.install_error_handlers``).

    Raises:
        ParcelaError: kind ``invalid``, code ``unknown_parameter`` or ``repeated_parameter``, with a problem per name.
    """
    route = connection.scope.get("route")
    if not connection.scope["query_string"]:
        return
    if isinstance(route, StrictQueryRoute):
        known = route.query_names
    elif isinstance(route, APIWebSocketRoute):  # a router has no class of its own for these
        known = dict(_names(route.dependant))
    else:
        return
    unknown = [name for name in dict.fromkeys(connection.query_params) if name not in known]
    if unknown:
        problems = [_problem(name, known) for name in unknown[:MAX_REPORTED]]
        raise invalid("unknown_parameter", problems[0].what, *problems)
    counts = Counter(name for name, _ in connection.query_params.multi_items())
    twice = [_repeated(name, count) for name, count in counts.items() if count > 1 and not known[name]]
    if twice:
        raise invalid("repeated_parameter", twice[0].what, *twice)


def _repeated(name: str, count: int) -> Problem:
    return Problem(f"query.{name}", f"'{name}' is given {count} times; give it once.", "repeated_parameter")


def _problem(name: str, known: Mapping[str, bool]) -> Problem:
    shown = name[:MAX_SHOWN_CHARS].encode("utf-8", "replace").decode()
    near = difflib.get_close_matches(name[:MAX_SHOWN_CHARS], known, n=1)
    if near:
        hint = f"Is '{near[0]}' meant?"
    elif known:
        hint = f"There are: {', '.join(sorted(known))}."
    else:
        hint = "This address takes none."
    return Problem(f"query.{shown}", f"There is no parameter '{shown}' here. {hint}", "unknown_parameter")
