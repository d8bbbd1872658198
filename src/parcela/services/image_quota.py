"""Quotas of bytes of images: reserved before the first byte of an upload, and as more arrive than were announced.

Uploads run outside of any unit of work, so what each needs is a row of ``image_uploads``. All of a user are counted
under the lock of the user: of two uploads at the same time that fit one by one but not together, one is refused.
"""

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.core.settings import Settings
from parcela.repositories.uow import UnitOfWorkFactory
from parcela.services.access import Caller
from parcela.services.quota_rules import ceiling, require_room

GIB = 1024**3
STEP_BYTES = 256 * 1024**2
"""Reserved at a time for an upload that has not announced its length."""
TOUCHED_EVERY = timedelta(minutes=5)
SILENT_AFTER = timedelta(hours=1)
"""An upload nobody has heard of for so long has died with its process."""


class Reservation:
    """What one upload has reserved."""

    def __init__(self, quota: "ImageQuota", caller: Caller, upload_id: int, reserved_bytes: int) -> None:
        """Take the quota and the row."""
        self.upload_id = upload_id
        self._quota = quota
        self._caller = caller
        self._reserved_bytes = reserved_bytes
        self._touched_at = quota.now()

    async def watch(self, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        """The same chunks, as long as they fit into the quota.

        Raises:
            ParcelaError: ``no_capacity`` ``quota_exceeded``; ``conflict`` ``upload_given_up`` after a long silence.
        """
        total = 0
        async for chunk in chunks:
            total += len(chunk)
            now = self._quota.now()
            if total > self._reserved_bytes or now - self._touched_at > TOUCHED_EVERY:
                needed = max(total, self._reserved_bytes)
                self._reserved_bytes = await self._quota.extend(self._caller, self.upload_id, needed)
                self._touched_at = now
            yield chunk


class ImageQuota:
    """Opens short units of work of its own, because the bytes arrive outside of any."""

    def __init__(self, uows: UnitOfWorkFactory, settings: Settings) -> None:
        """Take the store and the default ceiling."""
        self._uows = uows
        self._settings = settings

    def now(self) -> datetime:
        """The time."""
        return self._uows.clock()

    @asynccontextmanager
    async def reserved(self, caller: Caller, announced_bytes: int | None) -> AsyncIterator[Reservation]:
        """Reserve the announced bytes while an upload lasts.

        Raises:
            ParcelaError: ``no_capacity`` ``quota_exceeded``, with what is used and allowed.
        """
        size = announced_bytes or 0
        async with self._uows.write() as uow:
            await uow.users.lock(caller.user_id)  # of two uploads at the same time only one may be the last that fits
            used = await uow.image_space.bytes_of_user(caller.user_id)
            self._check(caller, used=used, more=size)
            upload_id = await uow.image_space.begin_upload(caller.user_id, size)
            await uow.commit()
        try:
            yield Reservation(self, caller, upload_id, size)
        finally:
            async with self._uows.write() as uow:
                await uow.image_space.end_upload(upload_id)
                await uow.commit()

    async def extend(self, caller: Caller, upload_id: int, needed_bytes: int) -> int:
        """Reserve what has arrived, and some more when there is room; how much now."""
        async with self._uows.write() as uow:
            await uow.users.lock(caller.user_id)  # of two uploads at the same time only one may be the last that fits
            if not await uow.image_space.reserve(upload_id, 0):
                text = "Nothing was heard of this upload for an hour, so it was given up; begin again."
                raise ParcelaError(ErrorKind.CONFLICT, "upload_given_up", text)
            used = await uow.image_space.bytes_of_user(caller.user_id)
            most = self._check(caller, used=used, more=needed_bytes)
            room = most - used if most else needed_bytes + STEP_BYTES
            reserved = max(needed_bytes, min(needed_bytes + STEP_BYTES, room))
            await uow.image_space.reserve(upload_id, reserved)
            await uow.commit()
        return reserved

    def _check(self, caller: Caller, *, used: int, more: int) -> int:
        most = ceiling(caller, self._settings.quota_images_gib) * GIB
        require_room("images", "bytes of images, their copies on hosts included", used=used, more=more, most=most)
        return most
