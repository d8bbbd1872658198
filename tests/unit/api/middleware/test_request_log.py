"""Lines of the log about a request: one at the start (debug), one at the end, one for a crash; all as JSON."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import structlog
from fastapi import FastAPI

from parcela.api.middleware.request_context import RequestContext
from parcela.core.logs import configure_logging
from parcela.core.origin import identify
from parcela.services.observability.metrics import Metrics

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()

    @app.get("/things/{thing_id}")
    async def read(thing_id: int) -> int:
        identify(user_id=7, username="ana", role="client", token_id=21)
        return thing_id

    @app.get("/crash")
    async def crash() -> None:
        raise RuntimeError("the reason")

    app.add_middleware(RequestContext, server_id="here", metrics=Metrics())
    return app


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What the log says, as JSON, from debug on."""
    root, out = logging.getLogger(), io.StringIO()
    before, level = list(root.handlers), root.level
    configure_logging(level="debug", as_json=True)
    handler = root.handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(out)
    yield out
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()


async def request(app: FastAPI, path: str) -> httpx2.Response:
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://lab") as http:
        answer = await http.get(path)
    await asyncio.sleep(0)  # the event loop's turn ends, and with it the lines are written
    return answer


def access(lines: io.StringIO) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in lines.getvalue().splitlines()]
    return [line for line in found if str(line["event"]).startswith("request.")]


async def test_start_and_end(app: FastAPI, lines: io.StringIO) -> None:
    answer = await request(app, "/things/5?secret=1")
    start, end = access(lines)
    assert start["event"] == "request.start"
    assert start["level"] == "debug"
    assert end["request_id"] == start["request_id"] == answer.headers["x-request-id"]
    assert end.pop("duration_ms") >= 0
    assert end.pop("timestamp").endswith("Z")
    assert end == {
        "event": "request.end",
        "level": "info",
        "request_id": answer.headers["x-request-id"],
        "method": "GET",
        "path": "/things/5",
        "route": "/things/{thing_id}",
        "status": 200,
        "user_id": 7,
        "token_id": 21,
    }


async def test_a_stranger_has_no_ids(app: FastAPI, lines: io.StringIO) -> None:
    await request(app, "/nowhere")
    end = access(lines)[-1]
    assert (end["status"], end["route"], end["user_id"], end["token_id"]) == (404, "unmatched", None, None)


async def test_a_crash(app: FastAPI, lines: io.StringIO) -> None:
    assert (await request(app, "/crash")).status_code == 500
    events = access(lines)
    assert [line["event"] for line in events] == ["request.start", "request.error", "request.end"]
    assert {line["level"] for line in events} == {"debug", "warning", "info"}
    assert events[1]["error"] == "RuntimeError"
    assert events[2]["status"] == 500
    assert len({line["request_id"] for line in events}) == 1


async def test_lines_below_the_level_are_not_made(app: FastAPI, lines: io.StringIO) -> None:
    access_log = logging.getLogger("parcela.access")
    access_log.setLevel(logging.WARNING)
    try:
        await request(app, "/things/5")
    finally:
        access_log.setLevel(logging.NOTSET)
    assert not access(lines)
