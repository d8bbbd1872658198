"""Keeping an outside store in step with the transactions of the database.

The database decides. A write is first *staged* in the outside store, where nobody sees it (a store that is down refuses
here, and the whole unit of work fails). The transaction then writes the change's id into ``maintenance_changes``. After
the commit the change is *confirmed*; when the transaction fails it is *discarded*. Whatever is left after a kill is
settled by the same question: is the id in the table? The answer is final as soon as one holds the row lock of the
change's machines, because every writer holds it from before the staging until its transaction has ended. (ADR 0011)
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import uuid4

import structlog
from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from parcela.core.clock import Clock
from parcela.core.errors import ParcelaError
from parcela.core.machines import MaintenanceState
from parcela.models import MaintenanceChange
from parcela.repositories.maintenance.sql import SqlActivityStore
from parcela.repositories.maintenance.store import (
    Activity,
    ActivityPage,
    ActivityStore,
    MaintenanceRecord,
    MonthCount,
    OutsideStore,
    RecordFilter,
    RecordPage,
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outside:
    """The outside stores of an installation."""

    records: OutsideStore
    activity: ActivityStore


class ChangeRepository:
    """Ids of changes this database has agreed to."""

    def __init__(self, session: AsyncSession, clock: Clock) -> None:
        """Work in a session of the unit of work."""
        self._session = session
        self._clock = clock

    async def add(self, change_id: str, machine_ids: Iterable[int]) -> None:
        """Agree to a change; true once the transaction is committed."""
        values = {"id": change_id, "machine_ids": sorted(machine_ids), "created_at": self._clock()}
        await self._session.execute(insert(MaintenanceChange).values(**values))

    async def agreed(self, change_id: str) -> bool:
        """Whether a change was agreed to."""
        found = await self._session.execute(select(MaintenanceChange.id).where(MaintenanceChange.id == change_id))
        return found.one_or_none() is not None

    async def before(self, at: datetime) -> list[str]:
        """Ids of changes that are older, at most 500."""
        statement = select(MaintenanceChange.id).where(MaintenanceChange.created_at < at).limit(500)
        return list((await self._session.scalars(statement)).all())

    async def remove(self, ids: Sequence[str]) -> None:
        """Forget changes that the outside store has carried out."""
        await self._session.execute(
            delete(MaintenanceChange).where(MaintenanceChange.id.in_(ids)),
            execution_options={"synchronize_session": False},
        )


class OutsideMaintenance:
    """``MaintenanceStore`` of one writing unit of work over an outside store.

    Reads show what is confirmed, not what this unit of work has staged, but for the last record of a plan: the plan's
    days follow from it in the same unit of work. A record may be written once per unit of work.
    """

    def __init__(self, store: OutsideStore, changes: ChangeRepository) -> None:
        """Begin without a change."""
        self._store = store
        self._changes = changes
        self._change_id = ""
        self._machine_ids: set[int] = set()
        self._staged: dict[str, MaintenanceRecord | None] = {}
        self._undecided = True  # whether nothing was asked of the database yet

    # ---- writes

    async def add(self, record: MaintenanceRecord) -> None:
        """See the port."""
        await self._store.stage_add(await self._change(record.id, record.machine_id), record)
        self._staged[record.id] = record

    async def update(self, record: MaintenanceRecord) -> bool:
        """See the port."""
        done = await self._store.stage_update(await self._change(record.id, record.machine_id), record)
        if done:
            self._staged[record.id] = record
        return done

    async def delete(self, record_id: str) -> bool:
        """See the port."""
        record = await self._store.get(record_id)
        if record is None:
            return False
        done = await self._store.stage_delete(await self._change(record_id, record.machine_id), record_id)
        if done:
            self._staged[record_id] = None
        return done

    async def import_record(self, record: MaintenanceRecord) -> None:
        """At once, outside any transaction: it may be repeated."""
        await self._store.import_record(record)

    async def _change(self, record_id: str, machine_id: int) -> str:
        """The id to stage under; what an earlier writer of the record left behind is settled first."""
        for left in await self._store.pending([record_id]):
            if left.change_id == self._change_id:
                raise ValueError(f"record {record_id} is written twice in one unit of work")
            await settle(self._store, self._changes, left.change_id)
        self._change_id = self._change_id or str(uuid4())
        self._machine_ids.add(machine_id)
        return self._change_id

    # ---- reads

    async def get(self, record_id: str) -> MaintenanceRecord | None:
        """See the port."""
        return await self._store.get(record_id)

    async def page(
        self, wanted: RecordFilter, *, limit: int = 50, cursor: str | None = None, newest_first: bool = True
    ) -> RecordPage:
        """See the port."""
        return await self._store.page(wanted, limit=limit, cursor=cursor, newest_first=newest_first)

    async def count(self, wanted: RecordFilter) -> int:
        """See the port."""
        return await self._store.count(wanted)

    async def month_counts(self, wanted: RecordFilter) -> list[MonthCount]:
        """See the port."""
        return await self._store.month_counts(wanted)

    async def last_performed(self, machine_ids: Sequence[int] | None = None) -> Mapping[int, date]:
        """See the port."""
        return await self._store.last_performed(machine_ids)

    async def last_of_plan(
        self, plan_id: int, machine_id: int, *, finished_since: datetime | None = None
    ) -> date | None:
        """See the port. What earlier writers of the machine left behind is settled first, as the lock allows."""
        for left in await self._store.pending():
            if machine_id in left.machine_ids and left.change_id != self._change_id:
                await settle(self._store, self._changes, left.change_id)
        kept = await self._store.last_of_plan_but(plan_id, machine_id, tuple(self._staged), finished_since)
        days = [kept] if kept else []
        for record in self._staged.values():
            if record is not None and record.plan_id == plan_id and record.state is MaintenanceState.DONE:
                finished = record.finished_at
                if finished_since is None or (finished is not None and finished >= finished_since):
                    days.append(record.performed_on)
        return max(days, default=None)

    async def last_of_plans(self, plan_ids: Sequence[int]) -> Mapping[int, date]:
        """See the port."""
        return await self._store.last_of_plans(plan_ids)

    def export(self, wanted: RecordFilter | None = None) -> AsyncIterator[MaintenanceRecord]:
        """See the port."""
        return self._store.export(wanted)

    # ---- the end of the unit of work

    async def agree(self) -> None:
        """Last thing before the commit: write down that the change is to be."""
        if self._change_id:
            await self._changes.add(self._change_id, self._machine_ids)
        # From here on only the database knows: when the answer to the commit gets lost, nobody may discard.
        self._undecided = False

    async def committed(self) -> None:
        """The transaction is durable: let the change be seen."""
        if self._change_id:
            await _later(self._store.confirm(self._change_id), "confirm", self._change_id)
            self._change_id = ""

    async def abandoned(self) -> None:
        """The unit of work ended without a commit: forget what was staged."""
        if self._change_id and self._undecided:
            await _later(self._store.discard(self._change_id), "discard", self._change_id)
            self._change_id = ""


async def settle(store: OutsideStore, changes: ChangeRepository, change_id: str) -> None:
    """Carry out or throw away a change that was left; the row locks of its machines must be held."""
    if await changes.agreed(change_id):
        await store.confirm(change_id)
    else:
        await store.discard(change_id)


async def _later(ending: object, what: str, change_id: str) -> None:
    """Await an ending that the reconciler would repeat when it fails."""
    try:
        await ending  # type: ignore[misc]
    except ParcelaError as exc:
        log.warning("maintenance.left_for_later", what=what, change=change_id, reason=exc.message)


class OutsideActivity:
    """``ActivityStore`` over an outside store: entries go into the transaction and are sent on after it."""

    def __init__(self, store: ActivityStore, waiting: SqlActivityStore) -> None:
        """Take both."""
        self._store = store
        self._waiting = waiting

    async def append(self, entries: Sequence[Activity]) -> None:
        """Into the transaction; the activity log never makes a write fail because its store is down."""
        await self._waiting.append(entries)

    async def page(self, *, machine_id: int | None = None, limit: int = 50, cursor: str | None = None) -> ActivityPage:
        """What was sent on already."""
        return await self._store.page(machine_id=machine_id, limit=limit, cursor=cursor)

    async def count(self) -> int:
        """What was sent on already."""
        return await self._store.count()

    def export(self) -> AsyncIterator[Activity]:
        """What was sent on already."""
        return self._store.export()

    async def forget_machine(self, machine_id: int) -> int:
        """Both what waits and what was sent on."""
        return await self._waiting.forget_machine(machine_id) + await self._store.forget_machine(machine_id)
