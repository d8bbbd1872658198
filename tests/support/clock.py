"""A clock that tests turn."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

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
