"""Clocks that tests turn, and stop."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from parcela.core.clock import utc_now

TICK = timedelta(microseconds=1)


@dataclass
class Clock:
    """Every look is a microsecond later than the one before, so that "changed after the look" has a meaning."""

    now: datetime = field(default_factory=lambda: datetime(2030, 1, 1, 12, tzinfo=UTC))

    def __call__(self) -> datetime:
        self.now += TICK
        return self.now

    def turn(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


@dataclass
class StoppableClock:
    """The time of day, until a test stops it: for what must happen within the same half minute, however slow it is."""

    stopped_at: datetime | None = None

    def __call__(self) -> datetime:
        return self.stopped_at or utc_now()

    @contextmanager
    def stopped(self, at: datetime | None = None) -> Iterator[datetime]:
        """No time passes in here; gives the time that it stays: the given one, or that of the call."""
        self.stopped_at = at or utc_now()
        try:
            yield self.stopped_at
        finally:
            self.stopped_at = None
