"""Machines: what stands in the lab, where, and how it is."""

from collections.abc import Callable, Mapping
from typing import Any

from parcela.core.errors import Problem, conflict, forbidden, invalid, not_found
from parcela.core.machines import MachineStatus
from parcela.core.permissions import Permission
from parcela.models import Machine
from parcela.repositories.machines import MachineRow
from parcela.repositories.maintenance.store import ActivityPage, RecordFilter
from parcela.repositories.paging import Page, PageRequest
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork
from parcela.services.access import Caller
from parcela.services.inventory.machine_status import move, remember
from parcela.services.inventory.plan_dates import resume
from parcela.services.inventory.plausible_days import check_days, check_registered
from parcela.services.inventory.rules import check_inventory, note, refuse_archived, stored_code, today

INVALID = "machine_invalid"
NEW_MACHINE: MachineRow = {"custom_fields": {}, "responsible": None, "responsible_id": None}
"""What ``amend`` sees of a machine that is not there yet."""
Amend = Callable[[MachineRow], Mapping[str, Any]]


class MachineService:
    """Reads with ``machine:read``, writes with ``machine:write``. Codes may be given in any case."""

    async def page(self, uow: ReadUnitOfWork, caller: Caller, request: PageRequest, **wanted: Any) -> Page:
        """Machines by the filters of ``repositories.machines``; codes may be given in any case.

        ``archived`` is False unless it is given; None shows all.
        """
        caller.require(Permission.MACHINE_READ)
        for name in ("code", "code_part"):
            if wanted.get(name) is not None:
                wanted[name] = stored_code(wanted[name])
        return await uow.machines.page(request, {"archived": False} | wanted)

    async def get(self, uow: ReadUnitOfWork, caller: Caller, machine_id: int) -> MachineRow:
        """One machine, archived or not."""
        caller.require(Permission.MACHINE_READ)
        return await _detail(uow, machine_id)

    async def by_code(self, uow: ReadUnitOfWork, caller: Caller, code: str) -> MachineRow:
        """The machine with this code.

        Raises:
            ParcelaError: ``not_found`` ``machine_not_found``.
        """
        caller.require(Permission.MACHINE_READ)
        machine = await uow.machines.by_code(stored_code(code))
        if machine is None:
            raise not_found("machine", code)
        return await _detail(uow, machine.id)

    async def create(self, uow: UnitOfWork, caller: Caller, fields: Mapping[str, Any]) -> MachineRow:
        """Register a machine.

        Args:
            uow: where to store it.
            caller: holds ``machine:write``.
            fields: code and type; optional are area, status (operational), status_word (the status in the words of an
                older client), serial, notes, registered_on (today), responsible_id and custom_fields (name -> text,
                number, truth value or None).

        Raises:
            ParcelaError: ``conflict`` ``machine_exists`` when the code is taken, in whatever case.
        """
        caller.require(Permission.MACHINE_WRITE)
        check_inventory(INVALID, fields)
        check_days(INVALID, uow, fields)
        await _check_responsible(uow, caller, fields)
        now = uow.clock()
        plain: dict[str, Any] = {
            "area": "",
            "serial": "",
            "notes": "",
            "registered_on": today(uow),
            "registered_on_given": "registered_on" in fields,
            "custom_fields": {},
        }
        facts = plain | {"status": MachineStatus.OPERATIONAL.value} | dict(fields)
        facts["code"], facts["status"] = stored_code(facts["code"]), MachineStatus(facts["status"]).value
        machine = await uow.machines.add(Machine(**facts, created_at=now, updated_at=now))
        await remember(uow, caller, machine, None, "registered", None)
        await note(uow, caller, "machine.created", machine, type=machine.type, status=machine.status)
        return await _detail(uow, machine.id)

    async def update(
        self,
        uow: UnitOfWork,
        caller: Caller,
        machine_id: int,
        changes: Mapping[str, Any],
        check: Callable[[MachineRow], None] = lambda _: None,
        amend: Amend = lambda _: {},
    ) -> MachineRow:
        """Change some of the fields of ``create``; ``reason`` says why the status changes.

        ``check`` sees the locked machine first; ``amend`` makes more changes of it, where what is new depends on what
        is there: read before the lock, that could be somebody else's change taken back.

        Raises:
            ParcelaError: ``conflict`` ``machine_status``, ``machine_archived``, ``machine_exists``.
        """
        caller.require(Permission.MACHINE_WRITE)
        machine = await uow.machines.lock(machine_id)
        before = await _detail(uow, machine_id)
        check(before)
        refuse_archived(machine)
        changes = {**changes, **amend(before)}
        check_inventory(INVALID, changes)
        check_days(INVALID, uow, changes, before=before)
        await check_registered(INVALID, uow, changes, machine)
        await _check_responsible(uow, caller, changes, before["responsible_id"])
        left = dict(changes)
        status, reason, word = left.pop("status", None), left.pop("reason", ""), left.pop("status_word", None)
        if "code" in left:
            left["code"] = stored_code(left["code"])
        changed = sorted(name for name, value in left.items() if getattr(machine, name) != value)
        for name in changed:
            setattr(machine, name, left[name])
        if "registered_on" in changed:
            machine.registered_on_given = True
        if changed:
            machine.updated_at = uow.clock()
        await uow.flush()  # a code that is taken is an error of this call
        if changed:
            await note(uow, caller, "machine.changed", machine, fields=changed)
        if status is not None:
            await move(uow, caller, machine, MachineStatus(status), reason=reason)
        if word is not None:
            machine.status_word = word
        await uow.flush()  # the answer below is read from the row
        return await _detail(uow, machine_id)

    async def archive(self, uow: UnitOfWork, caller: Caller, machine_id: int) -> MachineRow:
        """Put a machine away: it leaves the lists, its history stays. Doing it twice is fine.

        Raises:
            ParcelaError: ``conflict`` ``machine_has_open_maintenance`` or ``machine_is_a_host``.
        """
        caller.require(Permission.MACHINE_WRITE)
        machine = await uow.machines.lock(machine_id)
        if machine.archived_at is None:
            await _refuse_used(uow, machine)
            machine.archived_at = machine.updated_at = uow.clock()
            await uow.flush()  # the answer below is read from the row
            await note(uow, caller, "machine.archived", machine)
        return await _detail(uow, machine_id)

    async def restore(self, uow: UnitOfWork, caller: Caller, machine_id: int) -> MachineRow:
        """Take an archived machine back into the lists. Doing it twice is fine."""
        caller.require(Permission.MACHINE_WRITE)
        machine = await uow.machines.lock(machine_id)
        if machine.archived_at is not None:
            machine.archived_at, machine.updated_at = None, uow.clock()
            await resume(uow, machine)
            await uow.flush()  # the answer below is read from the row
            await note(uow, caller, "machine.restored", machine)
        return await _detail(uow, machine_id)

    async def register(
        self, uow: UnitOfWork, caller: Caller, fields: Mapping[str, Any], amend: Amend
    ) -> tuple[MachineRow, bool]:
        """As ``create``, but where the code is that of an archived machine, it is that one which comes back.

        It keeps its history, gets these fields, and what it has besides stays; a retired one is taken out of the store
        room. ``amend`` as for ``update``.

        Returns:
            The machine, and whether it came back.
        """
        caller.require(Permission.MACHINE_WRITE)
        found = await uow.machines.by_code(stored_code(fields["code"]))
        if found is None or found.archived_at is None:
            return await self.create(uow, caller, {**fields, **amend(NEW_MACHINE)}), False
        before = await self.restore(uow, caller, found.id)
        if before["status"] == MachineStatus.RETIRED and fields.get("status") != MachineStatus.RETIRED:
            await self.update(uow, caller, found.id, {"status": MachineStatus.OPERATIONAL.value})
        return await self.update(uow, caller, found.id, fields, amend=amend), True

    async def delete(
        self, uow: UnitOfWork, caller: Caller, machine_id: int, check: Callable[[MachineRow], None] = lambda _: None
    ) -> None:
        """Remove a machine. One with a history has to be archived first; then its history goes with it.

        Raises:
            ParcelaError: ``conflict`` ``machine_has_history``, ``machine_has_open_maintenance``, ``machine_is_a_host``.
        """
        caller.require(Permission.MACHINE_WRITE)
        machine = await uow.machines.lock(machine_id)
        check(await _detail(uow, machine_id))
        await _refuse_used(uow, machine)
        if machine.archived_at is None and (history := await _history_of(uow, machine_id)):
            text = f"The machine {machine.code} has a history: {', '.join(history)}. Archive it before you remove it."
            raise conflict("machine_has_history", text, *(Problem("machine", part, "has_history") for part in history))
        code = machine.code
        await self._remove_history(uow, machine_id)
        await uow.machines.delete(machine)
        uow.add_event("machine.deleted", actor_id=caller.user_id or None, data={"id": machine_id, "code": code})

    async def _remove_history(self, uow: UnitOfWork, machine_id: int) -> None:
        async for record in uow.maintenance.export(RecordFilter(machine_ids=(machine_id,))):
            await uow.maintenance.delete(record.id)
        for attachment in await uow.attachments.of_machine(machine_id):
            await uow.attachments.delete(attachment)
        for plan in await uow.maintenance_plans.of_machine(machine_id):
            await uow.maintenance_plans.delete(plan)
        await uow.machines.forget_history(machine_id)
        await uow.activity.forget_machine(machine_id)

    async def history(self, uow: ReadUnitOfWork, caller: Caller, machine_id: int, request: PageRequest) -> Page:
        """The steps of a machine's life."""
        await self.get(uow, caller, machine_id)
        return await uow.machines.history(machine_id, request)

    async def activity(
        self, uow: ReadUnitOfWork, caller: Caller, machine_id: int, *, limit: int, cursor: str | None
    ) -> ActivityPage:
        """Who did what to a machine, newest first."""
        await self.get(uow, caller, machine_id)
        return await uow.activity.page(machine_id=machine_id, limit=limit, cursor=cursor)


async def _detail(uow: ReadUnitOfWork, machine_id: int) -> MachineRow:
    row = await uow.machines.detail(machine_id)
    if row is None:
        raise not_found("machine", machine_id)
    return row


async def _check_responsible(
    uow: ReadUnitOfWork, caller: Caller, fields: Mapping[str, Any], before: int | None = None
) -> None:
    """Raise when the user is not there; without ``user:read``, one names only oneself or who is responsible already.

    Another user is refused before it is looked up, and the machine's answer would show the username.
    """
    user_id = fields.get("responsible_id")
    if user_id in {None, before, caller.user_id}:
        return
    if not caller.can(Permission.USER_READ):
        text = "Making another user responsible than yourself needs the permission 'user:read'."
        raise forbidden("permission_missing", text)
    if await uow.users.get_or_none(user_id) is None:
        text = f"There is no user {user_id}."
        raise invalid("unknown_user", text, Problem("responsible_id", text, "unknown_user"))


async def _refuse_used(uow: ReadUnitOfWork, machine: Machine) -> None:
    if await uow.open_maintenance.of_machine(machine.id):
        text = f"There is open maintenance on the machine {machine.code}; finish it first."
        raise conflict("machine_has_open_maintenance", text)
    binding = await uow.machine_hosts.of_machine(machine.id)
    if binding is not None:
        text = f"The machine {machine.code} is the host {binding.host_id}; take it out of the host first."
        raise conflict("machine_is_a_host", text)


async def _history_of(uow: ReadUnitOfWork, machine_id: int) -> list[str]:
    """What there is, in words; empty when nothing but the registration happened."""
    counts = {
        "maintenance records": await uow.maintenance.count(RecordFilter(machine_ids=(machine_id,))),
        "maintenance plans": len(await uow.maintenance_plans.of_machine(machine_id)),
        "attachments": await uow.attachments.count_of_machine(machine_id),
        "changes of status": await uow.machines.changes_count(machine_id) - 1,
    }
    return [f"{count} {what}" for what, count in counts.items() if count > 0]
