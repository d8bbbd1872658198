"""Bytes of images: on hosts, and of users and projects, uploads under way included."""

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import ColumnElement, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from parcela.core.clock import Clock
from parcela.models import Image, ImageCopy, ImageUpload

Conditions = tuple[ColumnElement[bool], ...]


class ImageSpaceRepository:
    """Copies on hosts, reservations of uploads, and their sums."""

    def __init__(self, session: AsyncSession, clock: Clock) -> None:
        """Work in a session of the unit of work."""
        self._session = session
        self._clock = clock

    # ---- copies

    async def known(self, digests: Collection[str]) -> set[str]:
        """Which of these files an image of the database is made of (as disk, kernel or initrd)."""
        found: set[str] = set()
        for column in (Image.sha256, Image.kernel_sha256, Image.initrd_sha256):
            wanted = [digest for digest in digests if digest]
            found |= set(await self._session.scalars(select(column).where(column.in_(wanted))))
        return found

    async def copies_on(self, host_id: int) -> dict[str, int]:
        """Bytes by digest of what the last look found on a host."""
        statement = select(ImageCopy.sha256, ImageCopy.size_bytes).where(ImageCopy.host_id == host_id)
        return {row.sha256: row.size_bytes for row in await self._session.execute(statement)}

    async def note_copies(self, host_id: int, copies: Mapping[str, int]) -> None:
        """Write down what a look found."""
        await self._session.execute(delete(ImageCopy).where(ImageCopy.host_id == host_id))
        if copies:
            rows = [{"host_id": host_id, "sha256": key, "size_bytes": size} for key, size in sorted(copies.items())]
            await self._session.execute(insert(ImageCopy), rows)

    # ---- sums

    async def bytes_of_user(self, user_id: int) -> int:
        """What the images of a user take, with their copies on hosts, and what their uploads have reserved.

        Those of projects do not count.
        """
        made = (Image.owner_id == user_id, Image.project_id.is_(None))
        return await self._bytes(made, (ImageUpload.user_id == user_id, ImageUpload.project_id.is_(None)))

    async def bytes_of_project(self, project_id: int) -> int:
        """What the images of a project take, likewise, whoever uploaded them."""
        return await self._bytes((Image.project_id == project_id,), (ImageUpload.project_id == project_id,))

    async def _bytes(self, made_by: Conditions, uploaded_by: Conditions) -> int:
        copies = select(func.count()).where(ImageCopy.sha256 == Image.sha256).correlate(Image).scalar_subquery()
        images = select(func.coalesce(func.sum(Image.size_bytes * (1 + copies)), 0)).where(*made_by)
        uploads = select(func.coalesce(func.sum(ImageUpload.reserved_bytes), 0)).where(*uploaded_by)
        statement = select(images.scalar_subquery(), uploads.scalar_subquery())
        made, under_way = (await self._session.execute(statement)).one()
        return int(made) + int(under_way)

    # ---- uploads

    async def begin_upload(self, user_id: int, reserved_bytes: int, project_id: int | None = None) -> int:
        """Reserve bytes for an upload, into a project or of the user alone; its number."""
        now = self._clock()
        row = ImageUpload(
            user_id=user_id, project_id=project_id, reserved_bytes=reserved_bytes, started_at=now, touched_at=now
        )
        self._session.add(row)
        await self._session.flush()  # the number is needed to end it
        return row.id

    async def reserve(self, upload_id: int, reserved_bytes: int) -> bool:
        """Say how many bytes an upload needs now, and that it is alive; False when it was given up meanwhile."""
        statement = update(ImageUpload).where(ImageUpload.id == upload_id)
        return await self._run(statement.values(reserved_bytes=reserved_bytes, touched_at=self._clock())) == 1

    async def end_upload(self, upload_id: int) -> None:
        """Give back what an upload has reserved; fine when that happened already."""
        await self._run(delete(ImageUpload).where(ImageUpload.id == upload_id))

    async def silent_uploads(self, before: datetime) -> int:
        """How many uploads nobody has heard of since."""
        statement = select(func.count(ImageUpload.id)).where(ImageUpload.touched_at < before)
        return int((await self._session.execute(statement)).scalar_one())

    async def end_silent_uploads(self, before: datetime) -> int:
        """Give back what uploads have reserved that nobody has heard of since; how many."""
        return await self._run(delete(ImageUpload).where(ImageUpload.touched_at < before))

    async def _run(self, statement: object) -> int:
        result = await self._session.execute(statement, execution_options={"synchronize_session": False})  # type: ignore[call-overload]
        return int(result.rowcount)
