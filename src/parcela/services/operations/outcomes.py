"""What the end of an operation means for the slice and the VMs it worked on."""

from parcela.core.lifecycle import (
    DesiredState,
    OperationState,
    SliceState,
    StepState,
    VmState,
    settled_slice_state,
)
from parcela.core.power import FAULTS
from parcela.models import Operation, VirtualMachine
from parcela.repositories.operations import DESTRUCTIONS
from parcela.repositories.uow import UnitOfWork
from parcela.services.operations.destructions import waiting_for, with_next_attempt
from parcela.services.projects.quotas import release, resize

SETTLED = {VmState.RUNNING.value, VmState.PAUSED.value, VmState.STOPPED.value}
DEPLOYMENTS = {"slice.deploy", "vm.deploy"}


async def conclude(uow: UnitOfWork, operation: Operation, state: OperationState) -> None:
    """Settle VMs, reservations and the slice, and let go of them."""
    vms = await _vms(uow, operation)
    if state is OperationState.STUCK:
        # Something is left on a hypervisor: the VMs stay with the operation, so that nobody else builds on them, and
        # the reconciler of stuck operations goes on.
        await _show_stuck(uow, operation)
        return
    await _settle_vms(uow, operation, state, vms)
    if operation.kind == "vm.destroy" and state is not OperationState.SUCCEEDED and vms[0].error:
        await uow.vms.update_fields([vms[0].id], error=await with_next_attempt(uow, operation, vms[0].error))
    await uow.vms.let_go(operation.id)
    if operation.slice_id is not None and operation.vm_id is None:
        if await waiting_for(uow, operation) is not None:
            await uow.slices.settle(operation.slice_id, SliceState.DESTROYING, operation_id=operation.id)
            return  # it says so already
        await _slice(uow, operation, await _slice_state(uow, operation, state))
    elif operation.slice_id is not None:
        await settle_slice(uow, operation.slice_id)


async def _settle_vms(uow: UnitOfWork, operation: Operation, state: OperationState, vms: list[VirtualMachine]) -> None:
    succeeded = state is OperationState.SUCCEEDED
    if operation.kind in DEPLOYMENTS and not succeeded:
        error = operation.error if operation.vm_id is not None else ""  # that of a slice stands with the slice
        for vm in sorted(vms, key=lambda vm: vm.host_id or 0):  # hosts in the order of ids, as reservations take them
            await release(uow, vm.id)
            nowhere = {"host_id": None, "desired": DesiredState.DEFINED.value, "state": "defined", "error": error}
            await uow.vms.update_fields([vm.id], **nowhere)
    elif operation.kind in DESTRUCTIONS and succeeded:
        for vm in vms:  # those that never were on a host; the others were deleted by their steps
            told = vm.state == VmState.DELETED.value
            gone = {"state": VmState.DELETED.value, "deleted_at": uow.clock(), "host_id": None}
            await uow.vms.update_fields([vm.id], **gone)
            await uow.segments.remove_nics(vm.id)
            await release(uow, vm.id)
            if not told:
                facts = {"owner_id": vm.owner_id, "vm_id": vm.id, "slice_id": vm.slice_id, "actor_id": None}
                data = {"state": VmState.DELETED.value, "error": ""}
                uow.add_event("vm.state", **facts, operation_id=operation.id, data=data)
    elif operation.kind == "vm.update":
        await _settle_update(uow, operation, vms[0])
    if not succeeded and operation.kind not in DEPLOYMENTS:
        # What was not done is no longer wanted; a repeat asks for it again. Deletion stays wanted.
        # But for those that a fault has paused: nobody wanted that, so they differ from what is wanted, and show it.
        for vm in (vm for vm in vms if vm.status_reason not in FAULTS):
            if vm.state in SETTLED and vm.desired != DesiredState.DELETED.value:
                await uow.vms.update_fields([vm.id], desired=vm.state)


async def _settle_update(uow: UnitOfWork, operation: Operation, vm: VirtualMachine) -> None:
    """Rows say what the host has: a change that was not made is taken back. Meanwhile the larger of both was reserved.

    The operation may have failed at another step: the boot after the change, the stop before it.
    """
    (step,) = (step for step in await uow.operations.steps(operation.id) if step.kind == "update_vm")
    if step.state != StepState.DONE.value:
        await uow.vms.update_fields([vm.id], **step.args["before"])
        vm = await uow.vms.lock(vm.id)
    if vm.host_id is not None:
        sizes = {"vcpus": vm.cores, "memory_mib": vm.memory_mib, "disk_gib": vm.disk_gib}
        await resize(uow, vm.id, vm.host_id, sizes)


async def _vms(uow: UnitOfWork, operation: Operation) -> list[VirtualMachine]:
    if operation.vm_id is not None:
        return [await uow.vms.lock(operation.vm_id)]
    if operation.slice_id is not None:
        return await uow.vms.of_slice(operation.slice_id)
    return []


async def _slice_state(uow: UnitOfWork, operation: Operation, state: OperationState) -> SliceState:
    if operation.kind == "slice.deploy" and state is OperationState.FAILED:
        return SliceState.ERROR
    if operation.kind == "slice.deploy" and state is OperationState.CANCELLED:
        return SliceState.DRAFT
    if operation.kind == "slice.destroy" and state is not OperationState.SUCCEEDED:
        return SliceState.ERROR
    if operation.kind == "slice.destroy":
        for segment in await uow.segments.of_slice(operation.slice_id or 0):
            await uow.segments.mark_removed(segment.id)
        return SliceState.DESTROYED
    return await observed_slice_state(uow, operation.slice_id or 0)


async def observed_slice_state(uow: UnitOfWork, slice_id: int) -> SliceState:
    """State that follows from the slice's VMs."""
    vms = await uow.vms.of_slice(slice_id)
    settled = settled_slice_state([(VmState(vm.state), DesiredState(vm.desired)) for vm in vms])
    if settled in {SliceState.RUNNING, SliceState.PAUSED} and any(vm.error for vm in vms):
        return SliceState.DEGRADED
    return settled


async def _show_stuck(uow: UnitOfWork, operation: Operation) -> None:
    """The slice keeps its state and its operation, and says why."""
    if operation.slice_id is None or operation.vm_id is not None:
        return
    await uow.slices.set_error(operation.slice_id, operation.error)
    row = await uow.slices.lock(operation.slice_id)
    tell_slice(uow, row.id, operation.owner_id, SliceState(row.state), operation.id, operation.error)


async def _slice(uow: UnitOfWork, operation: Operation, new: SliceState) -> None:
    if operation.slice_id is None:
        return
    error = operation.error
    if operation.kind in DESTRUCTIONS and new is not SliceState.DESTROYED:
        error = await with_next_attempt(uow, operation, error)
    await uow.slices.settle(operation.slice_id, new, error=error, operation_id=operation.id)
    tell_slice(uow, operation.slice_id, operation.owner_id, new, operation.id, error)


def tell_slice(
    uow: UnitOfWork, slice_id: int, owner_id: int, state: SliceState, operation_id: int | None, error: str = ""
) -> None:
    """Note the event of a slice's new state."""
    uow.add_event(
        "slice.state",
        owner_id=owner_id,
        slice_id=slice_id,
        operation_id=operation_id,
        data={"state": state.value, "error": error},
    )


async def settle_slice(uow: UnitOfWork, slice_id: int) -> None:
    """Let a slice without an operation follow its VMs."""
    row = await uow.slices.lock(slice_id)
    states = {SliceState.RUNNING, SliceState.DEGRADED, SliceState.STOPPED, SliceState.PAUSED}
    if row.operation_id is not None or row.state not in states:
        return
    new = await observed_slice_state(uow, slice_id)
    if new is SliceState.DESTROYED:
        new = SliceState.STOPPED  # every VM was deleted one by one: an empty slice, to be destroyed by its owner
    if new.value != row.state:
        await uow.slices.settle(slice_id, new)
        tell_slice(uow, slice_id, row.owner_id, new, None)
