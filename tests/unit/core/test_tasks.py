"""Tasks that are ended do end, and what waits for an event hears of it."""

import asyncio

import pytest

from parcela.core.tasks import end, is_set_within

pytestmark = pytest.mark.anyio


async def test_an_event_is_set_or_not() -> None:
    event = asyncio.Event()
    assert not await is_set_within(event, 0)
    event.set()
    assert await is_set_within(event, 3600)


async def test_a_cancellation_that_comes_with_the_event_counts() -> None:
    event, rounds = asyncio.Event(), 0

    async def for_ever() -> None:
        nonlocal rounds
        while True:
            await is_set_within(event, 3600)
            event.clear()
            rounds += 1

    task = asyncio.ensure_future(for_ever())
    await asyncio.sleep(0)
    event.set()
    task.cancel()
    await asyncio.wait({task}, timeout=30)
    assert task.cancelled()
    assert rounds == 0


async def test_a_task_that_swallows_a_cancellation_is_cancelled_again() -> None:
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while swallowed < 3:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1

    task = asyncio.ensure_future(stubborn())
    await asyncio.sleep(0)
    await end(task, again_s=0.001)
    assert task.done()
    assert swallowed == 3


async def test_ended_and_failed_tasks_are_left_as_they_are() -> None:
    async def fails() -> None:
        raise ValueError("no")

    failed, good = asyncio.ensure_future(fails()), asyncio.ensure_future(asyncio.sleep(0, "yes"))
    await asyncio.wait({failed, good})
    await end(failed, good)
    await end()
    assert isinstance(failed.exception(), ValueError)
    assert good.result() == "yes"
