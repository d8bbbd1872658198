"""Two replicas on PostgreSQL, with Redis between them and without: what one does, the other knows."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from parcela.db.redis import RedisStore
from parcela.hypervisors.simulated import Delays, SimulatedWorld
from parcela.repositories.events import EventRecord
from parcela.repositories.redis_shared import Shared
from parcela.services.events.relay import Relay, sharing
from tests.integration.http.asgi import open_socket
from tests.integration.stores.replicas import API, PATIENCE_S, Replica, replica, replica_settings, until
from tests.support.daemons import Daemon

pytestmark = [pytest.mark.anyio, pytest.mark.database, pytest.mark.store]
LOST, RETURNED = "store.lost", "store.returned"


@pytest.fixture
async def pair(postgres_url: str, redis_server: Daemon, tmp_path: Path) -> AsyncIterator[tuple[Replica, Replica]]:
    """Two replicas with one administrator session, on PostgreSQL and Redis."""
    async with AsyncExitStack() as stack:
        world, made = SimulatedWorld(delays=Delays.none()), []
        for name in ("one", "two"):
            settings = replica_settings(
                tmp_path / name, postgres_url, REDIS_URL=redis_server.url, PARCELA_SERVER_ID=name
            )
            made.append(await stack.enter_async_context(replica(settings, world)))
        await made[0].login()
        made[1].headers = made[0].headers
        yield made[0], made[1]


async def test_a_login_and_a_logout_hold_everywhere(pair: tuple[Replica, Replica]) -> None:
    one, two = pair
    seen = {(await each.call("GET", "/users/me")).headers["x-server-id"] for each in pair}
    assert seen == {"one", "two"}
    assert (await one.call("POST", "/logout")).status_code == 204

    async def refused() -> bool:
        return (await two.call("GET", "/users/me")).status_code == 401

    await until(refused)


async def test_a_cached_list_is_never_older_than_what_another_replica_answered(pair: tuple[Replica, Replica]) -> None:
    one, two = pair
    names: set[str] = set()
    for number in range(6):
        writer, reader = (one, two) if number % 2 else (two, one)
        await writer.vm(f"vm-{number}")
        names.add(f"vm-{number}")
        assert await reader.vm_names() == names
        assert await writer.vm_names() == names
    for each in pair:
        await until(partial(_is_kept, each))


async def _is_kept(one: Replica) -> bool:
    """Whether an answer came from the cache; while the VMs still start, their lists change all the time."""
    hits = one.app.state.lists.hits
    await one.vm_names()
    return bool(one.app.state.lists.hits > hits)


@pytest.mark.parametrize("with_redis", [True, False])
async def test_events_of_all_replicas_arrive_once_and_in_order(
    postgres_url: str, redis_server: Daemon, tmp_path: Path, with_redis: bool
) -> None:
    more = {"REDIS_URL": redis_server.url} if with_redis else {}
    world = SimulatedWorld(delays=Delays.none())
    async with (
        replica(replica_settings(tmp_path / "one", postgres_url, **more), world) as one,
        replica(replica_settings(tmp_path / "two", postgres_url, **more), world) as two,
    ):
        await one.login()
        two.headers = one.headers
        start = (await one.call("GET", "/events?limit=1000")).json()["last_id"]
        async with AsyncExitStack() as stack:
            sockets = [
                await stack.enter_async_context(
                    open_socket(each.app, f"{API}/events/ws", query=f"since={start}", headers=each.headers)
                )
                for each in (one, two)
                for _ in range(10)
            ]
            body = {"vcpus": 1, "memory_mib": 128, "disk_gib": 1}
            answers = await asyncio.gather(
                *(
                    (one if number % 2 else two).call("POST", "/flavours/", json={"name": f"f{number}"} | body)
                    for number in range(20)
                )
            )
            assert {answer.status_code for answer in answers} == {201}
            for socket in sockets:
                got = [await socket.json() for _ in range(20)]
                assert [event["id"] for event in got] == list(range(start + 1, start + 21))


async def test_redis_wakes_the_other_replica(postgres_url: str, redis_server: Daemon, tmp_path: Path) -> None:
    """Nobody looks by himself for an hour here."""
    async with replica(replica_settings(tmp_path / "one", postgres_url)) as one:
        uows = one.services.uows
        redis = RedisStore(redis_server.url, timeout_s=PATIENCE_S)
        shared = Shared(redis, "test")
        await redis.link.open()
        got: asyncio.Queue[EventRecord] = asyncio.Queue()

        def publish(records: Sequence[EventRecord]) -> None:
            for record in records:
                got.put_nowait(record)

        relay = Relay(uows, publish, _nothing, shared, every_s=3600)
        await relay.start()
        try:
            async with aclosing(redis.listen("parcela:test:events")) as messages:  # type: ignore[type-var]
                assert await anext(messages) is None
                uows.share_with(sharing(shared))
                for number in range(3):
                    async with uows.write() as uow:
                        uow.add_event("host.updated", data={"number": number})
                        await uow.commit()
                    record = await asyncio.wait_for(got.get(), PATIENCE_S)
                    assert record.data == {"number": number}
                    assert await anext(messages) == str(record.id)
        finally:
            await relay.aclose()
            await redis.aclose()


def _nothing(_records: object) -> None:
    """Keep no cache."""


async def test_redis_is_lost_and_comes_back(
    postgres_url: str, redis_server: Daemon, tmp_path: Path, anyio_backend: str
) -> None:
    world = SimulatedWorld(delays=Delays.none())
    settings = replica_settings(tmp_path / "one", postgres_url, REDIS_URL=redis_server.url)
    alone = replica_settings(tmp_path / "two", postgres_url)  # has no Redis: nobody hears of what it writes
    async with replica(settings, world) as one, replica(alone, world) as two:
        await one.login()
        two.headers = one.headers
        statuses: set[int] = set()
        stop = asyncio.Event()

        async def ask(number: int) -> None:
            while not stop.is_set():
                path = "/virtual-machines/" if number % 2 else "/users/me"
                statuses.add((await one.call("GET", path)).status_code)
                await asyncio.sleep(0)

        assert (await one.health())["redis"] == "ok"
        with capture_logs() as lines:
            async with asyncio.TaskGroup() as tasks:
                for number in range(6):
                    tasks.create_task(ask(number))
                await one.vm("before")
                assert await one.vm_names() == {"before"}
                redis_server.kill()
                await one.until_health("redis", "down")
                await one.vm("while-down")
                assert await one.vm_names() == {"before", "while-down"}
                redis_server.start()
                await one.until_health("redis", "ok")
                assert await one.vm_names() == {"before", "while-down"}
                await one.vm("after")
                assert await one.vm_names() == {"before", "while-down", "after"}
                stop.set()
        assert statuses == {200}
        told = [(line["event"], line["log_level"]) for line in lines if line.get("store") == "redis"]
        assert [one_line for one_line in told if one_line[1] != "debug"] == [(LOST, "warning"), (RETURNED, "info")]


async def test_it_starts_without_redis_and_takes_it_when_it_comes(
    postgres_url: str, redis_server: Daemon, tmp_path: Path
) -> None:
    redis_server.kill()
    async with replica(replica_settings(tmp_path / "one", postgres_url, REDIS_URL=redis_server.url)) as one:
        await one.login()
        assert (await one.health())["redis"] == "down"
        await one.vm("first")
        assert await one.vm_names() == {"first"}
        redis_server.start()
        await one.until_health("redis", "ok")
        assert await one.vm_names() == {"first"}


async def test_who_was_seen_is_known_to_all_replicas(pair: tuple[Replica, Replica]) -> None:
    one, two = pair
    answer = await one.http.get("/api/auth/usuarios/activos", headers=one.headers)
    assert answer.status_code == 200, answer.text
    assert [user["username"] for user in answer.json()["usuarios"]] == ["admin"]
    shared = one.services.stores.shared
    assert shared is not None

    async def noted() -> bool:
        return bool(await shared.seen([1]))

    await until(noted)
    later = (await shared.seen([1]))[1].replace(year=2100, month=1)
    assert await shared.touch({1: later})
    seen = (await two.http.get("/api/auth/usuarios/activos", headers=two.headers)).json()["usuarios"][0]
    assert seen["ultima_actividad"].startswith("2100")
