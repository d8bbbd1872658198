"""What repositories share."""

from collections.abc import Collection
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, CursorResult, Delete, Update, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from parcela.core.clock import Clock
from parcela.core.errors import not_found
from parcela.models.base import Base

ModelT = TypeVar("ModelT", bound=Base)


class Repository(Generic[ModelT]):
    """Loads and stores one kind of row. Never commits: the unit of work does."""

    model: type[ModelT]
    noun: str

    def __init__(self, session: AsyncSession, clock: Clock) -> None:
        """Work in a session of the unit of work."""
        self._session = session
        self._clock = clock

    async def get_or_none(self, row_id: int) -> ModelT | None:
        """The row, or None."""
        return await self._session.get(self.model, row_id)

    async def get(self, row_id: int) -> ModelT:
        """The row; ``not_found`` when there is none."""
        row = await self.get_or_none(row_id)
        if row is None:
            raise not_found(self.noun, row_id)
        return row

    async def get_many(self, row_ids: Collection[int]) -> dict[int, ModelT]:
        """Rows by id, with one question; ``not_found`` when one of them is missing."""
        if not row_ids:
            return {}
        model: Any = self.model
        found = {row.id: row for row in await self._session.scalars(select(model).where(model.id.in_(row_ids)))}
        for row_id in row_ids:
            if row_id not in found:
                raise not_found(self.noun, row_id)
        return found

    async def lock(self, row_id: int) -> ModelT:
        """The row, fresh and locked against other writers until the unit of work ends."""
        row = await self._session.get(self.model, row_id, with_for_update=True, populate_existing=True)
        if row is None:
            raise not_found(self.noun, row_id)
        return row

    async def add(self, row: ModelT) -> ModelT:
        """Store a new row; its id is known afterwards."""
        self._session.add(row)
        await self._session.flush()  # the id is needed by rows that refer to it
        return row

    async def delete(self, row: ModelT) -> None:
        """Remove a row now, so that a foreign key objects here and not at commit."""
        await self._session.delete(row)
        await self._session.flush()  # see above

    async def all(self) -> list[ModelT]:
        """Every row, by id: for small tables only."""
        model: Any = self.model
        return list((await self._session.scalars(select(self.model).order_by(model.id))).all())

    async def _changed(self, statement: Update | Delete) -> int:
        """Run an UPDATE or DELETE; the number of rows it matched."""
        result = await self._session.execute(statement, execution_options={"synchronize_session": False})
        return result.rowcount if isinstance(result, CursorResult) else 0


def mine_or_managed(
    owner: ColumnElement[int], project: ColumnElement[int | None], owner_id: int, managed: Collection[int]
) -> ColumnElement[bool]:
    """Condition: things of this user, and those in the projects they manage."""
    return or_(owner == owner_id, project.in_(sorted(managed))) if managed else owner == owner_id
