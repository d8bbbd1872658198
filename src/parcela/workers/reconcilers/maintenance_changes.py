"""What is on its way to an outside store of maintenance records.

Repairs: changes that were staged there and whose unit of work ended without telling (a kill, a lost connection): they
are confirmed when the database agreed to them and discarded when it did not; entries of the activity log that wait in
the database; notes of changes that were carried out long ago.

Must not touch: changes of a unit of work that still runs. It holds the row locks of the change's machines, which are
taken here first; on SQLite the one writer is that lock.
"""

from datetime import timedelta

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.repositories.maintenance.external_sync import Outside, settle
from parcela.repositories.maintenance.store import PendingChange
from parcela.repositories.uow import UnitOfWorkFactory
from parcela.workers.reconcilers.base import log

KEPT = timedelta(hours=1)
BATCH = 500


class MaintenanceChanges:
    """See the module."""

    name = "maintenance_changes"

    def __init__(self, uows: UnitOfWorkFactory, outside: Outside) -> None:
        """Take the stores."""
        self._uows = uows
        self._outside = outside

    async def run(self) -> int:
        """Settle what was left; nothing while the outside store is away."""
        try:
            return await self._settle() + await self._send_activity() + await self._forget()
        except ParcelaError as exc:
            if exc.kind is not ErrorKind.UNAVAILABLE:
                raise
            log.debug("maintenance_changes.later", reason=exc.message)
            return 0

    async def _settle(self) -> int:
        pending = await self._outside.records.pending()
        for change in pending:
            await self._settle_one(change)
        return len(pending)

    async def _settle_one(self, change: PendingChange) -> None:
        async with self._uows.write() as uow:
            for machine_id in sorted(change.machine_ids):
                await uow.machines.lock_if_any(machine_id)
            await settle(self._outside.records, uow.maintenance_changes, change.change_id)

    async def _send_activity(self) -> int:
        async with self._uows.read() as uow:
            if await uow.maintenance_place.in_tables():
                # The log belongs to records that were never moved: half of it there would keep them from being moved.
                return 0
            entries = await uow.waiting_activity.oldest(BATCH)
        if not entries:
            return 0
        await self._outside.activity.append(entries)
        async with self._uows.write() as uow:
            await uow.waiting_activity.remove([entry.id for entry in entries])
            await uow.commit()
        return len(entries)

    async def _forget(self) -> int:
        """Changes are looked at before what is pending: one that is agreed to and not pending was carried out."""
        async with self._uows.read() as uow:
            old = await uow.maintenance_changes.before(uow.clock() - KEPT)
        if not old:
            return 0
        pending = {change.change_id for change in await self._outside.records.pending(limit=10_000)}
        async with self._uows.write() as uow:
            await uow.maintenance_changes.remove([change_id for change_id in old if change_id not in pending])
            await uow.commit()
        return 0
