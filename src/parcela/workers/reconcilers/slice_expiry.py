"""Slice expiry.

Repairs: slices past ``expires_at``: they are destroyed, as their owners were told when they got them.

Must not touch: slices an operation works on as a whole (the next round takes them), slices without an expiry, and those
whose destruction failed (``failed_destructions`` asks again). What works on a VM of one is cancelled, as for everybody
who destroys a slice.
"""

from parcela.core.errors import ParcelaError
from parcela.core.lifecycle import SliceState
from parcela.repositories.uow import UnitOfWorkFactory
from parcela.services.access import SYSTEM
from parcela.services.compute.slices import SliceService
from parcela.workers.reconcilers.base import log


class SliceExpiry:
    """See the module."""

    name = "slice_expiry"

    def __init__(self, uows: UnitOfWorkFactory, slices: SliceService) -> None:
        """Take the collaborators."""
        self._uows = uows
        self._slices = slices

    async def run(self) -> int:
        """Destroy what is past its end."""
        async with self._uows.read() as uow:
            expired = [
                row
                for row in await uow.slices.expired(uow.clock())
                if row.state != SliceState.ERROR.value
                or not await uow.operations.failed_in_a_row(slice_id=row.id, limit=1)
            ]
        ended = 0
        for row in expired:
            try:
                async with self._uows.write() as uow:
                    await self._slices.destroy(uow, SYSTEM, row.id)
                    uow.add_event("slice.expired", owner_id=row.owner_id, slice_id=row.id, data={"name": row.name})
                    await uow.commit()
                ended += 1
            except ParcelaError as exc:
                log.info("slice_expiry.later", slice_id=row.id, reason=exc.message)
        return ended
