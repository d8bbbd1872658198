"""Files of the inventory that nothing names.

Repairs: photos and attachments whose row was never committed or is gone, and uploads that were killed half-way.

Must not touch: files that a row names; files younger than an hour, whose unit of work may still run.
"""

import asyncio
from datetime import timedelta

from parcela.repositories.uow import UnitOfWorkFactory
from parcela.services.inventory.files import InventoryFiles

AGE_S = 3600.0
PAUSE = timedelta(minutes=10)
BATCH = 500


class InventoryFileSweep:
    """See the module."""

    name = "inventory_files"

    def __init__(self, uows: UnitOfWorkFactory, files: InventoryFiles) -> None:
        """Take the folder and who knows what belongs there."""
        self._uows = uows
        self._files = files
        self._next = uows.clock()

    async def run(self) -> int:
        """Remove them, at most once in ten minutes."""
        if self._uows.clock() < self._next:
            return 0
        self._next = self._uows.clock() + PAUSE
        old = await asyncio.to_thread(self._files.old_files, AGE_S)
        removed = 0
        for start in range(0, len(old), BATCH):
            part = old[start : start + BATCH]
            async with self._uows.read() as uow:
                known = await uow.attachments.known(part) | await uow.machines.photos(part)
            for name in sorted(set(part) - known):
                self._files.remove(name)
                removed += 1
        return removed
