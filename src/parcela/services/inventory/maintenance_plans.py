"""Plans: maintenance that is to be done on a day, once or again and again."""

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any

from parcela.core.errors import conflict, not_found
from parcela.core.machines import MachineStatus, MaintenanceKind, PlanTiming
from parcela.core.permissions import Permission
from parcela.models import MaintenancePlan
from parcela.repositories.maintenance.store import whole_ms
from parcela.repositories.maintenance_plans import PlanRow
from parcela.repositories.paging import Page, PageRequest
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork
from parcela.services.access import Caller
from parcela.services.inventory.machine_hosts import HostView, settle, view
from parcela.services.inventory.maintenance import MaintenanceService, RecordView, lock_machine, open_for_plan
from parcela.services.inventory.plan_dates import arrange, set_dates, timing
from parcela.services.inventory.plan_intervals import IN_DAYS, INTERVAL, check_interval
from parcela.services.inventory.plausible_days import check_days
from parcela.services.inventory.rules import check_inventory, note, plain, refuse_archived, today

INVALID = "maintenance_plan_invalid"
REMIND_DAYS = 7
DRAIN_DAYS = 1
LATE_SHOWN = 100
DATED = INTERVAL | {"next_due_on", "active", "remind_days_before", "drain_days_before"}
"""Fields that the days of a plan follow from."""
FINEST = timedelta(milliseconds=1)
"""Of times of records."""


class MaintenancePlanService:
    """Reads with ``maintenance:read``, writes with ``maintenance:write``."""

    def __init__(self, maintenance: MaintenanceService) -> None:
        """Take the service that opens records."""
        self._maintenance = maintenance

    async def page(self, uow: ReadUnitOfWork, caller: Caller, request: PageRequest, **wanted: Any) -> Page:
        """Plans; filters are machine_id, active and timing (upcoming, due, overdue)."""
        caller.require(Permission.MAINTENANCE_READ)
        page = await uow.maintenance_plans.page(request, wanted, today(uow))
        return Page([_timed(uow, dict(row)) for row in page.rows], page.next_cursor)

    async def get(self, uow: ReadUnitOfWork, caller: Caller, plan_id: int) -> tuple[PlanRow, HostView | None]:
        """One plan, and the host that its machine is."""
        caller.require(Permission.MAINTENANCE_READ)
        row = await _detail(uow, plan_id)
        return row, await view(uow, row["machine_id"])

    async def overdue(self, uow: ReadUnitOfWork, caller: Caller) -> list[PlanRow]:
        """What is late, the latest first, at most 100."""
        caller.require(Permission.MAINTENANCE_READ)
        return [_timed(uow, row) for row in await uow.maintenance_plans.overdue(today(uow), LATE_SHOWN)]

    async def create(
        self, uow: UnitOfWork, caller: Caller, fields: Mapping[str, Any]
    ) -> tuple[PlanRow, HostView | None]:
        """Plan maintenance.

        Args:
            uow: where to store it.
            caller: holds ``maintenance:write``.
            fields: machine_id or machine_code, title and next_due_on; optional are kind (preventive), interval (None:
                once) with interval_unit (days), or interval_days instead of both, remind_days_before (7),
                drain_days_before, company, technician, notes.

        ``drain_days_before``: days before the due date from which the host that the machine is takes no VMs. None: from
        now on. Left out, it is None for what is planned once and 1 for what recurs, which would else keep it empty.
        """
        caller.require(Permission.MAINTENANCE_WRITE)
        check_inventory(INVALID, fields)
        fields = check_interval(INVALID, plain(fields), {})
        machine = await lock_machine(uow, fields)
        refuse_archived(machine)
        check_days(INVALID, uow, fields, machine)
        if machine.status == MachineStatus.RETIRED.value:
            raise conflict("machine_retired", f"The machine {machine.code} is retired; nothing is planned for it.")
        now, recurs = uow.clock(), fields["interval"] is not None
        usual: dict[str, Any] = {
            "kind": MaintenanceKind.PREVENTIVE.value,
            "remind_days_before": REMIND_DAYS,
            "drain_days_before": DRAIN_DAYS if recurs else None,
        }
        given = {name: value for name, value in fields.items() if name not in {"machine_id", "machine_code"}}
        given["given_due_on"] = given.pop("next_due_on")
        plan = MaintenancePlan(**usual | given, machine_id=machine.id, created_at=now, updated_at=now)
        plan.created_by = caller.user_id or None
        plan.called_off = False
        set_dates(plan, None)
        await uow.maintenance_plans.add(plan)
        due_on = str(plan.next_due_on)
        await note(uow, caller, "maintenance.planned", machine, plan_id=plan.id, title=plan.title, due_on=due_on)
        return await _detail(uow, plan.id), await settle(uow, caller, machine)

    async def update(
        self,
        uow: UnitOfWork,
        caller: Caller,
        plan_id: int,
        changes: Mapping[str, Any],
        check: Callable[[PlanRow, HostView | None], None] = lambda _row, _host: None,
    ) -> tuple[PlanRow, HostView | None]:
        """Change some of the fields of ``create`` but the machine; ``active`` False calls it off.

        Another ``next_due_on`` than it is counts until work of the plan is finished after this.
        """
        caller.require(Permission.MAINTENANCE_WRITE)
        plan = await _locked(uow, plan_id)
        machine = await uow.machines.get(plan.machine_id)
        check(await _detail(uow, plan_id), await view(uow, plan.machine_id))
        refuse_archived(machine)
        check_inventory(INVALID, changes)
        left = plain(changes)
        if INTERVAL & left.keys():
            left = check_interval(INVALID, left, {name: getattr(plan, name) for name in ("interval", "interval_unit")})
        check_days(INVALID, uow, left, machine, {"next_due_on": plan.next_due_on})
        due_on, active = left.pop("next_due_on", plan.next_due_on), left.pop("active", plan.active)
        for name, value in left.items():
            setattr(plan, name, value)
        _ask_again(uow, plan, due_on, active=active)
        if DATED & changes.keys():
            await arrange(uow, plan)
        plan.updated_at = uow.clock()
        await uow.flush()  # the host is settled by the row, and the answer read from it
        await note(uow, caller, "maintenance.plan_changed", machine, plan_id=plan_id, fields=sorted(changes))
        host = await settle(uow, caller, machine)
        return await _detail(uow, plan_id), host

    async def delete(
        self,
        uow: UnitOfWork,
        caller: Caller,
        plan_id: int,
        check: Callable[[PlanRow, HostView | None], None] = lambda _row, _host: None,
    ) -> None:
        """Remove a plan; records that were made for it stay."""
        caller.require(Permission.MAINTENANCE_WRITE)
        plan = await _locked(uow, plan_id)
        machine = await uow.machines.get(plan.machine_id)
        check(await _detail(uow, plan_id), await view(uow, plan.machine_id))
        title = plan.title
        await uow.maintenance_plans.delete(plan)
        await note(uow, caller, "maintenance.plan_deleted", machine, plan_id=plan_id, title=title)
        await settle(uow, caller, machine)

    async def open(self, uow: UnitOfWork, caller: Caller, plan_id: int) -> RecordView:
        """Open the maintenance that is planned; when its record is finished, the plan goes on to its next date.

        Raises:
            ParcelaError: ``conflict`` ``plan_inactive`` or ``plan_is_open``.
        """
        caller.require(Permission.MAINTENANCE_WRITE)
        plan = await _locked(uow, plan_id)
        if not plan.active:
            raise conflict("plan_inactive", f"The plan '{plan.title}' is over or called off; make it active first.")
        record_id = await uow.open_maintenance.of_plan(plan_id)
        if record_id is not None:
            raise conflict("plan_is_open", f"The plan '{plan.title}' has an open record already: {record_id}.")
        return await open_for_plan(self._maintenance, uow, caller, plan)


def _ask_again(uow: UnitOfWork, plan: MaintenancePlan, due_on: date, *, active: bool) -> None:
    """Take another due date, or take up what is over; work that is finished already does not count for it."""
    if due_on != plan.next_due_on:
        plan.given_due_on, plan.resumed_on = due_on, None
    if due_on != plan.next_due_on or (active and not plan.active and plan.interval is None):
        plan.given_due_at = whole_ms(uow.clock()) + FINEST
    if active != plan.active:
        plan.called_off = not active


async def _locked(uow: UnitOfWork, plan_id: int) -> MaintenancePlan:
    """A plan under the lock of its machine, which comes first everywhere."""
    await uow.machines.lock((await uow.maintenance_plans.get(plan_id)).machine_id)
    return await uow.maintenance_plans.lock(plan_id)


async def _detail(uow: ReadUnitOfWork, plan_id: int) -> PlanRow:
    row = await uow.maintenance_plans.detail(plan_id)
    if row is None:
        raise not_found("maintenance plan", plan_id)
    return _timed(uow, row)


def _timed(uow: ReadUnitOfWork, row: PlanRow) -> PlanRow:
    """Say how an active plan stands to today, and its interval as it was said when days were all there was."""
    counts = row["active"] and not row["resting"]
    stands: PlanTiming | None = timing(row["next_due_on"], row["remind_on"], today(uow)) if counts else None
    days = IN_DAYS.get(row["interval_unit"])
    in_days = row["interval"] * days if row["interval"] and days else None
    return row | {"timing": stands, "resting": bool(row["resting"]), "interval_days": in_days}
