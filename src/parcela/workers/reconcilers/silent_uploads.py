"""Uploads of images that died with their process.

Repairs: gives back the bytes that they have reserved of a quota, and removes their files.

Must not touch: uploads of living processes, which lock their file and renew their reservation every few minutes.
"""

from datetime import timedelta

from parcela.repositories.uow import UnitOfWorkFactory
from parcela.services.catalogue.images import ImageService
from parcela.services.projects.image_quota import SILENT_AFTER

PAUSE = timedelta(minutes=10)


class SilentUploads:
    """See the module."""

    name = "silent_uploads"

    def __init__(self, uows: UnitOfWorkFactory, images: ImageService) -> None:
        """Take the collaborators."""
        self._uows = uows
        self._images = images
        self._next = uows.clock() + PAUSE

    async def run(self) -> int:
        """Look, at most once in ten minutes; how many reservations were given back."""
        now = self._uows.clock()
        if now < self._next:
            return 0
        self._next = now + PAUSE
        await self._images.purge_incoming()
        async with self._uows.read() as uow:
            if not await uow.image_space.silent_uploads(now - SILENT_AFTER):
                return 0
        async with self._uows.write() as uow:
            ended = await uow.image_space.end_silent_uploads(now - SILENT_AFTER)
            await uow.commit()
        return ended
