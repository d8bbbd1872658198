"""Failed destructions.

Repairs: slices in ``error``, and VMs that stand alone, whose last operation was a destruction that failed: it is asked
for again, 30 s after it failed, then after a minute, two and so on up to an hour, until it succeeds.

Must not touch: what something works on; what its owner asked something else of since (that is the last operation then).
"""

from collections.abc import Mapping

from parcela.core.errors import ParcelaError
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWorkFactory
from parcela.services.access import SYSTEM
from parcela.services.compute.slices import SliceService
from parcela.services.compute.vms import VmService
from parcela.services.operations.destructions import AGAIN_STEPS, again_after
from parcela.workers.reconcilers.base import PAGE_ROWS, log

Subject = Mapping[str, int | None]
"""``slice_id`` and ``vm_id``, of which one is None."""


class FailedDestructions:
    """See the module."""

    name = "failed_destructions"

    def __init__(self, uows: UnitOfWorkFactory, slices: SliceService, vms: VmService) -> None:
        """Take the collaborators."""
        self._uows = uows
        self._slices = slices
        self._vms = vms

    async def run(self) -> int:
        """Ask again for the destructions whose time has come."""
        last_id, repeated = 0, 0
        seen = set[tuple[int | None, int | None]]()
        while True:
            async with self._uows.read() as uow:
                found = await uow.operations.unfinished_destructions(after_id=last_id, limit=PAGE_ROWS)
            for operation_id, slice_id, vm_id in found:
                last_id = operation_id
                key = (None, vm_id) if vm_id is not None else (slice_id, None)
                if key not in seen:
                    seen.add(key)
                    repeated += await self._repeat(*key)
            if len(found) < PAGE_ROWS:
                return repeated

    async def _repeat(self, slice_id: int | None, vm_id: int | None) -> bool:
        subject: Subject = {"slice_id": slice_id, "vm_id": vm_id}
        async with self._uows.read() as uow:
            if not await _is_due(uow, subject):
                return False
        try:
            async with self._uows.write() as uow:
                # Looked at again: another process may have asked meanwhile, or the owner for something else.
                if not await _is_due(uow, subject):
                    return False
                if vm_id is not None:
                    operation = await self._vms.destroy(uow, SYSTEM, vm_id)
                else:
                    operation = await self._slices.destroy(uow, SYSTEM, slice_id or 0)
                await uow.commit()
        except ParcelaError as exc:
            log.info("failed_destructions.later", **subject, reason=exc.message)
            return False
        log.info("destruction.again", operation_id=operation.id, **subject)
        return True


async def _is_due(uow: ReadUnitOfWork, subject: Subject) -> bool:
    failed = await uow.operations.failed_in_a_row(**subject, limit=AGAIN_STEPS)
    return bool(failed) and uow.clock() >= failed[0] + again_after(len(failed))
