"""The loop of the reconcilers."""

import asyncio

import pytest

from parcela.core.errors import conflict
from parcela.workers.reconcilers.base import ReconcilerLoop

pytestmark = pytest.mark.anyio
NEVER_S = 3600.0


class Recorder:
    """Counts its runs, and may fail."""

    def __init__(self, name: str, error: Exception | None = None) -> None:
        self.name = name
        self.runs = 0
        self._error = error
        self.ran = asyncio.Event()

    async def run(self) -> int:
        self.runs += 1
        self.ran.set()
        if self._error:
            raise self._error
        return self.runs


async def test_one_that_fails_does_not_stop_the_others() -> None:
    first, second, last = Recorder("a", conflict("busy", "Later.")), Recorder("b", KeyError("x")), Recorder("c")
    assert await ReconcilerLoop([first, second, last], NEVER_S).round() == {"c": 1}
    assert (first.runs, second.runs) == (1, 1)


async def test_it_runs_on_a_signal() -> None:
    recorder = Recorder("a")
    loop = ReconcilerLoop([recorder], NEVER_S, rest_s=0)
    loop.start()
    for expected in (1, 2):
        loop.signal()
        await recorder.ran.wait()
        recorder.ran.clear()
        assert recorder.runs == expected
    await loop.aclose()


async def test_it_runs_on_a_timer() -> None:
    recorder = Recorder("a")
    loop = ReconcilerLoop([recorder], 0, rest_s=0)
    loop.start()
    for _ in range(2):
        await recorder.ran.wait()
        recorder.ran.clear()
    await loop.aclose()
    assert recorder.runs >= 2


async def test_signals_during_its_rest_wait_for_the_end_of_it() -> None:
    recorder = Recorder("a")
    loop = ReconcilerLoop([recorder], NEVER_S, rest_s=NEVER_S)
    loop.start()
    loop.signal()
    await recorder.ran.wait()
    for _ in range(3):
        loop.signal()
        await asyncio.sleep(0)
    assert recorder.runs == 1
    await loop.aclose()


async def test_it_may_be_closed_before_it_was_started() -> None:
    await ReconcilerLoop([], NEVER_S).aclose()


async def test_it_ends_when_a_signal_comes_at_the_same_time() -> None:
    loop = ReconcilerLoop([], NEVER_S)
    loop.start()
    await asyncio.sleep(0)
    loop.signal()
    async with asyncio.timeout(30):
        await loop.aclose()
