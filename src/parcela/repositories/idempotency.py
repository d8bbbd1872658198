"""Answers kept for repeated creations."""

from sqlalchemy import func, select

from parcela.models import IdempotencyKey
from parcela.repositories.base import Repository


class IdempotencyRepository(Repository[IdempotencyKey]):
    """One row per (user, key)."""

    model = IdempotencyKey
    noun = "idempotency key"

    async def find(self, user_id: int, key: str) -> IdempotencyKey | None:
        """The kept answer, or None."""
        statement = select(IdempotencyKey).where(IdempotencyKey.user_id == user_id, IdempotencyKey.key == key)
        return (await self._session.scalars(statement)).one_or_none()

    async def count_of(self, user_id: int) -> int:
        """How many answers are kept for a user."""
        statement = select(func.count()).select_from(IdempotencyKey).where(IdempotencyKey.user_id == user_id)
        return int((await self._session.execute(statement)).scalar_one())
