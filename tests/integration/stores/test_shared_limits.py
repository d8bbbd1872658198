"""Limits of requests that replicas count together in Redis, and each alone without it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from parcela.hypervisors.simulated import Delays, SimulatedWorld
from tests.integration.stores.replicas import Replica, replica, replica_settings
from tests.support.daemons import Daemon

pytestmark = [pytest.mark.anyio, pytest.mark.database, pytest.mark.store]


@pytest.fixture
async def pair(postgres_url: str, redis_server: Daemon, tmp_path: Path) -> AsyncIterator[tuple[Replica, Replica]]:
    """Two replicas with one administrator session and 1,000 requests a year."""
    async with AsyncExitStack() as stack:
        world, made = SimulatedWorld(delays=Delays.none()), []
        for name in ("one", "two"):
            values = {"REDIS_URL": redis_server.url, "PARCELA_RATE_LIMIT": "1000/year"}
            settings = replica_settings(tmp_path / name, postgres_url, **values)
            made.append(await stack.enter_async_context(replica(settings, world)))
        await made[0].login()
        made[1].headers = made[0].headers
        yield made[0], made[1]


async def left(where: Replica) -> int:
    answer = await where.call("GET", "/users/me")
    assert answer.status_code == 200
    return int(answer.headers["RateLimit-Remaining"])


async def test_replicas_count_together_and_alone_without_redis(
    pair: tuple[Replica, Replica], redis_server: Daemon
) -> None:
    one, two = pair
    assert [await left(one), await left(two), await left(two), await left(one)] == [999, 998, 997, 996]
    redis_server.kill()
    assert [await left(one), await left(two)] == [997, 997]  # each has seen two of them itself, and this one
