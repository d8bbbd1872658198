from datetime import UTC, datetime, timedelta

import pytest

from parcela.services.access import Caller
from parcela.services.identity.caller_cache import CallerCache

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SOON = NOW + timedelta(seconds=30)


def caller(user_id: int) -> Caller:
    return Caller(user_id, f"user{user_id}", "client", frozenset())


@pytest.fixture
def cache() -> CallerCache:
    made = CallerCache(max_entries=3)
    for key, user_id in (("a", 1), ("b", 1), ("c", 2)):
        made.put(key, caller(user_id), SOON, epoch=made.epoch)
    return made


def known(cache: CallerCache, now: datetime = NOW) -> str:
    return "".join(key for key in "abcd" if cache.get(key, now))


def test_until_it_ends(cache: CallerCache) -> None:
    assert known(cache, SOON - timedelta(microseconds=1)) == "abc"
    assert known(cache, SOON) == ""
    assert known(cache) == "", "what has ended is gone"


def test_a_clock_that_is_set_back_keeps_nothing_for_longer(cache: CallerCache) -> None:
    assert known(cache, NOW - timedelta(hours=1)) == ""


def test_forgetting_a_user(cache: CallerCache) -> None:
    cache.forget_user(1)
    cache.forget_user(99)
    assert known(cache) == "c"


def test_forgetting_all(cache: CallerCache) -> None:
    cache.forget_all()
    assert known(cache) == ""


def test_the_oldest_goes_when_it_is_full(cache: CallerCache) -> None:
    cache.put("d", caller(3), SOON, epoch=cache.epoch)
    assert known(cache) == "bcd"
    cache.put("b", caller(1), SOON, epoch=cache.epoch)
    assert known(cache) == "bcd", "the same token takes one place"


def test_a_lookup_that_was_overtaken_is_not_kept(cache: CallerCache) -> None:
    epoch = cache.epoch
    cache.forget_user(2)
    cache.put("d", caller(3), SOON, epoch=epoch)
    assert known(cache) == "ab"


def test_nothing_is_left_behind(cache: CallerCache) -> None:
    cache.put("d", caller(3), SOON, epoch=cache.epoch)
    for key in "abcd":
        cache.get(key, SOON)
    assert (cache._entries, cache._by_user) == ({}, {})
