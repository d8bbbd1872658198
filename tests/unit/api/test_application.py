"""Tracing by FastAPI: whoever switches it on has it, everybody else does not pay for the question."""

import httpx2
import pytest
from starlette.types import Scope

from parcela.api.app import Application

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("traced", [True, False])
async def test_requests_go_through_fastapis_tracing_where_it_is_on(traced: bool) -> None:
    seen: list[str] = []

    def excluded(scope: Scope) -> bool:
        """FastAPI asks this of every request that it would trace."""
        seen.append(scope["path"])
        return True

    provider = object() if traced else None
    app = Application(telemetry={"tracer_provider": provider, "exclude": excluded})  # type: ignore[arg-type]

    @app.get("/things")
    async def things() -> list[int]:
        return [1]

    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://lab") as http:
        for _ in range(2):
            assert (await http.get("/things")).json() == [1]
    assert seen == (["/things"] * 2 if traced else [])
