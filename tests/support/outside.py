"""An outside store in memory: what the ports ask for and nothing else, with a switch to make it fall silent."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from parcela.core.collation import folded
from parcela.core.errors import ErrorKind, ParcelaError
from parcela.core.machines import MaintenanceState
from parcela.repositories.maintenance.codec import decode_cursor, encode_cursor
from parcela.repositories.maintenance.sql import ACTIVITY_LIST, exists, list_name
from parcela.repositories.maintenance.store import (
    Activity,
    ActivityPage,
    MaintenanceRecord,
    MonthCount,
    PendingChange,
    RecordFilter,
    RecordPage,
)


@dataclass
class _Staged:
    change_id: str
    machine_id: int
    record: MaintenanceRecord | None  # None: to be removed


@dataclass
class MemoryMaintenance:
    """Implements ``OutsideStore``."""

    records: dict[str, MaintenanceRecord] = field(default_factory=dict)
    staged: dict[str, _Staged] = field(default_factory=dict)
    silent: bool = False
    confirms: bool = True

    def _answer(self) -> None:
        if self.silent:
            raise ParcelaError(ErrorKind.UNAVAILABLE, "maintenance_store_unavailable", "The store does not answer.")

    async def add(self, record: MaintenanceRecord) -> None:
        self._answer()
        if record.id in self.records:
            raise exists(record.id)
        self.records[record.id] = record

    async def get(self, record_id: str) -> MaintenanceRecord | None:
        self._answer()
        return self.records.get(record_id)

    async def update(self, record: MaintenanceRecord) -> bool:
        self._answer()
        if record.id not in self.records:
            return False
        self.records[record.id] = record
        return True

    async def delete(self, record_id: str) -> bool:
        self._answer()
        return self.records.pop(record_id, None) is not None

    async def page(
        self, wanted: RecordFilter, *, limit: int = 50, cursor: str | None = None, newest_first: bool = True
    ) -> RecordPage:
        name = list_name(newest_first=newest_first)
        found = self._found(wanted)
        found.sort(key=lambda record: (record.performed_on, record.id), reverse=newest_first)
        if cursor:
            behind = decode_cursor(cursor, name, timed=False)
            found = [
                r
                for r in found
                if ((r.performed_on, r.id) < behind) == newest_first and (r.performed_on, r.id) != behind
            ]
        more = len(found) > limit
        found = found[:limit]
        return RecordPage(found, encode_cursor(name, found[-1].performed_on, found[-1].id) if more else None)

    async def count(self, wanted: RecordFilter) -> int:
        return len(self._found(wanted))

    async def month_counts(self, wanted: RecordFilter) -> list[MonthCount]:
        keys = [(record.performed_on.replace(day=1), record.kind) for record in self._found(wanted)]
        counts = [MonthCount(month, kind, keys.count((month, kind))) for month, kind in set(keys)]
        return sorted(counts, key=lambda count: (count.month, count.kind.value))

    async def last_performed(self, machine_ids: Sequence[int] | None = None) -> Mapping[int, date]:
        ids = None if machine_ids is None else tuple(machine_ids)
        last: dict[int, date] = {}
        for record in self._found(RecordFilter(ids, state=MaintenanceState.DONE)):
            last[record.machine_id] = max(last.get(record.machine_id, date.min), record.performed_on)
        return last

    async def last_of_plan(
        self, plan_id: int, machine_id: int, *, finished_since: datetime | None = None
    ) -> date | None:
        return await self.last_of_plan_but(plan_id, machine_id, (), finished_since)

    async def last_of_plan_but(
        self, plan_id: int, machine_id: int, but: Collection[str], finished_since: datetime | None = None
    ) -> date | None:
        found = self._found(RecordFilter(state=MaintenanceState.DONE))
        return max(
            (
                record.performed_on
                for record in found
                if (record.plan_id, record.machine_id) == (plan_id, machine_id)
                and record.id not in but
                and (finished_since is None or (record.finished_at and record.finished_at >= finished_since))
            ),
            default=None,
        )

    async def last_of_plans(self, plan_ids: Sequence[int]) -> Mapping[int, date]:
        days = {
            plan_id: [
                record.performed_on
                for record in self._found(RecordFilter(state=MaintenanceState.DONE))
                if record.plan_id == plan_id
            ]
            for plan_id in plan_ids
        }
        return {plan_id: max(found) for plan_id, found in days.items() if found}

    async def export(self, wanted: RecordFilter | None = None) -> AsyncIterator[MaintenanceRecord]:
        for record in sorted(self._found(wanted or RecordFilter()), key=lambda record: record.id):
            yield record

    async def import_record(self, record: MaintenanceRecord) -> None:
        self._answer()
        self.records[record.id] = record

    # ---- changes in two steps

    async def stage_add(self, change_id: str, record: MaintenanceRecord) -> None:
        self._answer()
        if record.id in self.records or record.id in self.staged:
            raise exists(record.id)
        self.staged[record.id] = _Staged(change_id, record.machine_id, record)

    async def stage_update(self, change_id: str, record: MaintenanceRecord) -> bool:
        self._answer()
        if record.id not in self.records:
            return False
        self.staged[record.id] = _Staged(change_id, record.machine_id, record)
        return True

    async def stage_delete(self, change_id: str, record_id: str) -> bool:
        self._answer()
        if record_id not in self.records:
            return False
        self.staged[record_id] = _Staged(change_id, self.records[record_id].machine_id, None)
        return True

    async def confirm(self, change_id: str) -> None:
        self._answer()
        if not self.confirms:
            raise ParcelaError(ErrorKind.UNAVAILABLE, "maintenance_store_unavailable", "The store does not answer.")
        for record_id in [key for key, staged in self.staged.items() if staged.change_id == change_id]:
            record = self.staged.pop(record_id).record
            if record is None:
                del self.records[record_id]
            else:
                self.records[record_id] = record

    async def discard(self, change_id: str) -> None:
        self._answer()
        self.staged = {key: staged for key, staged in self.staged.items() if staged.change_id != change_id}

    async def pending(self, record_ids: Sequence[str] | None = None, *, limit: int = 100) -> list[PendingChange]:
        self._answer()
        machines: dict[str, set[int]] = {}
        for record_id, staged in self.staged.items():
            if record_ids is None or record_id in record_ids:
                machines.setdefault(staged.change_id, set()).add(staged.machine_id)
        return [PendingChange(change_id, tuple(sorted(ids))) for change_id, ids in machines.items()][:limit]

    def _found(self, wanted: RecordFilter) -> list[MaintenanceRecord]:
        self._answer()
        return [record for record in self.records.values() if _fits(record, wanted)]


def _fits(record: MaintenanceRecord, wanted: RecordFilter) -> bool:
    def has(part: str, *texts: str) -> bool:
        return not part or any(folded(part) in folded(text) for text in texts)

    return (
        (wanted.machine_ids is None or record.machine_id in wanted.machine_ids)
        and wanted.kind in {None, record.kind}
        and wanted.state in {None, record.state}
        and (wanted.since is None or record.performed_on >= wanted.since)
        and (wanted.until is None or record.performed_on <= wanted.until)
        and has(wanted.company, record.company)
        and has(wanted.technician, record.technician)
        and has(wanted.text, record.company, record.technician, record.notes)
    )


@dataclass
class MemoryActivity:
    """Implements ``ActivityStore``."""

    entries: dict[str, Activity] = field(default_factory=dict)
    silent: bool = False

    def _answer(self) -> None:
        if self.silent:
            raise ParcelaError(ErrorKind.UNAVAILABLE, "activity_store_unavailable", "The store does not answer.")

    async def append(self, entries: Sequence[Activity]) -> None:
        self._answer()
        for entry in entries:
            self.entries.setdefault(entry.id, entry)

    async def page(self, *, machine_id: int | None = None, limit: int = 50, cursor: str | None = None) -> ActivityPage:
        self._answer()
        found = [entry for entry in self.entries.values() if machine_id in {None, entry.machine_id}]
        found.sort(key=lambda entry: (entry.at, entry.id), reverse=True)
        if cursor:
            behind = decode_cursor(cursor, ACTIVITY_LIST, timed=True)
            found = [entry for entry in found if (entry.at, entry.id) < behind]
        more = len(found) > limit
        found = found[:limit]
        return ActivityPage(found, encode_cursor(ACTIVITY_LIST, found[-1].at, found[-1].id) if more else None)

    async def count(self) -> int:
        self._answer()
        return len(self.entries)

    async def export(self) -> AsyncIterator[Activity]:
        self._answer()
        for entry_id in sorted(self.entries):
            yield self.entries[entry_id]

    async def forget_machine(self, machine_id: int) -> int:
        self._answer()
        gone = [key for key, entry in self.entries.items() if entry.machine_id == machine_id]
        for key in gone:
            del self.entries[key]
        return len(gone)
