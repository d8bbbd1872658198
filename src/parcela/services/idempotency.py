"""Repeated creations: the answer to a request that named an ``Idempotency-Key`` is kept for a while.

A client whose connection broke cannot know whether its creation happened. It sends the same request with the same key
again and gets the first answer instead of a second thing.
"""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

from parcela.core.errors import Problem, conflict
from parcela.core.settings import Settings
from parcela.models import IdempotencyKey
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork
from parcela.services.access import Caller
from parcela.services.quota_rules import require_room

KEPT_FOR = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """The first answer to a creation.

    Attributes:
        status: HTTP status of the answer.
        location: its ``Location`` header, or None.
        body: its JSON object.
    """

    status: int
    location: str | None
    body: dict[str, Any]


def request_hash(method: str, path: str, query: bytes, body: bytes) -> str:
    """Fingerprint of a request: hexadecimal SHA-256 over all that decides what it would create."""
    digest = hashlib.sha256()
    for part in (method.encode(), path.encode(), query, body):
        # The length in front keeps "/a" + "bc" and "/ab" + "c" apart.
        digest.update(len(part).to_bytes(8))
        digest.update(part)
    return digest.hexdigest()


class IdempotencyService:
    """Finds and keeps answers, per user and key."""

    def __init__(self, kept_for: timedelta = KEPT_FOR, most: int = 0) -> None:
        """Take how long answers are kept, and how many of a user at most (0: any number)."""
        self._kept_for = kept_for
        self._most = most

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """With the terms of the installation."""
        return cls(timedelta(hours=settings.retention_idempotency_hours), settings.quota_idempotency_keys)

    async def find(self, uow: ReadUnitOfWork, caller: Caller, key: str, fingerprint: str) -> KeptAnswer | None:
        """The answer already given to this request, or None when it is the first.

        Raises:
            ParcelaError: kind ``conflict``, code ``idempotency_key_reused``, when the key came with another request.
        """
        kept = await uow.idempotency.find(caller.user_id, key)
        if kept is None or kept.created_at < uow.clock() - self._kept_for:
            return None
        if kept.request_hash != fingerprint:
            text = "This Idempotency-Key was already used for another request; choose a new one."
            problem = Problem("header.Idempotency-Key", text, "idempotency_key_reused")
            raise conflict("idempotency_key_reused", text, problem)
        return KeptAnswer(status=kept.status, location=kept.location, body=kept.body)

    async def keep(self, uow: UnitOfWork, caller: Caller, key: str, fingerprint: str, answer: KeptAnswer) -> None:
        """Keep an answer in the unit of work that makes it true: both are committed, or none.

        Of two that run at the same time, the constraint on (user, key) lets one through (``idempotency_race``).
        """
        outdated = await uow.idempotency.find(caller.user_id, key)
        if outdated is not None and outdated.created_at < uow.clock() - self._kept_for:
            await uow.idempotency.delete(outdated)
        used = await uow.idempotency.count_of(caller.user_id)
        require_room("idempotency_keys", "kept Idempotency-Keys", used=used, more=1, most=self._most)
        row = IdempotencyKey(
            user_id=caller.user_id,
            key=key,
            request_hash=fingerprint,
            status=answer.status,
            location=answer.location,
            body=answer.body,
            created_at=uow.clock(),
        )
        await uow.idempotency.add(row)
