"""MongoDB killed and started again, MariaDB restarted: what goes on, what is refused, what is whole afterwards."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from parcela.db.migrate import upgrade
from tests.integration.http.lab import problem
from tests.integration.stores.replicas import Replica, replica, replica_settings, until
from tests.support.daemons import Daemon, own_mariadb, own_mongo

pytestmark = [pytest.mark.anyio, pytest.mark.store]
UNAVAILABLE = "maintenance_store_unavailable"


@pytest.fixture
def mongo_server(tmp_path: Path) -> Iterator[Daemon]:
    with own_mongo(tmp_path) as daemon:
        yield daemon


@pytest.fixture
def mariadb_server(tmp_path: Path) -> Iterator[Daemon]:
    with own_mariadb(tmp_path) as daemon:
        yield daemon


def told_of(lines: list[Any], store: str) -> list[tuple[str, str]]:
    return [(line["event"], line["log_level"]) for line in lines if line.get("store") == store]


async def records_of(one: Replica, machine_id: int) -> list[str]:
    answer = await one.call("GET", f"/maintenance-records/?machine_id={machine_id}")
    assert answer.status_code == 200, answer.text
    return sorted(record["notes"] for record in answer.json()["items"])


async def test_mongodb_is_lost_and_comes_back(mongo_server: Daemon, tmp_path: Path, anyio_backend: str) -> None:
    url = f"sqlite:///{tmp_path / 'parcela.db'}"
    upgrade(url)
    async with replica(replica_settings(tmp_path / "one", url, MONGO_URL=mongo_server.url)) as one:
        await one.login()
        assert (await one.health())["mongodb"] == "ok"
        made = await one.call("POST", "/machines/", json={"code": "PC-1", "type": "PC"})
        assert made.status_code == 201, made.text
        machine = made.json()

        def job(notes: str) -> dict[str, Any]:
            return {"machine_id": machine["id"], "kind": "preventive", "state": "done", "notes": notes}

        answer = await one.call("POST", "/maintenance-records/", json=job("before"))
        assert answer.status_code == 201, answer.text
        with capture_logs() as lines:
            mongo_server.kill()
            for notes in ("lost 1", "lost 2"):
                refused = await one.call("POST", "/maintenance-records/", json=job(notes))
                problem(refused, 503, UNAVAILABLE)
                assert int(refused.headers["retry-after"]) > 0
            problem(await one.call("GET", "/maintenance-records/"), 503, UNAVAILABLE)
            await one.until_health("mongodb", "down")
            for path in ("/machines/", f"/machines/{machine['id']}"):
                assert (await one.call("GET", path)).status_code == 200, path
            changed = await one.call(
                "PATCH",
                f"/machines/{machine['id']}",
                json={"area": "Lab 2"},
            )
            assert changed.status_code == 200, changed.text
            other = await one.call("POST", "/machines/", json={"code": "PC-2", "type": "PC"})
            assert other.status_code == 201, other.text
            mongo_server.start()
            await one.until_health("mongodb", "ok")
        assert told_of(lines, "mongodb") == [("store.lost", "warning"), ("store.returned", "info")]
        assert await records_of(one, machine["id"]) == ["before"]
        answer = await one.call("POST", "/maintenance-records/", json=job("after"))
        assert answer.status_code == 201, answer.text
        assert await records_of(one, machine["id"]) == ["after", "before"]
        outside = one.services.stores.outside
        assert outside is not None
        assert await outside.records.pending() == []


async def test_it_starts_without_mongodb(mongo_server: Daemon, tmp_path: Path, anyio_backend: str) -> None:
    mongo_server.kill()
    url = f"sqlite:///{tmp_path / 'parcela.db'}"
    upgrade(url)
    async with replica(replica_settings(tmp_path / "one", url, MONGO_URL=mongo_server.url)) as one:
        await one.login()
        assert (await one.health())["mongodb"] == "down"
        problem(await one.call("GET", "/maintenance-records/"), 503, UNAVAILABLE)
        mongo_server.start()
        await one.until_health("mongodb", "ok")
        assert (await one.call("GET", "/maintenance-records/")).json()["items"] == []


@pytest.mark.database
async def test_mariadb_is_restarted_under_requests(mariadb_server: Daemon, tmp_path: Path, anyio_backend: str) -> None:
    upgrade(mariadb_server.url)
    async with replica(replica_settings(tmp_path / "one", mariadb_server.url)) as one:
        await one.login()
        down = asyncio.Event()
        seen: list[tuple[bool, int, bool]] = []
        stop = asyncio.Event()

        async def ask(number: int) -> None:
            count = 0
            while not stop.is_set():
                count += 1
                was_down = down.is_set()
                if number % 2:
                    answer = await one.call("GET", "/flavours/")
                else:
                    body = {"name": f"f{number}-{count}", "vcpus": 1, "memory_mib": 128, "disk_gib": 1}
                    answer = await one.call("POST", "/flavours/", json=body)
                # An answer counts as one of the downtime when a part of it was.
                seen.append((was_down or down.is_set(), answer.status_code, "retry-after" in answer.headers))

        async with asyncio.TaskGroup() as tasks:
            for number in range(4):
                tasks.create_task(ask(number))
            await until(lambda: len(seen) > 20)
            down.set()
            await asyncio.to_thread(mariadb_server.kill)

            async def noticed() -> bool:
                return (await one.health())["database"] == "down"

            await until(noticed)
            await until(lambda: any(status == 503 for _, status, _ in seen))
            await asyncio.to_thread(mariadb_server.start)

            async def answers() -> bool:
                return (await one.call("GET", "/flavours/")).status_code == 200

            await until(answers)
            # Requests that began before may still be on their way; what begins from here on is after the downtime.
            behind = len(seen)
            await until(lambda: len(seen) > behind + 8)
            down.clear()
            count = len(seen)
            await until(lambda: len(seen) > count + 40)
            stop.set()
        assert {status for was_down, status, _ in seen if not was_down} == {200, 201}
        assert {status for was_down, status, _ in seen if was_down} <= {200, 201, 503}
        assert all(retry_after for _, status, retry_after in seen if status == 503)
