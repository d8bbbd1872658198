"""How long things take in the simulated world, and how to wait for them.

There are no timers and no background tasks: a guest that boots carries the moment at which it will be ready, and
whoever looks at it later finds it booted. So the world goes on while no event loop runs (the control plane was
killed), and nothing is left over when a test ends.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

FOREVER_S = float("inf")


@dataclass(frozen=True, slots=True)
class Delays:
    """Seconds that each kind of call takes, before ``speed`` divides them.

    Attributes:
        probe_s: asking what the host is.
        image_s: copying a base image to a host for the first time.
        segment_s: making or removing a segment.
        create_s: making overlay, seed and definition.
        update_s: changing a definition.
        reset_s: replacing an overlay.
        remove_s: removing a VM.
        start_s: from the call to the first instruction of the guest.
        stop_s: pulling the plug.
        pause_s: pausing or continuing.
        inventory_s: listing a host.
        console_s: opening a console.
        boot_s: from the first instruction to the ready marker.
        shutdown_s: from the power button to off.
    """

    probe_s: float = 0.02
    image_s: float = 0.2
    segment_s: float = 0.02
    create_s: float = 0.05
    update_s: float = 0.03
    reset_s: float = 0.05
    remove_s: float = 0.05
    start_s: float = 0.1
    stop_s: float = 0.05
    pause_s: float = 0.01
    inventory_s: float = 0.01
    console_s: float = 0.01
    boot_s: float = 0.5
    shutdown_s: float = 0.2

    @classmethod
    def none(cls) -> "Delays":
        """No delay at all: every call still gives way to other tasks, but nothing waits for the clock."""
        return cls(*[0.0] * len(cls.__dataclass_fields__))


@dataclass(slots=True)
class Timing:
    """Delays, the factor they are divided by, and the clock (monotonic seconds)."""

    delays: Delays = field(default_factory=Delays)
    speed: float = 1.0
    clock: Callable[[], float] = time.monotonic

    @property
    def boot_s(self) -> float:
        """Seconds from power-on to ready."""
        return self.delays.boot_s / self.speed

    @property
    def shutdown_s(self) -> float:
        """Seconds from the power button to off."""
        return self.delays.shutdown_s / self.speed

    async def sleep(self, seconds: float) -> None:
        """Wait; with 0 seconds other tasks still get their turn, and a cancellation still arrives here."""
        await asyncio.sleep(seconds / self.speed)


class Signal:
    """Wakes everybody who waits, whichever thread or event loop they are on.

    An ``asyncio.Event`` belongs to one loop; here the notifier may be a test's main thread, and a waiter's loop may
    have been closed by the kill of the control plane.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiters: set[asyncio.Future[None]] = set()
        self._version = 0

    @property
    def version(self) -> int:
        """Number of notifications so far; read it *before* looking at the state that is waited for."""
        return self._version

    def notify(self) -> None:
        """Wake every waiter."""
        with self._lock:
            self._version += 1
            waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            try:
                waiter.get_loop().call_soon_threadsafe(_finish, waiter)
            except RuntimeError:  # that loop is closed: nobody waits any more
                continue

    async def wait(self, seen: int, timeout_s: float = FOREVER_S) -> None:
        """Wait until there was a notification after version ``seen``, or ``timeout_s`` seconds have passed."""
        waiter = asyncio.get_running_loop().create_future()
        with self._lock:
            if self._version != seen:
                return
            self._waiters.add(waiter)
        try:
            async with asyncio.timeout(None if timeout_s == FOREVER_S else max(0.0, timeout_s)):
                await waiter
        except TimeoutError:
            return
        finally:
            with self._lock:
                self._waiters.discard(waiter)


def _finish(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
