"""Answers kept for repeated creations."""

from datetime import timedelta

from sqlalchemy import delete, select

from parcela.models import IdempotencyKey
from parcela.repositories.base import Repository

KEPT_FOR = timedelta(days=1)


class IdempotencyRepository(Repository[IdempotencyKey]):
    """One row per (user, key)."""

    model = IdempotencyKey
    noun = "idempotency key"

    async def find(self, user_id: int, key: str) -> IdempotencyKey | None:
        """The kept answer, or None."""
        statement = select(IdempotencyKey).where(IdempotencyKey.user_id == user_id, IdempotencyKey.key == key)
        return (await self._session.scalars(statement)).one_or_none()

    async def purge(self) -> int:
        """Forget answers older than a day; how many."""
        return await self._changed(delete(IdempotencyKey).where(IdempotencyKey.created_at < self._clock() - KEPT_FOR))
