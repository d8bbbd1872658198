"""Repeated creations: the answer to a request that named an ``Idempotency-Key`` is kept for a while.

A client whose connection broke cannot know whether its creation happened. It sends the same request with the same key
again and gets the first answer instead of a second thing. Of a large answer only the id is kept: what was made is
stored already, and copies of it in ``idempotency_keys`` would be counted by no quota of bytes.
"""

import hashlib
import json
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
_LEFT_OUT = "bytes_not_kept"
"""Key in a stored body that stands for a larger answer; no answer has it."""


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """The first answer to a creation.

    Attributes:
        status: HTTP status of the answer.
        location: its ``Location`` header, or None.
        body: its JSON object; only its ``id``, when it is not complete.
        complete: False for a kept answer that was too large to be kept whole.
    """

    status: int
    location: str | None
    body: dict[str, Any]
    complete: bool = True

    def replayed_as(self, current: dict[str, Any] | None) -> dict[str, Any]:
        """The body of a replay.

        Args:
            current: the thing as it is now, where the route can tell; it stands for an answer that is not complete.

        Raises:
            ParcelaError: kind ``conflict``, code ``idempotency_answer_not_kept``, when there is neither.
        """
        if self.complete:
            return self.body
        if current is not None:
            return current
        where = f" Read it at {self.location}." if self.location else ""
        text = f"This request was carried out before, and its answer was too large to be kept.{where}"
        problem = Problem("header.Idempotency-Key", text, "idempotency_answer_not_kept")
        raise conflict("idempotency_answer_not_kept", text, problem)


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

    def __init__(self, kept_for: timedelta = KEPT_FOR, most: int = 0, most_bytes: int = 0) -> None:
        """Take how long answers are kept, how many of a user at most and of how many bytes each (0: any number)."""
        self._kept_for = kept_for
        self._most = most
        self._most_bytes = most_bytes

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """With the terms of the installation."""
        return cls(
            timedelta(hours=settings.retention_idempotency_hours),
            settings.quota_idempotency_keys,
            settings.quota_idempotency_answer_bytes,
        )

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
        return KeptAnswer(kept.status, kept.location, kept.body, complete=_LEFT_OUT not in kept.body)

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
            body=self._stored(answer.body),
            created_at=uow.clock(),
        )
        await uow.idempotency.add(row)

    def _stored(self, body: dict[str, Any]) -> dict[str, Any]:
        size = len(json.dumps(body))  # as the column stores it
        if not self._most_bytes or size <= self._most_bytes:
            return body
        return {"id": body.get("id"), _LEFT_OUT: size}
