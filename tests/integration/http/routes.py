"""Routes by what they depend on, found in the application itself, so that a new one cannot be forgotten."""

import inspect
from typing import get_args

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from parcela.api.app import include_api


def routes_with(*kinds: type) -> list[str]:
    """``METHOD path`` of the routes of the API whose endpoint takes a dependency of one of these kinds."""
    app = FastAPI(openapi_url=None)
    include_api(app)
    found = []
    for route in iter_route_contexts(app.routes):
        endpoint = getattr(route.original_route, "endpoint", None)
        if endpoint is None:
            continue
        taken = [(get_args(part.annotation) or (None,))[0] for part in inspect.signature(endpoint).parameters.values()]
        if any(kind in taken for kind in kinds):
            found += [f"{method} {route.path}" for method in getattr(route, "methods", None) or ()]
    return sorted(found)
