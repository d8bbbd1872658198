"""Counting requests: per user, per address, in windows."""

import pytest

from parcela.core.settings import Settings
from parcela.services.rate_limits import RateLimiter, Verdict

pytestmark = pytest.mark.anyio


class Now:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.s = 600.0

    def __call__(self) -> float:
        return self.s


class Elsewhere:
    """Counters of other processes; ``answer`` None is a Redis that is away."""

    def __init__(self, answer: int | None) -> None:
        self.answer = answer
        self.asked: list[tuple[str, int]] = []

    async def count(self, key: str, expiry_s: int) -> int | None:
        self.asked.append((key, expiry_s))
        return self.answer


def settings(user: str = "2/minute", anonymous: str = "1/minute") -> Settings:
    return Settings(_env_file=None, PARCELA_RATE_LIMIT=user, PARCELA_RATE_LIMIT_ANONYMOUS=anonymous)


async def allowed(limiter: RateLimiter, user_id: int | None, address: str = "192.0.2.1") -> bool:
    verdict = await limiter.count(user_id, address)
    assert verdict is not None
    return verdict.allowed


async def test_what_is_left_is_told() -> None:
    now = Now()
    limiter = RateLimiter(settings(), now=now)
    now.s += 15.5
    assert await limiter.count(7, "192.0.2.1") == Verdict(2, 60, 1, 45, allowed=True)
    assert await limiter.count(7, "198.51.100.1") == Verdict(2, 60, 0, 45, allowed=True)
    assert await limiter.count(7, "192.0.2.1") == Verdict(2, 60, 0, 45, allowed=False)


async def test_a_new_window_begins_at_nothing() -> None:
    now = Now()
    limiter = RateLimiter(settings(), now=now)
    assert [await allowed(limiter, 7) for _ in range(3)] == [True, True, False]
    now.s += 60
    assert await allowed(limiter, 7)


async def test_users_do_not_use_up_each_others() -> None:
    limiter = RateLimiter(settings(), now=Now())
    assert [await allowed(limiter, 7) for _ in range(3)][-1] is False
    assert await allowed(limiter, 8)


async def test_strangers_count_by_address_and_ipv6_by_network() -> None:
    limiter = RateLimiter(settings(), now=Now())
    assert await allowed(limiter, None, "2001:db8::1")
    assert not await allowed(limiter, None, "2001:db8::2")
    assert await allowed(limiter, None, "2001:db8:0:1::1")
    assert await allowed(limiter, 7, "2001:db8::2")


async def test_off_counts_nothing() -> None:
    assert await RateLimiter(settings("off", "off")).count(None, "192.0.2.1") is None


async def test_all_processes_count_together() -> None:
    elsewhere = Elsewhere(3)
    limiter = RateLimiter(settings(), elsewhere, now=Now())
    assert not await allowed(limiter, 7)
    assert elsewhere.asked == [("user:7:10", 60)]


async def test_without_an_answer_this_process_counts_what_it_saw() -> None:
    elsewhere = Elsewhere(1)
    limiter = RateLimiter(settings(), elsewhere, now=Now())
    assert await allowed(limiter, 7)
    elsewhere.answer = None
    assert [await allowed(limiter, 7) for _ in range(2)] == [True, False]


@pytest.mark.parametrize("value", ["many", "0/minute", "-5/second", "10", "10/fortnight"])
def test_what_is_no_rate_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="must be a rate such as"):
        settings(value)


async def test_many_networks_of_a_site_do_not_multiply_what_it_may_ask() -> None:
    limiter = RateLimiter(settings(anonymous="2/minute"), now=Now())
    site = [await allowed(limiter, None, f"2001:db8:1:{n:x}::1") for n in range(0x1000)]
    assert site.count(True) == 2 * 16, "of a /48"
    assert await allowed(limiter, None, "2001:db8:2::1")
