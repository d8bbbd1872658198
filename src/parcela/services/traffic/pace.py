"""How slow a client may be: bytes have to move at a rate, in periods of a length."""

from dataclasses import dataclass
from typing import Self

from parcela.core.settings import Settings

READ_MIN_BYTES_PER_S = 256
"""Slowest reading of an answer. A quarter of the slowest sending: kernels hand over in lumps."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Time limits of a connection, in seconds; see the settings of the same names."""

    header_s: float
    keep_alive_s: float
    body_s: float
    body_min_bytes_per_s: int
    write_s: float

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """What the settings say."""
        return cls(
            header_s=settings.header_timeout_s,
            keep_alive_s=settings.keep_alive_timeout_s,
            body_s=settings.body_timeout_s,
            body_min_bytes_per_s=settings.body_min_bytes_per_s,
            write_s=settings.write_timeout_s,
        )


class WriteProgress:
    """Whether a client takes what waits for it.

    A client that reads nothing, or a byte now and then, would keep its answer, its task and its connection for ever: no
    timer of TCP ends a connection whose other side is alive.
    """

    __slots__ = ("_began", "_last", "_taken")

    def __init__(self) -> None:
        """Nothing waits."""
        self._began = -1.0
        self._last = 0
        self._taken = 0

    def is_stalled(self, now: float, pending: int, pace: Pace) -> bool:
        """Look again.

        Args:
            now: seconds.
            pending: bytes that wait for the client: ours, and those the kernel has.
            pace: the limits.

        Returns:
            True when a whole period has brought less than it should.
        """
        if pending == 0:
            self._began = -1.0
            return False
        if self._began < 0:
            self._began, self._taken = now, 0
        else:
            # When there is more than before the application has written since, which it only may when there is room.
            self._taken += max(0, self._last - pending)
        self._last = pending
        if now - self._began < pace.write_s:
            return False
        if self._taken < READ_MIN_BYTES_PER_S * (now - self._began):
            return True
        self._began, self._taken = now, 0
        return False
