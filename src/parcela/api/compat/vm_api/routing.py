"""Which requests are for ``vm_api``."""

from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope

from parcela.api.compat.vm_api.errors import answer
from parcela.api.rate_limits import CALLER
from parcela.api.routing import V1, json_router
from parcela.services.access import Caller


class MarkedRoute(APIRoute):
    """A route for callers whose token ``speaks_vm_api``; it stands before the canonical one of the same address."""

    error_answer = staticmethod(answer)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """No match for all other callers."""
        caller: Caller | None = scope.get(CALLER)
        if caller is None or not caller.speaks_vm_api:
            return Match.NONE, {}
        return super().matches(scope)


class StrangersRoute(APIRoute):
    """A route for requests that bring no ``Authorization``; with one, good or bad, they are for another."""

    error_answer = staticmethod(answer)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """No match for requests that say who they come from."""
        if any(name == b"authorization" for name, _ in scope["headers"]):
            return Match.NONE, {}
        return super().matches(scope)


def marked_router(prefix: str, **options: Any) -> APIRouter:
    """A router of ``MarkedRoute``; the document describes the canonical routes of its addresses."""
    router = json_router(V1 + prefix, tags=["vm_api"], route_class=MarkedRoute, **options)
    router.include_in_schema = False
    return router
