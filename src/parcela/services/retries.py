"""Doing a failed or cancelled operation again: a new one of the same kind on the same thing."""

from parcela.core.errors import conflict
from parcela.core.lifecycle import Action, OperationState
from parcela.models import Operation
from parcela.repositories.uow import UnitOfWork
from parcela.services.access import Caller
from parcela.services.operations.requests import OperationService
from parcela.services.slices import SliceService
from parcela.services.vms import VmService

AGAIN = {OperationState.FAILED.value, OperationState.CANCELLED.value}


class RetryService:
    """Maps an operation back to the request that opened it."""

    def __init__(self, operations: OperationService, slices: SliceService, vms: VmService) -> None:
        """Take the collaborators."""
        self._operations = operations
        self._slices = slices
        self._vms = vms

    async def retry(self, uow: UnitOfWork, caller: Caller, operation_id: int) -> Operation:
        """Open it again; a stuck one is taken up where it is.

        Raises:
            ParcelaError: kind ``conflict`` when it has not failed.
        """
        operation, steps = await self._operations.get(uow, caller, operation_id)
        if operation.state == OperationState.STUCK.value:
            await self._operations.reopen_stuck(uow, operation_id)
            return await uow.operations.lock(operation_id)
        if operation.state not in AGAIN:
            raise conflict("operation_not_failed", f"The operation is {operation.state}; there is nothing to repeat.")
        action = Action(operation.kind.split(".", 1)[1])
        if operation.vm_id is not None:
            return await self._vm(uow, caller, operation.vm_id, action)
        if action is Action.DEPLOY:
            paused = any(step.kind == "start_paused_vm" for step in steps)
            return await self._slices.deploy(uow, caller, operation.slice_id or 0, paused=paused)
        return await self._slice(uow, caller, operation.slice_id or 0, action)

    async def _vm(self, uow: UnitOfWork, caller: Caller, vm_id: int, action: Action) -> Operation:
        if action is Action.DESTROY:
            return await self._vms.destroy(uow, caller, vm_id)
        if action is Action.UPDATE:
            raise conflict("operation_not_repeatable", "Ask for the change again; it may name other values now.")
        return await self._vms.act(uow, caller, vm_id, Action.START if action is Action.DEPLOY else action)

    async def _slice(self, uow: UnitOfWork, caller: Caller, slice_id: int, action: Action) -> Operation:
        if action is Action.DESTROY:
            return await self._slices.destroy(uow, caller, slice_id)
        return await self._slices.act(uow, caller, slice_id, action)
