"""Places of what stays open: WebSockets (events, consoles) and event streams, per user, per address and in all."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.core.settings import Settings
from parcela.services.identity.login_limits.throttles import address_key

RETRY_AFTER_S = 30
PLACE: Final = "parcela.place"
"""Key of the scope of a request: what gives its place back; the edge calls it when the connection has ended."""


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """How many may be open in this process; 0 for no limit."""

    total: int
    per_user: int
    per_address: int

    @classmethod
    def of(cls, settings: Settings, connections: int) -> Self:
        """What the settings say; ``connections``: how many there may be in all."""
        total = settings.max_streams or max(1, connections * 3 // 4)
        return cls(total, settings.max_streams_per_user, settings.max_streams_per_address)


class StreamPlaces:
    """Counts them; all methods are for the event loop's thread."""

    def __init__(self, limits: StreamLimits) -> None:
        """Begin with none."""
        self.limits = limits
        self.refused: Counter[str] = Counter()
        self._users: Counter[int] = Counter()
        self._addresses: Counter[str] = Counter()
        self._open = 0

    @property
    def open(self) -> int:
        """How many there are."""
        return self._open

    def take(self, user_id: int, address: str) -> Callable[[], None]:
        """Take a place for a stream of a user.

        Returns:
            What gives it back; to be called once.

        Raises:
            ParcelaError: kind ``rate_limited``, code ``too_many_streams``: the user or the address has too many; kind
                ``unavailable``, code ``streams_full``: all together are too many.
        """
        key, limits = address_key(address), self.limits
        if limits.per_user and self._users[user_id] >= limits.per_user:
            raise self._refusal("user", f"You have {limits.per_user} streams and consoles open; close one first.")
        if limits.per_address and self._addresses[key] >= limits.per_address:
            text = f"Your address has {limits.per_address} streams and consoles open; close one first."
            raise self._refusal("address", text)
        if limits.total and self._open >= limits.total:
            self.refused["total"] += 1
            text = "All places for streams and consoles are taken; try again in half a minute."
            raise ParcelaError(ErrorKind.UNAVAILABLE, "streams_full", text, retry_after_s=RETRY_AFTER_S)
        self._users[user_id] += 1
        self._addresses[key] += 1
        self._open += 1
        return lambda: self._give_back(user_id, key)

    def _refusal(self, reason: str, text: str) -> ParcelaError:
        self.refused[reason] += 1
        return ParcelaError(ErrorKind.RATE_LIMITED, "too_many_streams", text, retry_after_s=RETRY_AFTER_S)

    def _give_back(self, user_id: int, key: str) -> None:
        self._open -= 1
        self._users[user_id] -= 1
        self._addresses[key] -= 1
        if not self._users[user_id]:
            del self._users[user_id]
        if not self._addresses[key]:
            del self._addresses[key]
