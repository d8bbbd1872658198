"""Destructions that wait: somebody wants a slice or a VM gone while an operation still works on it.

The destruction is an operation from the first moment on, without steps and without a hold on anything. What is in its
way was asked to stop; the end of the last of these plans it and gives it what it destroys, in the same transaction in
which it lets go. So nothing can come between, and there is no moment at which a kill loses it.
"""

from datetime import timedelta

from parcela.core.lifecycle import DesiredState, SliceState
from parcela.models import Operation, VirtualMachine
from parcela.repositories.operations import DESTRUCTIONS
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork
from parcela.services.operations import plans
from parcela.services.operations.planning import plan_vms, step_rows

CANCELLED = "Cancelled."
FIRST_AGAIN_S = 30
LAST_AGAIN_S = 3600
AGAIN_STEPS = 8
"""Attempts until the pause between two is the longest one: 30 s, doubled seven times, is more than an hour."""


def again_after(failures: int) -> timedelta:
    """How long after its last failure a destruction that failed so often is tried again: 30 s, doubled, up to 1 h."""
    return timedelta(seconds=min(FIRST_AGAIN_S * 2 ** (min(failures, AGAIN_STEPS) - 1), LAST_AGAIN_S))


async def with_next_attempt(uow: UnitOfWork, operation: Operation, error: str) -> str:
    """What a slice or VM says whose destruction has just failed: why, and when it is tried again."""
    failed = await uow.operations.failed_in_a_row(slice_id=operation.slice_id, vm_id=operation.vm_id, limit=AGAIN_STEPS)
    pause_s = int(again_after(len(failed)).total_seconds())
    pause = f"{pause_s} seconds" if pause_s < 60 else f"{pause_s // 60} minute{'s' if pause_s >= 120 else ''}"
    told = f" It is tried again by itself {pause} after that."
    return error[: 1000 - len(told)] + told


async def waiting_for(uow: ReadUnitOfWork, operation: Operation) -> Operation | None:
    """The destruction that waits for the end of an operation."""
    if operation.kind in DESTRUCTIONS:
        return None
    if operation.slice_id is not None:
        return await uow.operations.destruction(slice_id=operation.slice_id)
    return await uow.operations.destruction(vm_id=operation.vm_id)


async def is_to_stop(uow: ReadUnitOfWork, operation: Operation) -> bool:
    """Whether somebody asked to cancel an operation, or waits to destroy what it works on.

    Most are asked when the destruction is written. One that begins at that moment is not: to write into its row while
    holding the slice, and it the other way round, would be a circle of two that wait for each other.
    """
    return operation.cancel_requested or await waiting_for(uow, operation) is not None


async def why(uow: UnitOfWork, operation: Operation, error: str) -> str:
    """What an operation says of its end: when it was cancelled for a destruction, that."""
    heir = await waiting_for(uow, operation) if error == CANCELLED else None
    if heir is None:
        return error
    what = "VM" if heir.slice_id is None else "slice"
    return f"Cancelled, because the {what} is to be destroyed (operation {heir.id})."


async def begin_waiting(uow: UnitOfWork, ended: Operation) -> int | None:
    """Let the destruction begin that waited for an operation; its id.

    None when there is none, or when others are still in its way: the last one will do this. ``ended`` has let go
    already; the slice, or the VM that stands alone, is locked.
    """
    heir = await waiting_for(uow, ended)
    if heir is None:
        return None
    vms = await _vms(uow, heir)
    if any(vm.operation_id is not None for vm in vms):
        return None
    destroying = SliceState.DESTROYING
    if heir.slice_id is not None and not await uow.slices.claim(heir.slice_id, heir.id, destroying, destroying):
        return None
    await uow.vms.claim([vm.id for vm in vms], heir.id)
    await uow.vms.update_fields([vm.id for vm in vms], desired=DesiredState.DELETED.value)
    planned, names, _ = await plan_vms(uow, [vm for vm in vms if vm.host_id is not None])
    await uow.operations.add_steps(step_rows(heir.id, plans.destroy(planned, names)))
    return heir.id


async def _vms(uow: UnitOfWork, heir: Operation) -> list[VirtualMachine]:
    if heir.slice_id is not None:
        return await uow.vms.of_slice(heir.slice_id)
    return [await uow.vms.lock(heir.vm_id or 0)]
