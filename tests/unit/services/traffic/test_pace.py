"""A client has to take what waits for it, at a rate."""

from dataclasses import replace

from parcela.services.traffic.pace import READ_MIN_BYTES_PER_S, Pace, WriteProgress
from tests.unit.services.traffic.settings import settings_of

PACE = replace(Pace.of(settings_of()), write_s=10.0)


def test_one_that_takes_nothing_is_stalled_after_a_period() -> None:
    progress = WriteProgress()
    assert [progress.is_stalled(float(now), 5000, PACE) for now in range(11)] == [False] * 10 + [True]


def test_one_that_takes_a_byte_now_and_then_is_too() -> None:
    progress = WriteProgress()
    assert [progress.is_stalled(float(now), 5000 - now, PACE) for now in range(11)] == [False] * 10 + [True]


def test_one_that_takes_enough_is_not() -> None:
    progress, pending = WriteProgress(), 1000000
    for now in range(60):
        assert not progress.is_stalled(float(now), pending, PACE)
        pending -= READ_MIN_BYTES_PER_S
    # ... though more is written meanwhile
    for now in range(60, 120):
        assert not progress.is_stalled(float(now), pending - (now % 2) * 2 * READ_MIN_BYTES_PER_S, PACE)


def test_time_counts_only_while_something_waits() -> None:
    progress = WriteProgress()
    for now in range(100):
        assert not progress.is_stalled(float(now), 5000 if now % 10 else 0, PACE)
