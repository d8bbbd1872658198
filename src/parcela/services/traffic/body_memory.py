"""Memory of request bodies that are being received: a ceiling for all, and a share for each user.

A body is kept in memory until it has come in whole, and its sender decides how long that takes. Without a ceiling a
thousand connections hold a thousand times the largest body.
"""

from collections import Counter
from typing import Final

from parcela.core.errors import ErrorKind, ParcelaError

STRANGERS: Final = 0
"""The share of requests without a caller, all of them together."""
SHARES: Final = 4
RETRY_AFTER_S = 10


class BodyMemory:
    """Counts bytes; all methods are for the event loop's thread."""

    def __init__(self, max_bytes: int) -> None:
        """``max_bytes``: of all bodies together."""
        self.max_bytes = max_bytes
        self.refused: Counter[str] = Counter()
        self._held: Counter[int] = Counter()
        self._total = 0

    @property
    def held_bytes(self) -> int:
        """How much there is now."""
        return self._total

    def take(self, user_id: int, size: int) -> None:
        """Count ``size`` more bytes of a user, or of ``STRANGERS``.

        Raises:
            ParcelaError: kind ``unavailable``, code ``bodies_full``: too much of the user, or of all. Nothing is
                counted then.
        """
        if self._held[user_id] + size > self.max_bytes // SHARES:
            self.refused["user" if user_id else "strangers"] += 1
            raise _full("Unfinished requests of yours hold as much as they may")
        if self._total + size > self.max_bytes:
            self.refused["total"] += 1
            raise _full("Unfinished requests hold as much memory as they may")
        self._held[user_id] += size
        self._total += size

    def give_back(self, user_id: int, size: int) -> None:
        """These bytes are not held any more."""
        self._total -= size
        self._held[user_id] -= size
        if not self._held[user_id]:
            del self._held[user_id]


def _full(what: str) -> ParcelaError:
    text = f"{what}; try again in {RETRY_AFTER_S} seconds."
    return ParcelaError(ErrorKind.UNAVAILABLE, "bodies_full", text, retry_after_s=RETRY_AFTER_S)
