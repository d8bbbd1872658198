"""Every client gets every event once and in order, however many there are."""

import asyncio
from pathlib import Path

import httpx2
import pytest

from tests.compat.support import serving
from tests.integration.fanout.listeners import (
    API,
    PATIENCE_S,
    allow_sockets,
    last_id,
    listening,
    take_all,
)
from tests.support.servers import empty_database

pytestmark = pytest.mark.anyio
CLIENTS = 1000


async def _make_flavours(url: str, headers: dict[str, str], names: list[str]) -> None:
    async with httpx2.AsyncClient(headers=headers, timeout=PATIENCE_S) as client:
        for name in names:
            body = {"name": name, "vcpus": 1, "memory_mib": 64, "disk_gib": 1}
            answer = await client.post(f"{url}{API}/flavours/", json=body)
            assert answer.status_code == 201, answer.text


async def test_a_thousand_clients_get_every_event_once_and_in_order(tmp_path: Path) -> None:
    allow_sockets(CLIENTS)
    names = [f"event-{number}" for number in range(20)]
    with empty_database("sqlite", tmp_path) as database, serving(tmp_path, "sqlite", database) as server:
        headers = server.admin_headers()
        since = await last_id(server.url, headers)
        async with listening(server.url, headers, since, CLIENTS) as clients:
            _, seen = await asyncio.gather(_make_flavours(server.url, headers, names), take_all(clients, len(names)))
            # Nobody gets anything twice: the next thing each of them sees is the next event.
            await _make_flavours(server.url, headers, ["the-last-one"])
            ends = await take_all(clients, 1)
    assert [event["data"]["name"] for event in seen[0]] == names
    assert [event["id"] for event in seen[0]] == list(range(since + 1, since + 1 + len(names)))
    assert all(events == seen[0] for events in seen)
    assert {event["data"]["name"] for [event] in ends} == {"the-last-one"}
