"""Doing a failed or cancelled operation again: a new one of the same kind on the same thing."""

from parcela.core.errors import not_found
from parcela.core.lifecycle import Action, OperationState
from parcela.models import Operation
from parcela.repositories.uow import UnitOfWork
from parcela.services.access import Caller
from parcela.services.allowed_compute import ALLOWED, RETRY, operation_facts, repeated
from parcela.services.compute.slices import SliceService
from parcela.services.compute.vms import VmService
from parcela.services.operations.operations import OperationService


class RetryService:
    """Maps an operation back to the request that opened it."""

    def __init__(self, operations: OperationService, slices: SliceService, vms: VmService) -> None:
        """Take the collaborators."""
        self._operations = operations
        self._slices = slices
        self._vms = vms

    async def retry(
        self, uow: UnitOfWork, caller: Caller, operation_id: int, *, slice_id: int | None = None
    ) -> Operation:
        """Open it again; a stuck one is taken up where it is.

        Args:
            uow: unit of work.
            caller: who asks.
            operation_id: which operation.
            slice_id: the slice it must belong to, when the caller names one.

        Raises:
            ParcelaError: kind ``conflict`` when it has not failed.
        """
        operation, steps = await self._operations.get(uow, caller, operation_id)
        if slice_id is not None and operation.slice_id != slice_id:
            raise not_found("operation", operation_id)
        ALLOWED.check(caller, await operation_facts(uow, operation), RETRY)
        if operation.state == OperationState.STUCK.value:
            await self._operations.reopen_stuck(uow, operation_id)
            return await uow.operations.lock(operation_id)
        action = repeated(operation.kind)
        if operation.vm_id is not None:
            return await self._vm(uow, caller, operation.vm_id, action)
        if action is Action.DEPLOY:
            paused = any(step.kind == "start_paused_vm" for step in steps)
            return await self._slices.deploy(uow, caller, operation.slice_id or 0, paused=paused)
        return await self._slice(uow, caller, operation.slice_id or 0, action)

    async def _vm(self, uow: UnitOfWork, caller: Caller, vm_id: int, action: Action) -> Operation:
        if action is Action.DESTROY:
            return await self._vms.destroy(uow, caller, vm_id)
        return await self._vms.act(uow, caller, vm_id, action)

    async def _slice(self, uow: UnitOfWork, caller: Caller, slice_id: int, action: Action) -> Operation:
        if action is Action.DESTROY:
            return await self._slices.destroy(uow, caller, slice_id)
        return await self._slices.act(uow, caller, slice_id, action)
