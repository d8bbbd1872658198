"""Opening operations: claim what they work on, write plan and event, wake the engine after the commit."""

from collections.abc import Sequence
from functools import partial

from parcela.core.errors import conflict, not_found
from parcela.core.lifecycle import OPERATION_TERMINAL, DesiredState, OperationState, SliceState
from parcela.core.permissions import Permission
from parcela.models import Operation, OperationStep, Slice, VirtualMachine
from parcela.repositories.paging import Page, PageRequest
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork
from parcela.services.access import Caller, check_visible
from parcela.services.allowed import busy
from parcela.services.allowed_compute import ALLOWED, CANCEL, OperationFacts, operation_facts
from parcela.services.operations.planning import step_rows
from parcela.services.operations.plans import PlannedStep
from parcela.services.signals import Signal


class OperationService:
    """Opens, shows and cancels operations."""

    def __init__(self, engine: Signal) -> None:
        """``engine`` is told of every new or cancelled operation after its commit."""
        self._engine = engine

    async def open(  # noqa: PLR0913 (an operation has that many sides)
        self,
        uow: UnitOfWork,
        caller: Caller,
        kind: str,
        steps: Sequence[PlannedStep],
        *,
        owner_id: int,
        slice_row: Slice | None = None,
        slice_to: SliceState | None = None,
        vms: Sequence[VirtualMachine] = (),
        undo_on_failure: bool = False,
    ) -> Operation:
        """Write the operation and let it hold the slice (or the one VM) and all ``vms``.

        Args:
            uow: unit of work of the request.
            caller: who asks.
            kind: ``slice.deploy``, ``vm.start`` ...
            steps: the plan.
            owner_id: owner of what it works on; may watch it.
            slice_row: slice it holds as a whole, with ``slice_to`` its state meanwhile.
            slice_to: see above.
            vms: VMs it holds; for an operation on a single VM just that one.
            undo_on_failure: a failing step undoes the others.

        Raises:
            ParcelaError: kind ``conflict`` when another operation holds any of it.
        """
        single = vms[0] if slice_row is None and vms else None
        operation = await uow.operations.add(
            Operation(
                kind=kind,
                state=OperationState.PENDING.value,
                slice_id=slice_row.id if slice_row else (single.slice_id if single else None),
                vm_id=single.id if single else None,
                owner_id=owner_id,
                project_id=slice_row.project_id if slice_row else (single.project_id if single else None),
                requested_by=caller.user_id or None,  # 0 is Parcela itself
                undo_on_failure=undo_on_failure,
                created_at=uow.clock(),
            )
        )
        if slice_row is not None:
            old, new = SliceState(slice_row.state), slice_to or SliceState(slice_row.state)
            if not await uow.slices.claim(slice_row.id, operation.id, old, new):
                raise busy(f"the slice {slice_row.name}", slice_row.operation_id)
        elif single is not None and single.slice_id is not None and not await uow.slices.touch_if_free(single.slice_id):
            raise busy(f"the slice of VM {single.name}", None)
        if vms and await uow.vms.claim([vm.id for vm in vms], operation.id) != len(vms):
            raise busy("the VM " + (", ".join(vm.name for vm in vms if vm.operation_id) or vms[0].name), None)
        await uow.operations.add_steps(step_rows(operation.id, steps))
        self._announce(uow, operation, slice_row, slice_to)
        operation_id = operation.id
        uow.after_commit(lambda: self._engine.send(operation_id))
        return operation

    @staticmethod
    def _announce(uow: UnitOfWork, operation: Operation, slice_row: Slice | None, slice_to: SliceState | None) -> None:
        facts = {
            "owner_id": operation.owner_id,
            "actor_id": operation.requested_by,
            "slice_id": operation.slice_id,
            "vm_id": operation.vm_id,
            "operation_id": operation.id,
        }
        uow.add_event("operation.created", data={"kind": operation.kind}, **facts)
        if slice_row is not None and slice_to is not None and slice_to.value != slice_row.state:
            uow.add_event("slice.state", data={"state": slice_to.value, "error": ""}, **facts)

    async def make_way(
        self, uow: UnitOfWork, caller: Caller, *, slice_id: int | None = None, vm_id: int | None = None
    ) -> None:
        """Ask everything that works on a slice (with its VMs) or on a VM to stop, because it is to be destroyed.

        Call it before the slice or the VM is locked: an operation that ends locks itself first, and then those. What
        begins between the two finds the destruction by itself (``is_to_stop``).
        """
        for operation in await uow.operations.in_the_way(slice_id=slice_id, vm_id=vm_id):
            if await uow.operations.request_cancel(operation.id):
                self._tell_cancel(uow, caller, operation)

    async def open_waiting(
        self,
        uow: UnitOfWork,
        caller: Caller,
        *,
        slice_row: Slice | None = None,
        vm: VirtualMachine | None = None,
    ) -> Operation:
        """Write the destruction of a slice or a stand-alone VM that something still works on.

        It has no steps and holds nothing yet; the end of the last operation in its way gives it both, in one
        transaction (``begin_waiting``). Nobody can run it before that, so a kill at any moment loses nothing.
        """
        subject = slice_row or vm
        assert subject is not None  # noqa: S101 (for mypy)
        operation = await uow.operations.add(
            Operation(
                kind="vm.destroy" if slice_row is None else "slice.destroy",
                state=OperationState.PENDING.value,
                slice_id=slice_row.id if slice_row else None,
                vm_id=vm.id if vm else None,
                owner_id=subject.owner_id,
                project_id=subject.project_id,
                requested_by=caller.user_id or None,  # 0 is Parcela itself
                undo_on_failure=False,
                created_at=uow.clock(),
            )
        )
        self._announce(uow, operation, slice_row, SliceState.DESTROYING)
        if slice_row is not None:
            await uow.slices.show_destroying(slice_row.id)
        if vm is not None:
            await uow.vms.update_fields([vm.id], desired=DesiredState.DELETED.value)
        for unasked in await uow.operations.in_the_way(slice_id=operation.slice_id, vm_id=operation.vm_id):
            uow.after_commit(partial(self._engine.send, unasked.id))
        return operation

    async def get(
        self, uow: ReadUnitOfWork, caller: Caller, operation_id: int
    ) -> tuple[Operation, list[OperationStep]]:
        """An operation and its steps."""
        operation = await uow.operations.get(operation_id)
        read_all, project_id = Permission.OPERATION_READ_ALL, operation.project_id
        check_visible(caller, operation.owner_id, read_all, "operation", operation_id, project_id=project_id)
        return operation, await uow.operations.steps(operation_id)

    async def allowed(self, uow: ReadUnitOfWork, caller: Caller, operation: Operation) -> tuple[str, ...]:
        """What the caller may do with an operation now."""
        return ALLOWED.of(caller, await operation_facts(uow, operation))

    async def page(
        self,
        uow: ReadUnitOfWork,
        caller: Caller,
        request: PageRequest,
        *,
        slice_id: int | None = None,
        vm_id: int | None = None,
        state: OperationState | None = None,
        kind: str | None = None,
    ) -> Page:
        """Operations the caller may see."""
        return await uow.operations.page(
            request,
            owner_id=caller.list_filter(Permission.OPERATION_READ_ALL),
            managed=caller.managed,
            slice_id=slice_id,
            vm_id=vm_id,
            state=state.value if state else None,
            kind=kind,
        )

    async def cancel(
        self, uow: UnitOfWork, caller: Caller, operation_id: int, *, slice_id: int | None = None
    ) -> Operation:
        """Ask an operation to stop: steps under way end, a deployment is undone.

        Args:
            uow: unit of work.
            caller: who asks.
            operation_id: which operation.
            slice_id: the slice it must belong to, when the caller names one.

        Raises:
            ParcelaError: kind ``conflict`` when it has ended, or is being undone already.
        """
        operation = await uow.operations.get(operation_id)
        ALLOWED.check_right(caller, OperationFacts.of(operation), CANCEL)
        if slice_id is not None and operation.slice_id != slice_id:
            raise not_found("operation", operation_id)
        ALLOWED.check(caller, OperationFacts.of(operation), CANCEL)
        if not await uow.operations.request_cancel(operation_id):
            raise conflict("operation_ended", f"The operation is {operation.state}; there is nothing to cancel.")
        self._tell_cancel(uow, caller, operation)
        return await uow.operations.lock(operation_id)

    def _tell_cancel(self, uow: UnitOfWork, caller: Caller, operation: Operation) -> None:
        uow.add_event(
            "operation.cancel_requested",
            owner_id=operation.owner_id,
            actor_id=caller.user_id,
            slice_id=operation.slice_id,
            vm_id=operation.vm_id,
            operation_id=operation.id,
        )
        operation_id = operation.id
        uow.after_commit(lambda: self._engine.send(operation_id))

    async def reopen_stuck(self, uow: UnitOfWork, operation_id: int) -> bool:
        """Let the engine try once more to undo a stuck operation."""
        reopened = await uow.operations.reopen(operation_id, old=OperationState.STUCK, new=OperationState.UNDOING)
        if reopened:
            uow.after_commit(lambda: self._engine.send(operation_id))
        return reopened


def ended(operation: Operation) -> bool:
    """Whether nothing more will happen."""
    return OperationState(operation.state) in OPERATION_TERMINAL
