"""Where the parts of the edge find what connections are counted by, and the task that looks after slow ones."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from parcela.core.tasks import end
from parcela.services.traffic.connections import ConnectionTable

TRAFFIC: Final = "parcela.traffic"
"""Key of the state of the lifespan: ``services.traffic`` for the protocols of connections."""
EVERY_S = 1.0
LATE_S = 2.0


@asynccontextmanager
async def watching(connections: ConnectionTable) -> AsyncIterator[None]:
    """Have slow connections closed for as long as this is open."""
    task = asyncio.create_task(_watch(connections))
    try:
        yield
    finally:
        await end(task)


async def _watch(connections: ConnectionTable) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time() + EVERY_S
    while True:
        await asyncio.sleep(due - loop.time())
        # When the loop itself was held up, what clients have sent meanwhile is read first.
        if loop.time() < due + LATE_S:
            connections.check(loop.time())
        due = loop.time() + EVERY_S
