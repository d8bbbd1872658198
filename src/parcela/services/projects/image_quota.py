"""Quotas of bytes of images: reserved before the first byte of an upload, and as more arrive than were announced.

Uploads run outside of any unit of work, so what each needs is a row of ``image_uploads``. An image of a project counts
for the project alone, any other for its owner. All of one holder are counted under the lock of the user or project: of
two uploads at the same time that fit one by one but not together, one is refused.
"""

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.core.permissions import Permission
from parcela.core.settings import Settings
from parcela.models import Quota
from parcela.repositories.uow import UnitOfWork, UnitOfWorkFactory
from parcela.services.access import Caller
from parcela.services.projects.launching import hold_for_upload
from parcela.services.quota_rules import beyond_quota

GIB = 1024**3
STEP_BYTES = 256 * 1024**2
"""Reserved at a time for an upload that has not announced its length."""
TOUCHED_EVERY = timedelta(minutes=5)
SILENT_AFTER = timedelta(hours=1)
"""An upload nobody has heard of for so long has died with its process."""


@dataclass(frozen=True, slots=True)
class ImageQuotaState:
    """A ceiling of images.

    Attributes:
        limit_gib: what counts; None for no limit.
        own_gib: what somebody has set; None where the default counts.
        used_bytes: images with their copies on hosts, and what uploads under way have reserved.
    """

    limit_gib: int | None
    own_gib: int | None
    used_bytes: int

    @classmethod
    def of(cls, row: Quota | None, default_gib: int, used_bytes: int) -> "ImageQuotaState":
        """From the row of a quota, if there is one, and the default of the settings; 0 there is no limit."""
        own = row.max_images_gib if row is not None else None
        return cls(own if own is not None else default_gib or None, own, used_bytes)

    @property
    def used_gib(self) -> int:
        """The same in GiB, rounded up."""
        return -(-self.used_bytes // GIB)


class Reservation:
    """What one upload has reserved."""

    def __init__(
        self, quota: "ImageQuota", caller: Caller, project_id: int | None, upload_id: int, reserved_bytes: int
    ) -> None:
        """Take the quota and the row."""
        self.upload_id = upload_id
        self._project_id = project_id
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
            await self.reach(total)
            yield chunk

    async def reach(self, total_bytes: int) -> None:
        """Reserve more when a file has become longer than what is reserved, and tell that the upload is alive.

        Raises:
            ParcelaError: as ``watch``.
        """
        now = self._quota.now()
        if total_bytes > self._reserved_bytes or now - self._touched_at > TOUCHED_EVERY:
            needed = max(total_bytes, self._reserved_bytes)
            self._reserved_bytes = await self._quota.extend(self._caller, self._project_id, self.upload_id, needed)
            self._touched_at = now


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
    async def reserved(
        self, caller: Caller, project_id: int | None, announced_bytes: int | None
    ) -> AsyncIterator[Reservation]:
        """Reserve the announced bytes while an upload lasts, of the project's quota or of the caller's.

        Raises:
            ParcelaError: ``no_capacity`` ``quota_exceeded``, with what is used and allowed; as ``hold_for_upload``.
        """
        size = announced_bytes or 0
        async with self._uows.write() as uow:
            await _hold(uow, caller, project_id)
            await self._room(uow, caller, project_id, size)
            upload_id = await uow.image_space.begin_upload(caller.user_id, size, project_id)
            await uow.commit()
        try:
            yield Reservation(self, caller, project_id, upload_id, size)
        finally:
            async with self._uows.write() as uow:
                await uow.image_space.end_upload(upload_id)
                await uow.commit()

    async def extend(self, caller: Caller, project_id: int | None, upload_id: int, needed_bytes: int) -> int:
        """Reserve what has arrived, and some more when there is room; how much now."""
        async with self._uows.write() as uow:
            await _hold(uow, caller, project_id)
            if not await uow.image_space.reserve(upload_id, 0):
                text = "Nothing was heard of this upload for an hour, so it was given up; begin again."
                raise ParcelaError(ErrorKind.CONFLICT, "upload_given_up", text)
            room = await self._room(uow, caller, project_id, needed_bytes)
            wanted = needed_bytes + STEP_BYTES
            reserved = wanted if room is None else max(needed_bytes, min(wanted, room))
            await uow.image_space.reserve(upload_id, reserved)
            await uow.commit()
        return reserved

    async def _state(self, uow: UnitOfWork, caller: Caller, project_id: int | None) -> ImageQuotaState:
        if project_id is None:
            used_bytes = await uow.image_space.bytes_of_user(caller.user_id)
            return ImageQuotaState.of(
                await uow.quotas.of_user(caller.user_id), self._settings.quota_images_gib, used_bytes
            )
        used_bytes = await uow.image_space.bytes_of_project(project_id)
        row = await uow.quotas.of_project(project_id)
        return ImageQuotaState.of(row, self._settings.quota_project_images_gib, used_bytes)

    async def _room(self, uow: UnitOfWork, caller: Caller, project_id: int | None, more: int) -> int | None:
        """Bytes that are left, at least ``more``; None when nothing limits them."""
        state = await self._state(uow, caller, project_id)
        if state.limit_gib is None or caller.can(Permission.QUOTA_WRITE):  # who sets quotas could raise their own
            return None
        most = state.limit_gib * GIB
        if state.used_bytes + more > most:
            whose = "your quota" if project_id is None else "the quota of the project"
            what = "bytes of images, their copies on hosts included"
            raise beyond_quota("images", what, used=state.used_bytes, more=more, most=most, whose=whose)
        return most - state.used_bytes


async def _hold(uow: UnitOfWork, caller: Caller, project_id: int | None) -> None:
    """Lock whose quota it is: of two uploads at the same time only one may be the last that fits."""
    if project_id is None:
        await uow.users.lock(caller.user_id)
    else:
        await hold_for_upload(uow, caller, project_id)
