"""Routers whose routes are whole when they are declared, and how an application takes them.

``include_router`` makes every route once more (analyses its dependencies, builds the fields of its parameters), again
for every router in between, and looks requests up in one router after the other. So a router knows its whole prefix and
the dependencies of its family from the start: its routes are made once per process and stand in one list.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.params import Depends as Dependency
from fastapi.routing import APIRoute

from parcela.api.dependencies.bodies import refuse_repeated_keys
from parcela.api.dependencies.queries import StrictQueryRoute, refuse_unknown_query
from parcela.api.etags import refuse_unversioned

V1 = "/api/v1"


def json_router(
    prefix: str = "",
    *,
    tags: Sequence[str],
    route_class: type[APIRoute] = APIRoute,
    dependencies: Sequence[Dependency] = (),
    responses: Mapping[int | str, dict[str, Any]] | None = None,
    strict_content_type: bool = True,
) -> APIRouter:
    """A router of programs: what every JSON body must be is checked before ``dependencies``.

    Args:
        prefix: all of it, e.g. ``/api/maquinas``.
        tags: heading in the document.
        route_class: of all its routes.
        dependencies: of all its routes.
        responses: errors that all its routes document.
        strict_content_type: whether a body without ``Content-Type`` is refused rather than read as JSON. Pages of other
            sites can make browsers send such a body with a cookie, so routes that accept one check where it comes from.
    """
    names: list[str | Enum] = [*tags]
    first = [Depends(refuse_repeated_keys), Depends(refuse_unversioned), *dependencies]
    told = dict(responses or {})
    return APIRouter(
        prefix=prefix,
        tags=names,
        route_class=route_class,
        dependencies=first,
        responses=told,
        strict_content_type=strict_content_type,
    )


def v1_router(prefix: str = "", *, tags: Sequence[str]) -> APIRouter:
    """A router of the canonical API; ``prefix`` is what stands behind ``/api/v1``."""
    strict = [Depends(refuse_unknown_query)]
    return json_router(V1 + prefix, tags=tags, route_class=StrictQueryRoute, dependencies=strict)


def take(app: FastAPI, *routers: APIRouter) -> None:
    """Put the routes of routers behind those that are there."""
    for router in routers:
        app.router.routes.extend(router.routes)
