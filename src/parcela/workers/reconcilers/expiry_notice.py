"""Notices before the end of slices.

Repairs: slices that end soon and whose owner was not told of this end: the event ``slice.expiring`` tells it, once for
each end. A slice whose life was extended is told of its new end when that comes near.

Must not touch: anything but the note of which end was told.
"""

from datetime import timedelta

from parcela.repositories.uow import UnitOfWorkFactory


class ExpiryNotice:
    """See the module."""

    name = "expiry_notice"

    def __init__(self, uows: UnitOfWorkFactory, notice_s: int) -> None:
        """Args: notice_s: how long before its end a slice is told of; 0 for never."""
        self._uows = uows
        self._notice = timedelta(seconds=notice_s)

    async def run(self) -> int:
        """Tell of what ends soon."""
        if not self._notice:
            return 0
        async with self._uows.read() as uow:
            ending = await uow.slices.ending(uow.clock(), uow.clock() + self._notice)
        told = 0
        for row in ending:
            async with self._uows.write() as uow:
                if row.expires_at is None or not await uow.slices.note_expiry(row.id, row.expires_at):
                    continue  # extended, destroyed or told since it was read
                data = {"name": row.name, "expires_at": row.expires_at.isoformat()}
                uow.add_event(
                    "slice.expiring", owner_id=row.owner_id, project_id=row.project_id, slice_id=row.id, data=data
                )
                await uow.commit()
            told += 1
        return told
