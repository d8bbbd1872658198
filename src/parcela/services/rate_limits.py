"""How much one user or address may ask: counted in fixed windows, for all processes together where there is Redis.

Rates are read and keys are written as the library ``limits`` does. Its store in memory is not used: at every request it
looks at every key it knows, so a thousand addresses would make each other slow. Here all counters of a rate end at the
same moment and are dropped at once.
"""

import math
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

import limits

from parcela.core.settings import Settings
from parcela.core.settings_limits import OFF
from parcela.services.identity.login_limits.throttles import WIDER_PREFIXES, address_keys


class SharedCounters(Protocol):
    """Counters of all processes of an installation."""

    async def count(self, key: str, expiry_s: int) -> int | None:
        """Count one under a key that is forgotten after ``expiry_s``; the count, or None when nobody answers now."""


class Verdict(NamedTuple):
    """What is left. A tuple: one is made for every request.

    Attributes:
        limit: requests per window.
        window_s: length of the window in seconds.
        remaining: requests that are left in it, 0 and up.
        reset_s: seconds until the next window, 1 and up.
        allowed: whether this request may go on.
    """

    limit: int
    window_s: int
    remaining: int
    reset_s: int
    allowed: bool


class _Rate:
    """One rate and the counts of its present window."""

    def __init__(self, text: str) -> None:
        item = limits.parse(text)
        self.limit = item.amount
        self.window_s = int(item.get_expiry())
        self._window = -1
        self._counts: dict[str, int] = {}

    def add(self, key: str, window: int) -> int:
        """Count one; the counts of earlier windows are forgotten."""
        if window != self._window:
            self._window, self._counts = window, {}
        count = self._counts[key] = self._counts.get(key, 0) + 1
        return count


class RateLimiter:
    """Counts requests per user, and per address where nobody is known."""

    def __init__(
        self, settings: Settings, shared: SharedCounters | None = None, now: Callable[[], float] = time.time
    ) -> None:
        """Without ``shared``, and while it does not answer, each process counts for itself. ``now`` counts seconds."""
        self._user = self._rate(settings.rate_limit)
        self._address = self._rate(settings.rate_limit_anonymous)
        self._shared = shared
        self._now = now

    @staticmethod
    def _rate(text: str) -> _Rate | None:
        return None if text == OFF else _Rate(text)

    async def count(self, user_id: int | None, address: str) -> Verdict | None:
        """Count one request; None when there is no limit for it."""
        rate = self._address if user_id is None else self._user
        if rate is None:
            return None
        if user_id is not None:
            return await self._verdict(rate, f"user:{user_id}", rate.limit)
        # Of IPv6 the prefixes around the /64 too: a site has 65,536 of those.
        least: Verdict | None = None
        for key, times in zip(address_keys(address), (1, *WIDER_PREFIXES.values()), strict=False):
            verdict = await self._verdict(rate, key, times * rate.limit)
            if least is None or verdict.remaining < least.remaining or not verdict.allowed:
                least = verdict
            if not verdict.allowed:
                break  # what is refused uses up nothing of the neighbours'
        return least

    async def _verdict(self, rate: _Rate, key: str, limit: int) -> Verdict:
        """Count one under a key that may have ``limit`` in each window."""
        now = self._now()
        window = int(now // rate.window_s)
        count = rate.add(key, window)  # here too, so that the loss of Redis forgets nothing of this process
        if self._shared is not None:
            shared = await self._shared.count(f"{key}:{window}", rate.window_s)
            count = count if shared is None else shared
        reset_s = max(1, math.ceil((window + 1) * rate.window_s - now))
        return Verdict(limit, rate.window_s, max(0, limit - count), reset_s, count <= limit)
