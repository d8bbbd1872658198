"""Reads for streams whose clients go away."""

import asyncio
from typing import Any, cast

import pytest

from parcela.services.event_hub import EventHub
from parcela.services.events import EventService

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
