"""Files that belong to machines and their maintenance records."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select

from parcela.models import Attachment
from parcela.models.derived import shown
from parcela.repositories.base import Repository
from parcela.repositories.paging import Page, PageRequest, fetch_page


class AttachmentRepository(Repository[Attachment]):
    """Attachments; the files are in the data folder."""

    model = Attachment
    noun = "attachment"

    async def page(self, request: PageRequest, *, machine_id: int, record_id: str | None = None) -> Page:
        """Attachments of a machine, perhaps of one of its records."""
        statement = select(*shown(Attachment)).where(Attachment.machine_id == machine_id)
        if record_id is not None:
            statement = statement.where(Attachment.record_id == record_id)
        sortable: dict[str, Any] = {"name": Attachment.name, "created_at": Attachment.created_at}
        id_column = Attachment.__table__.c.id
        return await fetch_page(self._session, statement, request, sortable=sortable, id_column=id_column)

    async def of_record(self, record_id: str) -> list[Attachment]:
        """All attachments of a record."""
        statement = select(Attachment).where(Attachment.record_id == record_id).order_by(Attachment.id)
        return list((await self._session.scalars(statement)).all())

    async def of_machine(self, machine_id: int) -> list[Attachment]:
        """All attachments of a machine and its records."""
        statement = select(Attachment).where(Attachment.machine_id == machine_id).order_by(Attachment.id)
        return list((await self._session.scalars(statement)).all())

    async def count_of_machine(self, machine_id: int) -> int:
        """How many files belong to a machine and its records."""
        statement = select(func.count()).select_from(Attachment).where(Attachment.machine_id == machine_id)
        return int((await self._session.execute(statement)).scalar_one())

    async def bytes_of(self, user_id: int) -> int:
        """Size of what a user has attached."""
        statement = select(func.coalesce(func.sum(Attachment.size_bytes), 0)).where(Attachment.created_by == user_id)
        return int((await self._session.execute(statement)).scalar_one())

    async def known(self, files: Sequence[str]) -> set[str]:
        """Which of these files belong to attachments."""
        statement = select(Attachment.file).where(Attachment.file.in_(files))
        return set((await self._session.scalars(statement)).all())
