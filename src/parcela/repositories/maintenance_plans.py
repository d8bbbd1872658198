"""Plans of maintenance."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select, update

from parcela.core.machines import MachineStatus, PlanTiming
from parcela.models import Machine, MaintenancePlan
from parcela.models.derived import shown
from parcela.repositories.base import Repository
from parcela.repositories.paging import Page, PageRequest, fetch_page

PlanRow = dict[str, Any]
"""Columns of a plan with ``machine_code``, and whether it is ``resting``: its machine is retired or archived."""
MAX_DUE = 500
_RESTING = or_(Machine.archived_at.is_not(None), Machine.status == MachineStatus.RETIRED.value)
_IN_USE = (MaintenancePlan.active, Machine.archived_at.is_(None), Machine.status != MachineStatus.RETIRED.value)


class MaintenancePlanRepository(Repository[MaintenancePlan]):
    """Plans. Those of machines that are retired or archived rest: they are neither upcoming nor due nor overdue.

    ``today`` is the day in the zone whose days count.
    """

    model = MaintenancePlan
    noun = "maintenance plan"

    async def page(self, request: PageRequest, wanted: Mapping[str, Any], today: date) -> Page:
        """Plans; wanted are machine_id, active, timing; None leaves a filter out."""
        names = ("title", "next_due_on", "created_at")
        sortable: dict[str, Any] = {name: getattr(MaintenancePlan, name) for name in names}
        statement = _with_code()
        for name in ("machine_id", "active"):
            if wanted.get(name) is not None:
                statement = statement.where(getattr(MaintenancePlan, name) == wanted[name])
        if (timing := wanted.get("timing")) is not None:
            statement = statement.where(*_IN_USE, *_timing(PlanTiming(timing), today))
        id_column = MaintenancePlan.__table__.c.id
        return await fetch_page(self._session, statement, request, sortable=sortable, id_column=id_column)

    async def detail(self, plan_id: int) -> PlanRow | None:
        """One plan with the code of its machine."""
        statement = _with_code().where(MaintenancePlan.id == plan_id)
        row = (await self._session.execute(statement)).mappings().one_or_none()
        return None if row is None else {str(name): value for name, value in row.items()}

    async def of_machine(self, machine_id: int, *, active: bool | None = None) -> list[MaintenancePlan]:
        """Plans of a machine."""
        statement = select(MaintenancePlan).where(MaintenancePlan.machine_id == machine_id)
        if active is not None:
            statement = statement.where(MaintenancePlan.active == active)
        return list((await self._session.scalars(statement.order_by(MaintenancePlan.id))).all())

    async def done_days(self, after_id: int, limit: int) -> list[tuple[int, int, date | None]]:
        """(id, machine, day of the last work) of plans by id, for comparing them with the records."""
        columns = (MaintenancePlan.id, MaintenancePlan.machine_id, MaintenancePlan.last_done_on)
        statement = select(*columns).where(MaintenancePlan.id > after_id).order_by(MaintenancePlan.id).limit(limit)
        return [(row[0], row[1], row[2]) for row in await self._session.execute(statement)]

    async def overdue_count(self, today: date) -> int:
        """How many active plans of machines in use are late."""
        statement = select(func.count()).select_from(MaintenancePlan).join(Machine)
        late = (*_IN_USE, *_timing(PlanTiming.OVERDUE, today))
        return int((await self._session.execute(statement.where(*late))).scalar_one())

    async def overdue(self, today: date, limit: int) -> list[PlanRow]:
        """The plans of machines in use that are late, the latest ones first."""
        statement = _with_code().where(*_IN_USE, *_timing(PlanTiming.OVERDUE, today))
        rows = await self._session.execute(statement.order_by(MaintenancePlan.next_due_on).limit(limit))
        return [{str(name): value for name, value in row.items()} for row in rows.mappings()]

    async def to_remind(self, today: date) -> list[PlanRow]:
        """Plans of machines in use whose reminder is due and not given, at most 500."""
        return await self._unreported(MaintenancePlan.reminded_for, MaintenancePlan.remind_on <= today)

    async def to_report_late(self, today: date) -> list[PlanRow]:
        """Plans of machines in use that are late and not reported, at most 500."""
        return await self._unreported(MaintenancePlan.overdue_for, MaintenancePlan.next_due_on < today)

    async def _unreported(self, reported_for: Any, due: ColumnElement[bool]) -> list[PlanRow]:
        fresh = or_(reported_for.is_(None), reported_for != MaintenancePlan.next_due_on)
        statement = _with_code().where(*_IN_USE, due, fresh).order_by(MaintenancePlan.id).limit(MAX_DUE)
        rows = (await self._session.execute(statement)).mappings()
        return [{str(name): value for name, value in row.items()} for row in rows]

    async def mark_reported(self, plan_id: int, column: str, due_on: date) -> bool:
        """Note in ``reminded_for`` or ``overdue_for`` that a due date was reported; False when somebody was faster."""
        field: Any = getattr(MaintenancePlan, column)
        fresh = (MaintenancePlan.next_due_on == due_on, or_(field.is_(None), field != due_on))
        statement = update(MaintenancePlan).where(MaintenancePlan.id == plan_id, *fresh).values({column: due_on})
        return await self._changed(statement) > 0


def _with_code() -> Select[Any]:
    facts = (MaintenancePlan.interval.label("interval"), Machine.code.label("machine_code"), _RESTING.label("resting"))
    columns = [column for column in shown(MaintenancePlan) if column.name != "interval_days"]
    return select(*columns, *facts).join(Machine)


def _timing(timing: PlanTiming, today: date) -> tuple[ColumnElement[bool], ...]:
    due_on, remind_on = MaintenancePlan.next_due_on, MaintenancePlan.remind_on
    match timing:
        case PlanTiming.OVERDUE:
            return (due_on < today,)
        case PlanTiming.DUE:
            return (remind_on <= today, due_on >= today)
        case PlanTiming.UPCOMING:
            return (remind_on > today, due_on >= today)
