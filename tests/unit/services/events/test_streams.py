"""Reads for streams whose clients go away."""

import asyncio
from typing import Any, cast

import pytest

from parcela.services.events.hub import EventHub
from parcela.services.events.streams import EventService

pytestmark = pytest.mark.anyio


async def test_the_end_waits_for_a_read_whose_client_has_gone() -> None:
    """The database was closed under it, and its connection was left to the garbage collector."""
    begun, go_on, ended = asyncio.Event(), asyncio.Event(), []

    async def read() -> None:
        begun.set()
        await go_on.wait()
        ended.append(True)

    service = EventService(cast("Any", None), EventHub())
    await service.aclose()
    client = asyncio.create_task(service._whole(read()))
    await begun.wait()
    client.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client
    closing = asyncio.create_task(service.aclose())
    go_on.set()
    await closing
    assert ended == [True]


async def test_streams_leave_connections_for_everybody_else() -> None:
    """Hundreds of streams that open at once took every connection, and a page waited behind all of them."""
    under_way, most, two_are, go_on = 0, 0, asyncio.Event(), asyncio.Event()

    async def read() -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if under_way == 2:
            two_are.set()
        await go_on.wait()
        under_way -= 1

    service = EventService(cast("Any", None), EventHub(), reads_at_once=2)
    reads = [asyncio.create_task(service._whole(read())) for _ in range(5)]
    await two_are.wait()
    go_on.set()
    await asyncio.gather(*reads)
    assert most == 2
