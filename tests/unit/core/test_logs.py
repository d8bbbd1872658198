import asyncio
import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from parcela.core.logs import ACCESS, EndLines, RequestEnd, configure_logging
from parcela.core.origin import Origin, enter, leave

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z")


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    logger = logging.getLogger()
    before, level = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:] = before
    logger.setLevel(level)
    structlog.reset_defaults()


def configured(root: logging.Logger, *, as_json: bool) -> io.StringIO:
    """Where the lines go."""
    configure_logging(level="info", as_json=as_json)
    text = io.StringIO()
    handler = root.handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(text)
    return text


def test_tickets_never_reach_the_log(root: logging.Logger) -> None:
    text = configured(root, as_json=True)
    logging.getLogger("uvicorn.error").info(
        '%s - "WebSocket %s" [accepted]', "127.0.0.1", "/console/serial?ticket=s3cret_-x&x=1"
    )
    assert "s3cret" not in text.getvalue()
    assert "ticket=***&x=1" in text.getvalue()


@pytest.mark.anyio
@pytest.mark.parametrize("who", [(7, 21), (None, None)])
@pytest.mark.parametrize("method", ["GET", "G'T"])
@pytest.mark.parametrize("path", ["/", "/a b", "/\u00e1\U0001f600", '/"\\', "/'", "/x=1", "/\n\r\t\x1b\x00", "/\ud800"])
@pytest.mark.parametrize("kind", ["json", "text", "colours"])
async def test_the_end_of_a_request_reads_as_structlog_writes_it(
    kind: str, path: str, method: str, who: tuple[Any, Any], root: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "colours":
        monkeypatch.setattr(sys, "stderr", Screen())
    text = configured(root, as_json=kind == "json")
    facts = {"method": method, "path": path, "route": "/a/{b}", "status": 200, "user_id": who[0], "token_id": who[1]}
    token = enter(Origin("a" * 32))
    try:
        structlog.get_logger(ACCESS).info("request.end", duration_ms=0.3, **facts)
        EndLines().add(RequestEnd(ended_at=1.5, duration_ms=0.3, request_id="a" * 32, **facts))
        await asyncio.sleep(0)  # a turn of the event loop
    finally:
        leave(token)
    masked = MOMENT.sub("MOMENT", text.getvalue())
    half = len(masked) // 2
    assert masked[:half].endswith("\n")
    assert masked[:half] == masked[half:]
    assert masked.count("MOMENT") == 2


@pytest.mark.anyio
@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("code", [0, 7, 8, 0x1B, 0x7F, 0x9B])
async def test_no_control_character_of_a_client_reaches_the_log(code: int, as_json: bool, root: logging.Logger) -> None:
    text = configured(root, as_json=as_json)
    path = f"/a{chr(code)}b"
    EndLines().add(ended(1.5)._replace(path=path))
    structlog.get_logger("parcela.x").info("request.start", path=path)
    logging.getLogger("uvicorn.error").warning("bad %s", path)
    await asyncio.sleep(0)
    lines = text.getvalue()
    assert chr(code) not in lines
    assert lines.count("/a\\") == 3


def ended(at: float, status: int = 200) -> RequestEnd:
    return RequestEnd(at, 0.3, "GET", "/", "/", status, None, None, "a" * 32)


@pytest.mark.anyio
async def test_lines_of_one_turn_are_written_together_and_in_order(
    root: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, lines = configured(root, as_json=True), EndLines()
    writes: list[str] = []
    monkeypatch.setattr(text, "write", writes.append)
    for status in (200, 304, 403):
        lines.add(ended(1.5, status))
    assert writes == []
    await asyncio.sleep(0)
    assert [json.loads(line)["status"] for line in "".join(writes).splitlines()] == [200, 304, 403]
    assert len(writes) == 1
    lines.add(ended(1.5, 404))
    await asyncio.sleep(0)
    assert len(writes) == 2
    lines.write()
    assert len(writes) == 2


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("at", "shown"),
    [
        (0.0, "1970-01-01T00:00:00Z"),
        (0.000001, "1970-01-01T00:00:00.000001Z"),
        (1795292399.999999, "2026-11-21T20:19:59.999999Z"),
        (1795292400.5, "2026-11-21T20:20:00.500000Z"),
    ],
)
async def test_the_moment_of_an_end(at: float, shown: str, root: logging.Logger) -> None:
    text, lines = configured(root, as_json=True), EndLines()
    lines.add(ended(1795292399.25))
    lines.add(ended(at))
    await asyncio.sleep(0)
    assert json.loads(text.getvalue().splitlines()[1])["timestamp"] == shown
