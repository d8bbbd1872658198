"""A list is kept, read around the router, or answered by its route. Nobody can tell which, by whatever is left behind.

That means status, headers and body; the metrics; the lines of the log; the audit trail; and what is left of the limit.
"""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import structlog

from parcela.api.fast_lists.cache import ListCache
from parcela.core.logs import configure_logging
from tests.integration.http.lab import Lab
from tests.integration.http.test_audit import last_id
from tests.integration.http.test_metrics import Samples, parse

pytestmark = pytest.mark.anyio
LIST = "/api/v1/virtual-machines/"
HITS, CALLERS_FOUND = (("parcela_cache_hits_total", frozenset({("cache", name)})) for name in ("lists", "tokens"))
AFRESH = {"Cache-Control": "no-cache"}
WAYS = {
    "routed": (f"{LIST}?limit=2&sort=id", AFRESH),  # nothing but the limit is quick
    "quick": (f"{LIST}?limit=2", AFRESH),
    "kept": (f"{LIST}?limit=2", {}),
}


@dataclass
class Traces:
    """What one request left."""

    status: int
    headers: list[tuple[bytes, bytes]]
    content: bytes
    counted: Samples
    lines: list[dict[str, Any]]
    remaining: int


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All lines of the log, as JSON."""
    root, before, text = logging.getLogger(), structlog.get_config(), io.StringIO()
    handlers, level = list(root.handlers), root.level
    configure_logging(level="debug", as_json=True)
    handler = root.handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(text)
    yield text
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**before)


@pytest.fixture
async def narrow(lab: Lab) -> str:
    """A token that reaches no VM."""
    token: str = (await lab.token("owner", "template:*"))["token"]
    return token


def counts(lab: Lab) -> Samples:
    return parse(lab.services.observing.metrics.render(None).decode())


def grown(before: Samples, after: Samples) -> Samples:
    """What was counted of requests and caches. Other numbers, such as open connections, also move by themselves."""
    return {
        key: value - before.get(key, 0.0)
        for key, value in after.items()
        if key[0].startswith(("parcela_http_", "parcela_cache_"))
        and not key[0].endswith("_sum")  # a time
        and value != before.get(key, 0.0)
    }


async def traces(lab: Lab, log: io.StringIO, way: str, headers: dict[str, str]) -> Traces:
    """Ask once, and take all that there is to see."""
    path, more = WAYS[way]
    await asyncio.sleep(0)  # lines about earlier requests are written at the end of the event loop's turn
    before, begin = counts(lab), log.tell()
    answer = await lab.http.get(path, headers=headers | more)
    await asyncio.sleep(0)
    said = dict(answer.headers)
    lines = [line for line in map(json.loads, log.getvalue()[begin:].splitlines()) if line.get("path") == LIST]
    for line in lines:
        assert line.pop("request_id") == said["x-request-id"]
        assert line.pop("timestamp")
        assert line.pop("duration_ms", 0.0) >= 0.0
    differing = {b"x-request-id", b"ratelimit-remaining"}
    body = answer.content.replace(said["x-request-id"].encode(), b"")  # errors name it
    told = [(name, b"" if name in differing else value) for name, value in answer.headers.raw]
    counted = grown(before, counts(lab))
    return Traces(answer.status_code, told, body, counted, lines, int(said["ratelimit-remaining"]))


@pytest.mark.parametrize(
    ("by", "known", "status"),
    [
        ("owner", "", 200),
        ("admin", "", 200),
        ("reader", "", 200),
        ("owner", "its own", 304),
        ("admin", '"another"', 200),
        ("narrow", "", 403),
        ("nobody", "", 401),
    ],
)
async def test_every_way_leaves_the_same(
    lab: Lab, log: io.StringIO, narrow: str, by: str, known: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lab.vm("running")
    await lab.settle()
    cache: ListCache = lab.app.state.lists
    for clock in (cache, lab.services.rate_limits):
        monkeypatch.setattr(clock, "_now", lambda: 1000.0)  # no answer gets too old, no new window begins
    headers = {"Accept-Encoding": "identity"}
    if by != "nobody":
        headers["Authorization"] = f"Bearer {narrow if by == 'narrow' else lab.people[by].token}"
    first = await lab.http.get(WAYS["kept"][0], headers=headers)  # now it is kept, where it may be
    if known:
        headers["If-None-Match"] = first.headers["etag"] if known == "its own" else known
    audited = await last_id(lab)

    found = [await traces(lab, log, way, headers) for way in WAYS]
    assert [one.status for one in found] == [status] * 3
    # Only these may differ: a kept answer is a hit, and the route looks for the caller whom the limits have found.
    good = status < 400
    assert [one.counted.pop(HITS, 0.0) for one in found] == [0.0, 0.0, float(good)]
    if good:
        assert [one.counted.pop(CALLERS_FOUND) for one in found] == [2.0, 1.0, 1.0]
    routed = found[0]
    assert [line["event"] for line in routed.lines] == ["request.start", "request.end"]
    assert (
        routed.counted[
            "parcela_http_requests_total",
            frozenset({("method", "GET"), ("route", LIST), ("status", str(status))}),
        ]
        == 1.0
    )
    for one in found[1:]:
        assert (one.headers, one.content) == (routed.headers, routed.content)
        assert one.counted == routed.counted
        assert one.lines == routed.lines
    assert [one.remaining for one in found] == [routed.remaining, routed.remaining - 1, routed.remaining - 2]
    assert await last_id(lab) == audited
