"""Moves maintenance records and the activity log from one kind of store to the other, and proves it.

A move has two phases. *Copying* makes the target equal to the source; it may be cut off and begun again, and the source
stays what it was. Then counts and checksums of both sides are compared, and only when they agree the source is
*emptied*. Which phase it is stands in MongoDB, which takes part in every move.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from parcela.core.errors import ErrorKind, ParcelaError, conflict
from parcela.repositories.maintenance.codec import Checksum, checksum
from parcela.repositories.maintenance.external_sync import settle
from parcela.repositories.maintenance.mongo import MongoActivityStore, MongoMaintenanceStore, MoveMarker
from parcela.repositories.maintenance.store import Activity, MaintenanceRecord
from parcela.repositories.uow import UnitOfWorkFactory

ItemT = TypeVar("ItemT", MaintenanceRecord, Activity)
BATCH = 200


class StoreKind(StrEnum):
    """Where maintenance records are."""

    SQL = "sql"
    MONGO = "mongo"


@dataclass(frozen=True, slots=True)
class Proof:
    """Count and checksum of both stores of one side."""

    records: Checksum
    activity: Checksum

    @property
    def empty(self) -> bool:
        """Whether there is nothing."""
        return self.records.count == self.activity.count == 0


class Side(Protocol):
    """One end of a move. Writes may be repeated."""

    def records(self) -> AsyncIterator[MaintenanceRecord]:
        """All records by id."""
        ...

    def activity(self) -> AsyncIterator[Activity]:
        """All entries by id."""
        ...

    async def put_records(self, records: Sequence[MaintenanceRecord]) -> None:
        """Store records over what has their ids."""
        ...

    async def put_activity(self, entries: Sequence[Activity]) -> None:
        """Store entries that are not there yet."""
        ...

    async def drop_records(self, ids: Sequence[str]) -> None:
        """Remove records."""
        ...

    async def drop_activity(self, ids: Sequence[str]) -> None:
        """Remove entries."""
        ...


class SqlSide:
    """The tables of the relational database."""

    def __init__(self, uows: UnitOfWorkFactory) -> None:
        """Take units of work without an outside store."""
        self._uows = uows

    async def records(self) -> AsyncIterator[MaintenanceRecord]:
        """See ``Side``."""
        async with self._uows.read() as uow:
            async for record in uow.maintenance.export():
                yield record

    async def activity(self) -> AsyncIterator[Activity]:
        """See ``Side``."""
        async with self._uows.read() as uow:
            async for entry in uow.activity.export():
                yield entry

    async def put_records(self, records: Sequence[MaintenanceRecord]) -> None:
        """See ``Side``."""
        async with self._uows.write() as uow:
            for record in records:
                await uow.maintenance.import_record(record)
            await uow.commit()

    async def put_activity(self, entries: Sequence[Activity]) -> None:
        """See ``Side``."""
        async with self._uows.write() as uow:
            await uow.activity.append(entries)
            await uow.commit()

    async def drop_records(self, ids: Sequence[str]) -> None:
        """See ``Side``."""
        async with self._uows.write() as uow:
            for record_id in ids:
                await uow.maintenance.delete(record_id)
            await uow.commit()

    async def drop_activity(self, ids: Sequence[str]) -> None:
        """See ``Side``."""
        async with self._uows.write() as uow:
            await uow.waiting_activity.remove(ids)
            await uow.commit()


class MongoSide:
    """MongoDB."""

    def __init__(self, records: MongoMaintenanceStore, activity: MongoActivityStore) -> None:
        """Take both stores."""
        self._records = records
        self._activity = activity

    def records(self) -> AsyncIterator[MaintenanceRecord]:
        """See ``Side``."""
        return self._records.export()

    def activity(self) -> AsyncIterator[Activity]:
        """See ``Side``."""
        return self._activity.export()

    async def put_records(self, records: Sequence[MaintenanceRecord]) -> None:
        """See ``Side``."""
        for record in records:
            await self._records.import_record(record)

    async def put_activity(self, entries: Sequence[Activity]) -> None:
        """See ``Side``."""
        await self._activity.append(entries)

    async def drop_records(self, ids: Sequence[str]) -> None:
        """See ``Side``."""
        for record_id in ids:
            await self._records.delete(record_id)

    async def drop_activity(self, ids: Sequence[str]) -> None:
        """See ``Side``."""
        await self._activity.remove(ids)


class StoreMove:
    """One move. No Parcela process may work on the installation meanwhile; one that does is noticed by the proof."""

    def __init__(
        self,
        uows: UnitOfWorkFactory,
        mongo: tuple[MongoMaintenanceStore, MongoActivityStore],
        marker: MoveMarker,
        sides: Callable[[Side], Side] = lambda side: side,
    ) -> None:
        """Take both ends and the marker of the phase; tests wrap the ends."""
        self._uows = uows
        self._mongo = mongo
        self._marker = marker
        self._sides: dict[StoreKind, Side] = {
            StoreKind.SQL: sides(SqlSide(uows)),
            StoreKind.MONGO: sides(MongoSide(*mongo)),
        }

    async def run(self, to: StoreKind, *, replace: bool = False) -> Proof:
        """Move everything; what is at the target in the end, equal to what the source had.

        Args:
            to: the target.
            replace: throw away what the target has, when both have something and no move was under way.

        Raises:
            ParcelaError: ``conflict`` with ``both_stores_filled``, ``other_move_unfinished`` or ``stores_differ``;
                ``unavailable`` when one of them does not answer. A repeat goes on from there.
        """
        target = self._sides[to]
        source = self._sides[StoreKind.MONGO if to is StoreKind.SQL else StoreKind.SQL]
        phase = await self._marker.read()
        if phase and phase["to"] != to.value:
            text = f"A move to '{phase['to']}' was begun and not finished; finish it first."
            raise conflict("other_move_unfinished", text)
        if phase is None or phase["phase"] == "copying":
            await self._settle()
            if phase is None and to is StoreKind.SQL:
                await self._send_waiting()
            proof = await self._copy(source, target, to, begun=phase is not None, replace=replace)
            if proof is None:
                there = await _proof(target)
                await self._note(to, there)
                return there
            phase = {"to": to.value, "phase": "emptying", "proof": asdict(proof)}
            await self._marker.write(phase)
        await self._empty(source, target)
        facts: dict[str, Any] = phase["proof"]
        proof = Proof(Checksum(**facts["records"]), Checksum(**facts["activity"]))
        await self._note(to, proof)
        await self._marker.clear()
        return proof

    async def _note(self, to: StoreKind, proof: Proof) -> None:
        """Let the database know where the records are, for a start without ``MONGO_URL``."""
        async with self._uows.write() as uow:
            await uow.maintenance_place.note_mongodb(filled=to is StoreKind.MONGO and proof.records.count > 0)
            await uow.commit()

    async def _copy(self, source: Side, target: Side, to: StoreKind, *, begun: bool, replace: bool) -> Proof | None:
        """Make the target equal to the source; None when there is nothing to move."""
        wanted, there = await _proof(source), await _proof(target)
        if wanted.empty and not begun:
            return None
        if not (there.empty or begun or replace or there == wanted):
            text = (
                f"Both stores have something: {wanted.records.count} records would be moved onto "
                f"{there.records.count}. Look which are the right ones; --replace throws the others away."
            )
            raise conflict("both_stores_filled", text)
        await self._marker.write({"to": to.value, "phase": "copying"})
        await _make_equal(source.records, target.records, target.put_records, target.drop_records)
        await _make_equal(source.activity, target.activity, target.put_activity, target.drop_activity)
        before, copied = await _proof(source), await _proof(target)
        if not before == wanted == copied:
            text = "The records changed while they were copied; stop every Parcela process, then try again."
            raise conflict("stores_differ", text)
        return copied

    async def _empty(self, source: Side, target: Side) -> None:
        """Remove from the source what the target has; all of it was proven to be there."""
        await _drop_all(source.records, target.records, source.drop_records)
        await _drop_all(source.activity, target.activity, source.drop_activity)

    async def _settle(self) -> None:
        """Finish the changes that a Parcela left between the two."""
        records, _ = self._mongo
        while pending := await records.pending():
            async with self._uows.write() as uow:
                for change in pending:
                    await settle(records, uow.maintenance_changes, change.change_id)
                await uow.commit()

    async def _send_waiting(self) -> None:
        """Where MongoDB is in use, what the tables have of the log only waits for being sent there."""
        sql, mongo = await _proof(self._sides[StoreKind.SQL]), await _proof(self._sides[StoreKind.MONGO])
        if mongo.empty or sql.records.count:
            return
        _, activity = self._mongo
        while True:
            async with self._uows.write() as uow:
                waiting = await uow.waiting_activity.oldest(BATCH)
                if not waiting:
                    return
                await activity.append(waiting)
                await uow.waiting_activity.remove([entry.id for entry in waiting])
                await uow.commit()


async def _proof(side: Side) -> Proof:
    return Proof(await checksum(side.records()), await checksum(side.activity()))


async def _make_equal(
    wanted: Callable[[], AsyncIterator[ItemT]],
    there: Callable[[], AsyncIterator[ItemT]],
    put: Callable[[Sequence[ItemT]], Awaitable[None]],
    drop: Callable[[Sequence[str]], Awaitable[None]],
) -> None:
    ids: set[str] = set()
    batch: list[ItemT] = []
    async for item in wanted():
        ids.add(item.id)
        batch.append(item)
        if len(batch) == BATCH:
            await put(batch)
            batch = []
    if batch:
        await put(batch)
    await _drop(drop, [item.id async for item in there() if item.id not in ids])


async def _drop_all(
    source: Callable[[], AsyncIterator[ItemT]],
    target: Callable[[], AsyncIterator[ItemT]],
    drop: Callable[[Sequence[str]], Awaitable[None]],
) -> None:
    kept = {item.id async for item in target()}
    ids = [item.id async for item in source()]
    if not kept.issuperset(ids):
        raise ParcelaError(
            ErrorKind.CONFLICT, "stores_differ", "The source has records that the target lacks; nothing was removed."
        )
    await _drop(drop, ids)


async def _drop(drop: Callable[[Sequence[str]], Awaitable[None]], ids: Sequence[str]) -> None:
    for start in range(0, len(ids), BATCH):
        await drop(ids[start : start + BATCH])
