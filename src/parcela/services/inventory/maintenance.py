"""Maintenance records: what was done to a machine, and what is being done.

Everything that follows from a record happens in the same unit of work: the machine's status, the host that the machine
is, the plan that asked for the work. The machine's row is locked first by every write; the record's store needs that.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from parcela.core.errors import Problem, conflict, invalid, not_found
from parcela.core.machines import REPAIRABLE, MachineStatus, MaintenanceKind, MaintenanceState
from parcela.core.permissions import Permission
from parcela.models import Machine, MaintenancePlan, OpenMaintenance
from parcela.repositories.maintenance.store import MaintenanceRecord, RecordFilter, RecordPage, whole_ms
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork
from parcela.services.access import Caller
from parcela.services.inventory.machine_hosts import HostView, settle, view
from parcela.services.inventory.machine_status import move
from parcela.services.inventory.plan_dates import arrange
from parcela.services.inventory.plausible_days import check_days
from parcela.services.inventory.rules import check_inventory, note, refuse_archived, stored_code, today

INVALID = "maintenance_invalid"
CHANGEABLE = frozenset({"kind", "performed_on", "company", "technician", "notes", "cost_minor", "currency"})


@dataclass(frozen=True, slots=True)
class RecordView:
    """A record with what belongs to it.

    Attributes:
        record: as it is stored.
        machine_code: code of its machine; "" when the machine is gone.
        host: the host that the machine is, with the VMs in the way; None when it is none.
    """

    record: MaintenanceRecord
    machine_code: str
    host: HostView | None = None


class MaintenanceService:
    """Reads with ``maintenance:read``, writes with ``maintenance:write``."""

    async def page(
        self,
        uow: ReadUnitOfWork,
        caller: Caller,
        wanted: RecordFilter,
        *,
        limit: int = 50,
        cursor: str | None = None,
        newest_first: bool = True,
    ) -> tuple[RecordPage, Mapping[int, str]]:
        """A page of records, by day, and the codes of their machines."""
        caller.require(Permission.MAINTENANCE_READ)
        page = await uow.maintenance.page(wanted, limit=limit, cursor=cursor, newest_first=newest_first)
        return page, await uow.machines.codes(record.machine_id for record in page.records)

    async def get(self, uow: ReadUnitOfWork, caller: Caller, record_id: str) -> RecordView:
        """One record."""
        caller.require(Permission.MAINTENANCE_READ)
        return await _view(uow, await _find(uow, record_id))

    async def create(self, uow: UnitOfWork, caller: Caller, fields: Mapping[str, Any]) -> RecordView:
        """Write down what was done, or open what is to be done.

        Args:
            uow: where to store it.
            caller: holds ``maintenance:write``.
            fields: machine_id or machine_code, and kind; optional are state (open), performed_on (today), company,
                technician, notes, cost_minor with currency, plan_id.

        Opening corrective maintenance puts an operational or damaged machine in maintenance. Opening any keeps VMs
        away from the host that the machine is.

        Raises:
            ParcelaError: ``invalid`` ``unknown_machine``, ``maintenance_invalid`` (also for a day before the machine or
                after tomorrow); ``conflict`` ``machine_archived``, ``machine_retired``.
        """
        caller.require(Permission.MAINTENANCE_WRITE)
        check_inventory(INVALID, fields)
        machine = await lock_machine(uow, fields)
        refuse_archived(machine)
        check_days(INVALID, uow, fields, machine)
        record = _new_record(uow, caller, machine, fields)
        opened = record.state is MaintenanceState.OPEN
        if opened and machine.status == MachineStatus.RETIRED.value:
            text = f"The machine {machine.code} is retired; make it operational before you open maintenance on it."
            raise conflict("machine_retired", text)
        await uow.maintenance.add(record)
        if opened:
            await self._open(uow, caller, machine, record)
        else:
            await _arrange_plan(uow, record)
        kind, state, day = record.kind.value, record.state.value, str(record.performed_on)
        facts: dict[str, Any] = {"kind": kind, "state": state, "performed_on": day}
        await note(uow, caller, "maintenance.created", machine, record_id=record.id, **facts)
        return RecordView(record, machine.code, await settle(uow, caller, machine))

    async def _open(self, uow: UnitOfWork, caller: Caller, machine: Machine, record: MaintenanceRecord) -> None:
        row = OpenMaintenance(
            record_id=record.id,
            machine_id=machine.id,
            plan_id=record.plan_id,
            kind=record.kind.value,
            moved_machine=False,
            opened_at=record.created_at,
        )
        await uow.open_maintenance.add(row)
        if record.kind is MaintenanceKind.CORRECTIVE:
            await _hold(uow, caller, machine, row, "corrective maintenance was opened")

    async def update(
        self,
        uow: UnitOfWork,
        caller: Caller,
        record_id: str,
        changes: Mapping[str, Any],
        check: Callable[[RecordView], None] = lambda _: None,
    ) -> RecordView:
        """Change what is said of a record (``CHANGEABLE``); its state has actions of its own."""
        caller.require(Permission.MAINTENANCE_WRITE)
        record, machine = await _locked(uow, record_id)
        check(await _view(uow, record))
        given = {name: value for name, value in changes.items() if name in CHANGEABLE}
        changed = _changed(uow, machine, record, given)
        await uow.maintenance.update(changed)
        if changed.performed_on != record.performed_on:
            await _arrange_plan(uow, changed)
        row = await uow.open_maintenance.find(record_id)
        if row is not None and row.kind != changed.kind.value:
            row.kind = changed.kind.value
            if changed.kind is MaintenanceKind.CORRECTIVE:
                await _hold(uow, caller, machine, row, "maintenance turned out to be corrective")
        await note(uow, caller, "maintenance.changed", machine, record_id=record_id, fields=sorted(changes))
        return RecordView(changed, machine.code, await settle(uow, caller, machine))

    async def begin(self, uow: UnitOfWork, caller: Caller, record_id: str) -> RecordView:
        """The work begins: machine and host are in maintenance now. Doing it twice is fine.

        Raises:
            ParcelaError: ``conflict`` ``maintenance_done``.
        """
        caller.require(Permission.MAINTENANCE_WRITE)
        record, machine = await _locked(uow, record_id)
        row = await _open_row(uow, record)
        if row.begun_at is None:
            now = whole_ms(uow.clock())
            record = dataclasses.replace(record, begun_at=now, updated_at=now)
            await uow.maintenance.update(record)
            row.begun_at = now
            await _hold(uow, caller, machine, row, "maintenance began")
            await note(uow, caller, "maintenance.begun", machine, record_id=record_id)
            await uow.flush()  # the host below is settled by the row
        return RecordView(record, machine.code, await settle(uow, caller, machine))

    async def finish(
        self,
        uow: UnitOfWork,
        caller: Caller,
        record_id: str,
        *,
        changes: Mapping[str, Any],
        machine_status: MachineStatus = MachineStatus.OPERATIONAL,
    ) -> RecordView:
        """The work is done. Machine and host go back unless other maintenance holds them.

        Args:
            uow: where to store it.
            caller: holds ``maintenance:write``.
            record_id: an open record.
            changes: as for ``update``; ``performed_on`` is today unless it is given.
            machine_status: what the machine is afterwards, if this record put it in maintenance.

        Raises:
            ParcelaError: ``conflict`` ``maintenance_done``.
        """
        caller.require(Permission.MAINTENANCE_WRITE)
        record, machine = await _locked(uow, record_id)
        await _open_row(uow, record)
        now = whole_ms(uow.clock())
        done = _changed(uow, machine, record, {"performed_on": today(uow)} | dict(changes))
        done = dataclasses.replace(done, state=MaintenanceState.DONE, begun_at=record.begun_at or now, finished_at=now)
        await uow.maintenance.update(done)
        await self._close(uow, caller, machine, record_id, machine_status)
        await _arrange_plan(uow, done)
        await note(uow, caller, "maintenance.finished", machine, record_id=record_id, kind=done.kind.value)
        return RecordView(done, machine.code, await settle(uow, caller, machine))

    async def _close(
        self, uow: UnitOfWork, caller: Caller, machine: Machine, record_id: str, status: MachineStatus
    ) -> None:
        """Take a record out of what is open; the machine goes back when nothing else holds it."""
        row = await uow.open_maintenance.find(record_id)
        if row is None:
            return
        moved = row.moved_machine
        await uow.open_maintenance.delete(row)
        if not moved or machine.status != MachineStatus.MAINTENANCE.value:
            return
        for other in await uow.open_maintenance.of_machine(machine.id):
            if other.kind == MaintenanceKind.CORRECTIVE.value or other.begun_at is not None:
                other.moved_machine = True  # it puts the machine back instead
                return
        await move(uow, caller, machine, status, reason="maintenance was finished", record_id=record_id)

    async def delete(
        self, uow: UnitOfWork, caller: Caller, record_id: str, check: Callable[[RecordView], None] = lambda _: None
    ) -> None:
        """Remove a record and its attachments; an open one is given up, as if it had never been opened."""
        caller.require(Permission.MAINTENANCE_WRITE)
        record, machine = await _locked(uow, record_id)
        check(await _view(uow, record))
        await uow.maintenance.delete(record_id)
        await self._close(uow, caller, machine, record_id, MachineStatus.OPERATIONAL)
        await _arrange_plan(uow, record)
        for attachment in await uow.attachments.of_record(record_id):
            await uow.attachments.delete(attachment)
        await note(uow, caller, "maintenance.deleted", machine, record_id=record_id, kind=record.kind.value)
        await settle(uow, caller, machine)


def _new_record(uow: UnitOfWork, caller: Caller, machine: Machine, fields: Mapping[str, Any]) -> MaintenanceRecord:
    now = whole_ms(uow.clock())
    facts = {name: fields[name] for name in ("company", "technician", "notes", "currency") if name in fields}
    state = MaintenanceState(fields.get("state", MaintenanceState.OPEN))
    return MaintenanceRecord(
        id=str(uuid4()),
        machine_id=machine.id,
        kind=MaintenanceKind(fields["kind"]),
        state=state,
        performed_on=fields.get("performed_on") or today(uow),
        cost_minor=fields.get("cost_minor"),
        plan_id=fields.get("plan_id"),
        author_id=caller.user_id or None,
        author=caller.username[:64],
        finished_at=now if state is MaintenanceState.DONE else None,
        created_at=now,
        updated_at=now,
        **facts,
    )


async def _arrange_plan(uow: UnitOfWork, record: MaintenanceRecord) -> None:
    """Let the days of a record's plan follow from what was written of the record."""
    plan = await uow.maintenance_plans.get_or_none(record.plan_id) if record.plan_id is not None else None
    if plan is None:
        return
    await arrange(uow, plan)
    if plan.last_done_on is not None and plan.interval is not None and plan.drain_days_before is None:
        # "From now on" was meant for the first time; for ever after would keep the host empty for good.
        plan.drain_days_before, plan.drain_on = 0, plan.next_due_on
    await uow.flush()  # the host is settled by the plan


def _changed(
    uow: UnitOfWork, machine: Machine, record: MaintenanceRecord, changes: Mapping[str, Any]
) -> MaintenanceRecord:
    """The record with other values, checked."""
    given = dict(changes)
    if "cost_minor" in given or "currency" in given:  # they are checked together
        given = {"cost_minor": record.cost_minor, "currency": record.currency} | given
    check_inventory(INVALID, given)
    check_days(INVALID, uow, given, machine, {"performed_on": record.performed_on})
    if "kind" in given:
        given["kind"] = MaintenanceKind(given["kind"])
    return dataclasses.replace(record, updated_at=whole_ms(uow.clock()), **given)


async def lock_machine(uow: UnitOfWork, fields: Mapping[str, Any]) -> Machine:
    """The machine that a body names by ``machine_id`` or ``machine_code``, locked.

    Raises:
        ParcelaError: ``invalid`` ``unknown_machine``.
    """
    machine_id, code = fields.get("machine_id"), fields.get("machine_code")
    if machine_id is None and code:
        found = await uow.machines.by_code(stored_code(code))
        machine_id = found.id if found else None
    machine = await uow.machines.lock_if_any(machine_id) if machine_id is not None else None
    if machine is None:
        text = f"There is no machine {code or fields.get('machine_id')}."
        where = "machine_code" if code else "machine_id"
        raise invalid("unknown_machine", text, Problem(where, text, "unknown_machine"))
    return machine


async def _find(uow: ReadUnitOfWork, record_id: str) -> MaintenanceRecord:
    try:
        record = await uow.maintenance.get(str(UUID(record_id)))
    except ValueError:
        record = None
    if record is None:
        raise not_found("maintenance record", record_id)
    return record


async def _locked(uow: UnitOfWork, record_id: str) -> tuple[MaintenanceRecord, Machine]:
    """A record and its locked machine; the record is read again under the lock."""
    machine = await uow.machines.lock_if_any((await _find(uow, record_id)).machine_id)
    if machine is None:
        raise not_found("maintenance record", record_id)
    refuse_archived(machine)
    return await _find(uow, record_id), machine


async def _open_row(uow: UnitOfWork, record: MaintenanceRecord) -> OpenMaintenance:
    row = await uow.open_maintenance.find(record.id)
    if row is None or record.state is not MaintenanceState.OPEN:
        raise conflict("maintenance_done", f"The maintenance record {record.id} is done already.")
    return row


async def _hold(uow: UnitOfWork, caller: Caller, machine: Machine, row: OpenMaintenance, reason: str) -> None:
    """Put a machine that can be repaired in maintenance, and remember that this record did it."""
    if MachineStatus(machine.status) in REPAIRABLE:
        await move(uow, caller, machine, MachineStatus.MAINTENANCE, reason=reason, record_id=row.record_id)
        row.moved_machine = True
        await uow.flush()  # the row is read again by whoever looks for what holds the machine


async def _view(uow: ReadUnitOfWork, record: MaintenanceRecord) -> RecordView:
    codes = await uow.machines.codes([record.machine_id])
    return RecordView(record, codes.get(record.machine_id, ""), await view(uow, record.machine_id))


async def open_for_plan(
    service: MaintenanceService, uow: UnitOfWork, caller: Caller, plan: MaintenancePlan
) -> RecordView:
    """Open the record of a plan's next date."""
    fields = {name: getattr(plan, name) for name in ("machine_id", "kind", "company", "technician", "notes")}
    return await service.create(uow, caller, fields | {"plan_id": plan.id, "state": MaintenanceState.OPEN.value})
