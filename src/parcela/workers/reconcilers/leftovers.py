"""Leftovers in the database.

Repairs: reservations of VMs that are on no host (capacity leaks); sums of quotas that are not those of their
reservations; operations whose undoing got stuck (they get another try); expired console tickets.

Must not touch: reservations of VMs that an operation works on; operations that somebody holds.
"""

from datetime import timedelta

from parcela.repositories.uow import UnitOfWorkFactory
from parcela.services.operations.operations import OperationService
from parcela.services.projects.quotas import release
from parcela.workers.reconcilers.base import PAGE_ROWS, log

STUCK_RETRY = timedelta(seconds=30)


class ReservationLeaks:
    """Gives capacity back that nothing stands for any more."""

    name = "reservation_leaks"

    def __init__(self, uows: UnitOfWorkFactory) -> None:
        """Take the store."""
        self._uows = uows

    async def run(self) -> int:
        """Release leaked reservations."""
        async with self._uows.read() as uow:
            if not await uow.hosts.leaked_reservations(1):
                return 0
        released = 0
        while True:
            async with self._uows.write() as uow:
                leaked = await uow.hosts.leaked_reservations(PAGE_ROWS)
                for vm_id in leaked:
                    await release(uow, vm_id)
                    log.warning("reservation.leak_released", vm_id=vm_id)
                await uow.commit()
            released += len(leaked)
            if len(leaked) < PAGE_ROWS:
                return released


class QuotaSums:
    """Makes what quotas say is used what their reservations sum up to."""

    name = "quota_sums"

    def __init__(self, uows: UnitOfWorkFactory) -> None:
        """Take the store."""
        self._uows = uows

    async def run(self) -> int:
        """Correct wrong sums. There are none unless somebody changed the database by hand."""
        async with self._uows.read() as uow:
            suspects = await uow.quotas.wrong()
        corrected = 0
        for quota_id in suspects:  # looked at again under its lock: reading is not one moment
            async with self._uows.write() as uow:
                if await uow.quotas.correct(quota_id):
                    corrected += 1
                    log.warning("quota.sums_corrected", quota_id=quota_id)
                await uow.commit()
        return corrected


class StuckOperations:
    """Lets stuck operations try to undo again."""

    name = "stuck_operations"

    def __init__(self, uows: UnitOfWorkFactory, operations: OperationService) -> None:
        """Take the collaborators."""
        self._uows = uows
        self._operations = operations

    async def run(self) -> int:
        """Reopen those that ended half a minute ago or earlier."""
        ended_before = self._uows.clock() - STUCK_RETRY
        reopened, last_id = 0, 0
        while True:
            async with self._uows.read() as uow:
                stuck = await uow.operations.stuck(ended_before, after_id=last_id, limit=PAGE_ROWS)
            for operation_id in stuck:
                async with self._uows.write() as uow:
                    reopened += await self._operations.reopen_stuck(uow, operation_id)
                    await uow.commit()
            if len(stuck) < PAGE_ROWS:
                return reopened
            last_id = stuck[-1]


class Housekeeping:
    """Forgets what has run out."""

    name = "housekeeping"

    def __init__(self, uows: UnitOfWorkFactory) -> None:
        """Take the store."""
        self._uows = uows
        self._next = uows.clock()

    async def run(self) -> int:
        """Purge, at most once in ten minutes."""
        if self._uows.clock() < self._next:
            return 0
        self._next = self._uows.clock() + timedelta(minutes=10)
        async with self._uows.write() as uow:
            purged = await uow.console_tickets.purge()
            await uow.commit()
        return purged
