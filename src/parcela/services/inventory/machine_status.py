"""The one place where a machine's status changes, so that every change is checked and remembered."""

from parcela.core.errors import conflict
from parcela.core.machines import MachineStatus, machine_transition
from parcela.models import Machine, MachineStatusChange
from parcela.repositories.uow import UnitOfWork
from parcela.services.access import Caller
from parcela.services.inventory.plan_dates import resume
from parcela.services.inventory.rules import note


async def move(
    uow: UnitOfWork,
    caller: Caller,
    machine: Machine,
    new: MachineStatus,
    *,
    reason: str = "",
    record_id: str | None = None,
) -> bool:
    """Change the status of a locked machine; False when it is that already.

    Raises:
        ParcelaError: ``conflict`` ``machine_status`` when the table does not allow it, ``machine_has_open_maintenance``
            when it is to be retired while somebody works on it.
    """
    old = MachineStatus(machine.status)
    if error := machine_transition(old, new):
        raise error
    if old is new:
        return False
    if new is MachineStatus.RETIRED and await uow.open_maintenance.of_machine(machine.id):
        text = f"There is open maintenance on the machine {machine.code}; finish it before you retire the machine."
        raise conflict("machine_has_open_maintenance", text)
    machine.status, machine.updated_at = new.value, uow.clock()
    machine.status_word = ""  # it was said of the status before
    if old is MachineStatus.RETIRED:
        await resume(uow, machine)
    await remember(uow, caller, machine, old, reason, record_id)
    await note(uow, caller, "machine.status", machine, record_id=record_id, status=new.value, status_before=old.value)
    return True


async def remember(
    uow: UnitOfWork, caller: Caller, machine: Machine, old: MachineStatus | None, reason: str, record_id: str | None
) -> None:
    """Write a step of the machine's life."""
    change = MachineStatusChange(
        machine_id=machine.id,
        status_before=None if old is None else old.value,
        status=machine.status,
        reason=reason,
        record_id=record_id,
        actor_id=caller.user_id or None,
        at=uow.clock(),
    )
    await uow.machines.add_change(change)
