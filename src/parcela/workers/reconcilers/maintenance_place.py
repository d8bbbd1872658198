"""The place of maintenance records.

Repairs: the database's note that MongoDB has records (``parcela store move`` writes it too), so that a start without
``MONGO_URL`` can tell. Warns once when records are not where the settings look for them.

Must not touch: records; that is what ``parcela store move`` is for.
"""

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.repositories.maintenance.external_sync import Outside
from parcela.repositories.maintenance.store import RecordFilter
from parcela.repositories.uow import UnitOfWorkFactory
from parcela.services.inventory.record_store_check import MaintenancePlace
from parcela.workers.reconcilers.base import log


class MaintenancePlaces:
    """See the module."""

    name = "maintenance_place"

    def __init__(self, uows: UnitOfWorkFactory) -> None:
        """Take the stores."""
        self._uows = uows
        self._place = MaintenancePlace(uses_mongodb=uows.outside is not None)
        self._warned = False
        self._noted = uows.outside is None  # whether the note is known to say that MongoDB has records

    async def run(self) -> int:
        """Warn, and note; how many notes were changed."""
        if not self._warned:
            async with self._uows.read() as uow:
                found = await self._place.check(uow)
            if found.status != "ok":
                self._warned = True
                log.warning("maintenance.elsewhere", reason=found.detail)
        if self._noted or self._uows.outside is None:
            return 0
        return await self._note(self._uows.outside)

    async def _note(self, outside: Outside) -> int:
        try:
            filled = bool((await outside.records.page(RecordFilter(), limit=1)).records)
        except ParcelaError as exc:
            if exc.kind is not ErrorKind.UNAVAILABLE:
                raise
            return 0  # health tells; what the note says stays
        async with self._uows.read() as uow:
            known = await uow.maintenance_place.in_mongodb()
        if known != filled:
            async with self._uows.write() as uow:
                await uow.maintenance_place.note_mongodb(filled=filled)
                await uow.commit()
        self._noted = filled
        return int(known != filled)
