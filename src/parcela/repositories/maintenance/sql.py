"""Maintenance records and the activity log in the relational database, inside the unit of work's transaction."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import fields
from datetime import date, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Executable,
    RowMapping,
    and_,
    delete,
    extract,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession

from parcela.core.collation import folded
from parcela.core.errors import conflict
from parcela.core.machines import MaintenanceKind, MaintenanceState
from parcela.models import ActivityRow, MaintenanceRow
from parcela.models.derived import with_derived
from parcela.repositories.maintenance.codec import decode_cursor, encode_cursor
from parcela.repositories.maintenance.store import (
    Activity,
    ActivityPage,
    MaintenanceRecord,
    MonthCount,
    RecordFilter,
    RecordPage,
)

EXPORT_ROWS = 500
ACTIVITY_LIST = "activity"
_RECORD = tuple(field.name for field in fields(MaintenanceRecord))
_ACTIVITY = ("at", "action", "machine_id", "record_id", "actor_id", "actor", "data")


def list_name(*, newest_first: bool) -> str:
    """What cursors of the list of records say it is."""
    return "maintenance-" if newest_first else "maintenance"


class SqlMaintenanceStore:
    """Implements ``MaintenanceStore``."""

    def __init__(self, session: AsyncSession) -> None:
        """Work in a session of the unit of work."""
        self._session = session

    async def add(self, record: MaintenanceRecord) -> None:
        """See the port."""
        if await self.get(record.id) is not None:
            raise exists(record.id)
        await self._session.execute(insert(MaintenanceRow).values(**_values(record)))

    async def get(self, record_id: str) -> MaintenanceRecord | None:
        """See the port."""
        row = (await self._session.execute(_columns().where(MaintenanceRow.id == record_id))).mappings().one_or_none()
        return _record(row) if row is not None else None

    async def update(self, record: MaintenanceRecord) -> bool:
        """See the port."""
        values = with_derived(MaintenanceRow, _values(record))
        del values["id"]
        return await self._changed(update(MaintenanceRow).where(MaintenanceRow.id == record.id).values(**values)) > 0

    async def delete(self, record_id: str) -> bool:
        """See the port."""
        return await self._changed(delete(MaintenanceRow).where(MaintenanceRow.id == record_id)) > 0

    async def page(
        self, wanted: RecordFilter, *, limit: int = 50, cursor: str | None = None, newest_first: bool = True
    ) -> RecordPage:
        """See the port."""
        name, day, row_id = list_name(newest_first=newest_first), MaintenanceRow.performed_on, MaintenanceRow.id
        statement = _columns().where(*_conditions(wanted))
        if cursor:
            last, last_id = decode_cursor(cursor, name, timed=False)
            past = day < last if newest_first else day > last
            id_past = row_id < last_id if newest_first else row_id > last_id
            statement = statement.where(or_(past, and_(day == last, id_past)))
        order = (day.desc(), row_id.desc()) if newest_first else (day.asc(), row_id.asc())
        rows = (await self._session.execute(statement.order_by(*order).limit(limit + 1))).mappings().all()
        records = [_record(row) for row in rows[:limit]]
        more = len(rows) > limit
        return RecordPage(records, encode_cursor(name, records[-1].performed_on, records[-1].id) if more else None)

    async def count(self, wanted: RecordFilter) -> int:
        """See the port."""
        statement = select(func.count()).select_from(MaintenanceRow).where(*_conditions(wanted))
        return int((await self._session.execute(statement)).scalar_one())

    async def month_counts(self, wanted: RecordFilter) -> list[MonthCount]:
        """See the port."""
        year = extract("year", MaintenanceRow.performed_on).label("year")
        month = extract("month", MaintenanceRow.performed_on).label("month")
        statement = select(year, month, MaintenanceRow.kind, func.count()).where(*_conditions(wanted))
        rows = await self._session.execute(statement.group_by(year, month, MaintenanceRow.kind))
        counts = [MonthCount(date(int(y), int(m), 1), MaintenanceKind(kind), n) for y, m, kind, n in rows]
        return sorted(counts, key=lambda count: (count.month, count.kind.value))

    async def last_performed(self, machine_ids: Sequence[int] | None = None) -> Mapping[int, date]:
        """See the port."""
        wanted = RecordFilter(None if machine_ids is None else tuple(machine_ids), state=MaintenanceState.DONE)
        statement = select(MaintenanceRow.machine_id, func.max(MaintenanceRow.performed_on))
        rows = await self._session.execute(statement.where(*_conditions(wanted)).group_by(MaintenanceRow.machine_id))
        return {machine_id: day for machine_id, day in rows}  # noqa: C416 (a result has keys(), which dict() would call)

    async def last_of_plan(
        self, plan_id: int, machine_id: int, *, finished_since: datetime | None = None
    ) -> date | None:
        """See the port."""
        done = MaintenanceRow.state == MaintenanceState.DONE.value
        statement = select(func.max(MaintenanceRow.performed_on)).where(MaintenanceRow.plan_id == plan_id, done)
        statement = statement.where(MaintenanceRow.machine_id == machine_id)
        if finished_since is not None:
            statement = statement.where(MaintenanceRow.finished_at >= finished_since)
        return (await self._session.execute(statement)).scalar_one()

    async def last_of_plans(self, plan_ids: Sequence[int]) -> Mapping[int, date]:
        """See the port."""
        done = MaintenanceRow.state == MaintenanceState.DONE.value
        statement = select(MaintenanceRow.plan_id, func.max(MaintenanceRow.performed_on))
        statement = statement.where(MaintenanceRow.plan_id.in_(plan_ids), done).group_by(MaintenanceRow.plan_id)
        return {plan_id: day for plan_id, day in await self._session.execute(statement) if plan_id is not None}

    async def export(self, wanted: RecordFilter | None = None) -> AsyncIterator[MaintenanceRecord]:
        """See the port."""
        statement = _columns().where(*_conditions(wanted or RecordFilter())).order_by(MaintenanceRow.id)
        last = ""
        while True:
            part = statement.where(MaintenanceRow.id > last).limit(EXPORT_ROWS)
            rows = (await self._session.execute(part)).mappings().all()
            for row in rows:
                yield _record(row)
            if len(rows) < EXPORT_ROWS:
                return
            last = rows[-1]["id"]

    async def import_record(self, record: MaintenanceRecord) -> None:
        """See the port."""
        if not await self.update(record) and await self.get(record.id) is None:
            await self._session.execute(insert(MaintenanceRow).values(**_values(record)))

    async def _changed(self, statement: Executable) -> int:
        result = await self._session.execute(statement, execution_options={"synchronize_session": False})
        return result.rowcount if isinstance(result, CursorResult) else 0


class SqlActivityStore:
    """Implements ``ActivityStore``."""

    def __init__(self, session: AsyncSession) -> None:
        """Work in a session of the unit of work."""
        self._session = session

    async def append(self, entries: Sequence[Activity]) -> None:
        """See the port."""
        there = set(
            await self._session.scalars(select(ActivityRow.uuid).where(ActivityRow.uuid.in_([e.id for e in entries])))
        )
        rows = [
            {"uuid": entry.id} | {name: getattr(entry, name) for name in _ACTIVITY} | {"data": dict(entry.data)}
            for entry in {entry.id: entry for entry in entries}.values()
            if entry.id not in there
        ]
        if rows:
            await self._session.execute(insert(ActivityRow), rows)

    async def page(self, *, machine_id: int | None = None, limit: int = 50, cursor: str | None = None) -> ActivityPage:
        """See the port."""
        statement = _activities()
        if machine_id is not None:
            statement = statement.where(ActivityRow.machine_id == machine_id)
        if cursor:
            last, last_id = decode_cursor(cursor, ACTIVITY_LIST, timed=True)
            past = and_(ActivityRow.at == last, ActivityRow.uuid < last_id)
            statement = statement.where(or_(ActivityRow.at < last, past))
        statement = statement.order_by(ActivityRow.at.desc(), ActivityRow.uuid.desc()).limit(limit + 1)
        rows = (await self._session.execute(statement)).mappings().all()
        entries = [_activity(row) for row in rows[:limit]]
        more = len(rows) > limit
        return ActivityPage(entries, encode_cursor(ACTIVITY_LIST, entries[-1].at, entries[-1].id) if more else None)

    async def count(self) -> int:
        """See the port."""
        return int((await self._session.execute(select(func.count()).select_from(ActivityRow))).scalar_one())

    async def export(self) -> AsyncIterator[Activity]:
        """See the port."""
        last = ""
        while True:
            statement = _activities().where(ActivityRow.uuid > last).order_by(ActivityRow.uuid).limit(EXPORT_ROWS)
            rows = (await self._session.execute(statement)).mappings().all()
            for row in rows:
                yield _activity(row)
            if len(rows) < EXPORT_ROWS:
                return
            last = rows[-1]["id"]

    async def forget_machine(self, machine_id: int) -> int:
        """See the port."""
        result = await self._session.execute(
            delete(ActivityRow).where(ActivityRow.machine_id == machine_id),
            execution_options={"synchronize_session": False},
        )
        return result.rowcount if isinstance(result, CursorResult) else 0

    # ---- where an outside store keeps the log, these rows wait for being sent there

    async def oldest(self, limit: int) -> list[Activity]:
        """The entries that came first."""
        rows = (await self._session.execute(_activities().order_by(ActivityRow.id).limit(limit))).mappings()
        return [_activity(row) for row in rows]

    async def remove(self, ids: Sequence[str]) -> None:
        """Forget entries that are somewhere else now."""
        await self._session.execute(
            delete(ActivityRow).where(ActivityRow.uuid.in_(ids)), execution_options={"synchronize_session": False}
        )


def exists(record_id: str) -> Exception:
    """The error of ``add`` when the id is taken."""
    return conflict("maintenance_record_exists", f"There is already a maintenance record {record_id}.")


def new_id() -> str:
    """An id for a record or an activity."""
    return str(uuid4())


def _columns() -> Any:
    return select(*(getattr(MaintenanceRow, name) for name in _RECORD))


def _activities() -> Any:
    return select(ActivityRow.uuid.label("id"), *(getattr(ActivityRow, name) for name in _ACTIVITY))


def _record(row: RowMapping) -> MaintenanceRecord:
    facts: dict[str, Any] = {str(name): value for name, value in row.items()}
    kind, state = MaintenanceKind(facts.pop("kind")), MaintenanceState(facts.pop("state"))
    return MaintenanceRecord(kind=kind, state=state, **facts)


def _activity(row: RowMapping) -> Activity:
    facts: dict[str, Any] = {str(name): value for name, value in row.items()}
    return Activity(**facts)


def _values(record: MaintenanceRecord) -> dict[str, Any]:
    values = {name: getattr(record, name) for name in _RECORD}
    return values | {"kind": record.kind.value, "state": record.state.value}


def _conditions(wanted: RecordFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.machine_ids is not None:
        found.append(MaintenanceRow.machine_id.in_(wanted.machine_ids))
    if wanted.kind is not None:
        found.append(MaintenanceRow.kind == wanted.kind.value)
    if wanted.state is not None:
        found.append(MaintenanceRow.state == wanted.state.value)
    if wanted.since is not None:
        found.append(MaintenanceRow.performed_on >= wanted.since)
    if wanted.until is not None:
        found.append(MaintenanceRow.performed_on <= wanted.until)
    company, technician = MaintenanceRow.company_fold, MaintenanceRow.technician_fold
    for column, part in ((company, wanted.company), (technician, wanted.technician)):
        if part:
            found.append(column.contains(folded(part), autoescape=True))
    if wanted.text:
        part = folded(wanted.text)
        anywhere = (company, technician, MaintenanceRow.notes_fold)
        found.append(or_(*(column.contains(part, autoescape=True) for column in anywhere)))
    return found
