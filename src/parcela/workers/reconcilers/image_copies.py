"""Copies of images on hosts.

Repairs: copies of images, kernels and initrds on hosts that no image of the database is of any more, and what copies
that were cut off left; the table ``image_copies``, which says what lies where for the quotas.

Must not touch: copies of images that exist (a host keeps them for the next VM); copies that an overlay or a domain on
the host needs, which the driver sees itself; copies that were made or asked for within ``PARCELA_IMAGE_COPIES_KEPT_S``;
any copy on a host on which an operation works.
"""

from datetime import timedelta

from parcela.core.settings import Settings
from parcela.hypervisors.driver import ImageCopies
from parcela.hypervisors.errors import DriverError
from parcela.hypervisors.spec import ImageCopy
from parcela.models import Host
from parcela.repositories.uow import UnitOfWorkFactory
from parcela.workers.reconcilers.base import DrivenHosts, log


class ImageCopySweep:
    """Looks once in ``PARCELA_RETENTION_SWEEP_S``."""

    name = "image_copies"

    def __init__(self, uows: UnitOfWorkFactory, hosts: DrivenHosts, settings: Settings) -> None:
        """Take the collaborators."""
        self._uows = uows
        self._hosts = hosts
        self._min_age_s = settings.image_copies_kept_s
        self._pause = timedelta(seconds=settings.retention_sweep_s)
        self._next = uows.clock() + min(self._pause, timedelta(minutes=10))

    async def run(self) -> int:
        """Look at every host once; how many copies were removed."""
        now = self._uows.clock()
        if now < self._next:
            return 0
        self._next = now + self._pause
        removed = 0
        async for host, driver in self._hosts.each():
            if not isinstance(driver, ImageCopies):
                continue
            try:
                removed += await self._sweep(host, driver)
            except DriverError as exc:
                log.info("image_copies.later", host=host.name, reason=exc.message, internal=exc.internal)
        return removed

    async def _sweep(self, host: Host, driver: ImageCopies) -> int:
        # Listed before the rows are read: a row is committed before its image is copied anywhere.
        copies = await driver.image_copies()
        async with self._uows.read() as uow:
            known = await uow.image_space.known({copy.sha256 for copy in copies})
            noted = await uow.image_space.copies_on(host.id)
            old = [copy for copy in copies if copy.sha256 not in known and copy.age_s >= self._min_age_s]
            busy = bool(old) and await uow.operations.active_on_host(host.id)
        gone = set() if busy else {copy.name for copy in old if await self._remove(host, driver, copy)}
        left = {copy.sha256: copy.size_bytes for copy in copies if copy.sha256 and copy.name not in gone}
        if left != noted:
            async with self._uows.write() as uow:
                await uow.image_space.note_copies(host.id, left)
                await uow.commit()
        return len(gone)

    async def _remove(self, host: Host, driver: ImageCopies, copy: ImageCopy) -> bool:
        if not await driver.remove_image_copy(copy.name, min_age_s=self._min_age_s):
            return False
        log.info("image_copy.removed", host=host.name, name=copy.name, size_bytes=copy.size_bytes)
        return True
