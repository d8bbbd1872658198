"""Query parameters that a route does not have."""

import difflib
from collections.abc import Iterator
from functools import cached_property

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
    def query_names(self) -> frozenset[str]:
        """Names as they stand in an address."""
        return frozenset(_names(self.dependant))


def _names(dependant: Dependant) -> Iterator[str]:
    for field in dependant.query_params:
        model = field.field_info.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):  # a parameter for each field of the model
            yield from (inner.alias or name for name, inner in model.model_fields.items())
        else:
            yield field.alias
    for part in dependant.dependencies:
        yield from _names(part)


async def refuse_unknown_query(connection: HTTPConnection) -> None:
    """Refuse names that the route does not have: a filter that is misspelt would otherwise answer with everything.

    A WebSocket is accepted and closed with 4400 (``errors.install_error_handlers``).

    Raises:
        ParcelaError: kind ``invalid``, code ``unknown_parameter``, with a problem per name.
    """
    route = connection.scope.get("route")
    if not connection.scope["query_string"]:
        return
    if isinstance(route, StrictQueryRoute):
        known = route.query_names
    elif isinstance(route, APIWebSocketRoute):  # a router has no class of its own for these
        known = frozenset(_names(route.dependant))
    else:
        return
    unknown = [name for name in dict.fromkeys(connection.query_params) if name not in known]
    if unknown:
        problems = [_problem(name, known) for name in unknown[:MAX_REPORTED]]
        raise invalid("unknown_parameter", problems[0].what, *problems)


def _problem(name: str, known: frozenset[str]) -> Problem:
    shown = name[:MAX_SHOWN_CHARS].encode("utf-8", "replace").decode()
    near = difflib.get_close_matches(name[:MAX_SHOWN_CHARS], known, n=1)
    if near:
        hint = f"Is '{near[0]}' meant?"
    elif known:
        hint = f"There are: {', '.join(sorted(known))}."
    else:
        hint = "This address takes none."
    return Problem(f"query.{shown}", f"There is no parameter '{shown}' here. {hint}", "unknown_parameter")
