"""Moving maintenance records between tables and a real MongoDB: proven, repeatable, and not hurt by being cut off."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from parcela.core.errors import ParcelaError
from parcela.db.database import Database
from parcela.db.mongo import Mongo
from parcela.repositories.maintenance.codec import checksum
from parcela.repositories.maintenance.mongo import MongoActivityStore, MongoMaintenanceStore, MoveMarker
from parcela.repositories.uow import UnitOfWorkFactory
from parcela.services.inventory import record_store_migration
from parcela.services.inventory.record_store_migration import MongoSide, Proof, Side, SqlSide, StoreKind, StoreMove
from tests.contract.stores.makers import activity, an_id, bare, record
from tests.support.mongo import drop, fresh_url, mongo_database, why_no_mongo
from tests.support.servers import Template

pytestmark = [pytest.mark.anyio, pytest.mark.store]
SQL, MONGO = StoreKind.SQL, StoreKind.MONGO
RECORDS = [record(1), bare(2), *(record(n, machine_id=n, notes=f"☂ {n}") for n in range(3, 8))]
ENTRIES = [activity(n, machine_id=n) for n in range(1, 6)]


class CutOffError(BaseException):
    """The process was killed."""


class Ends:
    """Both ends of a move, and a switch that kills at the nth write."""

    def __init__(self, uows: UnitOfWorkFactory, mongo: Mongo) -> None:
        self.uows = uows
        self.stores = MongoMaintenanceStore(mongo), MongoActivityStore(mongo)
        self.marker = MoveMarker(mongo)
        self.sides: dict[StoreKind, Side] = {SQL: SqlSide(uows), MONGO: MongoSide(*self.stores)}
        self.writes = 0
        self.die_at: int | None = None

    def move(self) -> StoreMove:
        move = StoreMove(self.uows, self.stores, self.marker, lambda side: _Mortal(side, self))
        setattr(move, "_marker", _Mortal(self.marker, self))  # noqa: B010 (it stands for the marker)
        return move

    async def fill(self, kind: StoreKind) -> Proof:
        await self.sides[kind].put_records(RECORDS)
        await self.sides[kind].put_activity(ENTRIES)
        return await self.proof(kind)

    async def proof(self, kind: StoreKind) -> Proof:
        return Proof(await checksum(self.sides[kind].records()), await checksum(self.sides[kind].activity()))


class _Mortal:
    """An end whose writes count."""

    def __init__(self, inner: Any, ends: Ends) -> None:
        self._inner, self._ends = inner, ends

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not name.startswith(("put", "drop", "write", "clear")):
            return found

        async def write(*arguments: Any) -> None:
            self._ends.writes += 1
            if self._ends.writes == self._ends.die_at:
                raise CutOffError
            await found(*arguments)

        return write


@pytest.fixture
async def ends(furnished: Callable[[str], Template], tmp_path: Path, anyio_backend: str) -> AsyncIterator[Ends]:
    if reason := why_no_mongo():
        pytest.skip(reason)
    database = Database(furnished("sqlite").clone(tmp_path))
    async with mongo_database() as mongo:
        ends = Ends(UnitOfWorkFactory(database), mongo)
        await mongo.start()
        yield ends
    await database.aclose()


def other(kind: StoreKind) -> StoreKind:
    return SQL if kind is MONGO else MONGO


@pytest.mark.parametrize("to", [MONGO, SQL])
async def test_everything_is_there_afterwards_and_only_there(ends: Ends, to: StoreKind) -> None:
    before = await ends.fill(other(to))
    assert before.records.count == len(RECORDS)
    assert await ends.move().run(to) == before
    assert await ends.proof(to) == before
    assert (await ends.proof(other(to))).empty
    assert [one async for one in ends.sides[to].records()] == RECORDS
    assert await ends.move().run(to) == before  # once more changes nothing


@pytest.mark.parametrize("to", [MONGO, SQL])
async def test_cut_off_before_any_write_and_repeated_it_ends_the_same(
    ends: Ends, to: StoreKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_store_migration, "BATCH", 3)
    before = await ends.fill(other(to))
    cut = 0
    while True:
        cut += 1
        ends.writes, ends.die_at = 0, cut
        try:
            proof = await ends.move().run(to)
        except CutOffError:
            ends.die_at = None
            assert await ends.move().run(to) == before, cut
            await ends.move().run(other(to))  # back again, for the next cut
            assert await ends.proof(other(to)) == before
            continue
        assert proof == before
        break
    assert cut > 10  # it was cut at every one of them


async def test_what_changed_after_a_cut_is_moved_as_it_is_now(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_store_migration, "BATCH", 2)
    await ends.fill(SQL)
    ends.die_at = 4
    with pytest.raises(CutOffError):
        await ends.move().run(MONGO)
    ends.die_at = None
    await ends.sides[SQL].drop_records([an_id(1)])
    await ends.sides[SQL].put_records([replace(RECORDS[1], notes="changed since")])
    now = await ends.proof(SQL)
    assert await ends.move().run(MONGO) == now
    assert await ends.proof(MONGO) == now


async def test_two_filled_stores_are_not_mixed(ends: Ends) -> None:
    here = await ends.fill(SQL)
    await ends.sides[MONGO].put_records([record(99)])
    there = await ends.proof(MONGO)
    with pytest.raises(ParcelaError) as caught:
        await ends.move().run(MONGO)
    assert caught.value.code == "both_stores_filled"
    assert (await ends.proof(SQL), await ends.proof(MONGO)) == (here, there)
    assert await ends.move().run(MONGO, replace=True) == here
    assert await ends.proof(MONGO) == here


async def test_a_move_is_finished_before_another_begins(ends: Ends) -> None:
    await ends.fill(SQL)
    ends.die_at = 2
    with pytest.raises(CutOffError):
        await ends.move().run(MONGO)
    ends.die_at = None
    with pytest.raises(ParcelaError) as caught:
        await ends.move().run(SQL)
    assert caught.value.code == "other_move_unfinished"


async def test_a_record_written_meanwhile_is_noticed(ends: Ends) -> None:
    await ends.fill(SQL)

    class Busy(_Mortal):
        def __getattr__(self, name: str) -> Any:
            found = super().__getattr__(name)
            if name != "put_activity":
                return found

            async def meanwhile(entries: Sequence[Any]) -> None:
                await found(entries)
                await ends.sides[SQL].put_records([record(50)])

            return meanwhile

    move = StoreMove(ends.uows, ends.stores, ends.marker, lambda side: Busy(side, ends))
    with pytest.raises(ParcelaError) as caught:
        await move.run(MONGO)
    assert caught.value.code == "stores_differ"
    assert (await ends.proof(SQL)).records.count == len(RECORDS) + 1


async def test_changes_under_way_and_waiting_entries_come_along(ends: Ends) -> None:
    records, log = ends.stores
    await records.add(record(1))
    await records.stage_update(an_id(201), record(1, notes="agreed"))
    await records.stage_add(an_id(202), record(2))
    async with ends.uows.write() as uow:
        await uow.maintenance_changes.add(an_id(201), [7])
        await uow.activity.append([activity(1)])  # waits for being sent to MongoDB
        await uow.commit()
    await log.append([activity(2)])
    proof = await ends.move().run(SQL)
    assert [one async for one in ends.sides[SQL].records()] == [record(1, notes="agreed")]
    assert [one async for one in ends.sides[SQL].activity()] == [activity(1), activity(2)]
    assert (proof.records.count, proof.activity.count) == (1, 2)


def test_the_command_prints_what_it_proved(furnished: Callable[[str], Template], tmp_path: Path) -> None:
    if reason := why_no_mongo():
        pytest.skip(reason)
    url = fresh_url()
    environ = os.environ | {
        "PARCELA_DATA_DIR": str(tmp_path / "data"),
        "DATABASE_URL": furnished("sqlite").clone(tmp_path),
        "MONGO_URL": url,
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = (sys.executable, "-m", "parcela.cli", "store", "move", *arguments)
        return subprocess.run(command, env=environ, check=False, capture_output=True, text=True, timeout=400)

    try:
        done = run("--to", "mongo", "--json")
        assert done.returncode == 0, done.stderr
        facts = json.loads(done.stdout)
        assert (facts["to"], facts["records"]["count"], len(facts["records"]["sha256"])) == ("mongo", 0, 64)
        assert "sha" in run("--to", "sql").stdout.lower()
        environ["MONGO_URL"] = ""
        refused = run("--to", "sql", "--json")
        assert (refused.returncode, json.loads(refused.stderr)["code"]) == (78, "settings_invalid")
    finally:
        drop(url)
