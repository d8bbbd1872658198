"""Waiting for and ending asyncio tasks, so that a cancelled one really ends.

``asyncio.wait_for`` is not used in this code (a lint rule forbids it): up to Python 3.11 it swallows a cancellation
that arrives together with the result, and a loop around it then runs for ever while whoever stops the process waits.
"""

import asyncio
from typing import Any

CANCELLED_AGAIN_AFTER_S = 5.0
"""Long enough for what a task still writes when it ends, e.g. that it gives up its lease."""


async def is_set_within(event: asyncio.Event, timeout_s: float) -> bool:
    """Wait for an event.

    Args:
        event: what to wait for; it is not cleared.
        timeout_s: at most this many seconds.

    Returns:
        False when it is still not set.
    """
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def end(*tasks: "asyncio.Future[Any]", again_s: float = CANCELLED_AGAIN_AFTER_S) -> None:
    """Cancel tasks and wait until none of them runs any more.

    A library below a task may swallow the cancellation too: it is repeated until the task has ended. What the tasks
    returned or raised is dropped.

    Args:
        tasks: any futures, also ended ones.
        again_s: seconds between two cancellations of the same task.
    """
    running = {task for task in tasks if not task.done()}
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=again_s)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # looked at: no "exception was never retrieved" when it is collected


async def see_through(task: "asyncio.Task[Any]") -> None:
    """Wait for a task that others depend on, even when we are cancelled meanwhile: that comes after its end.

    A second cancellation (see ``end``) is passed on to the task: whatever it hangs on is given up then.

    Args:
        task: what it returns or raises stays with it.
    """
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as exc:
            if cancelled is not None:
                task.cancel()
            cancelled = exc
    if cancelled is not None:
        raise cancelled
