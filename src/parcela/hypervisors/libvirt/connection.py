"""One connection to libvirtd that comes back by itself.

Every blocking call runs on the connection's own bounded executor, never on asyncio's default one, which is shared with
the rest of the process and has only a handful of threads on a small machine.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import libvirt

from parcela.core.tasks import end, is_set_within
from parcela.hypervisors.errors import HostUnreachableError, RetryableDriverError
from parcela.hypervisors.libvirt.eventloop import ensure_event_loop
from parcela.hypervisors.libvirt.failures import is_connection_failure, translate, unreachable

log = logging.getLogger(__name__)

T = TypeVar("T")

KEEPALIVE_INTERVAL_S = 5
KEEPALIVE_COUNT = 3
BACKOFF_FIRST_S = 0.1
BACKOFF_LAST_S = 5.0
OPEN_TIMEOUT_S = 5.0
# libvirt gives up on a guest that is busy after 30 s; a call that takes longer hangs in a QEMU that does not answer.
CALL_TIMEOUT_S = 60.0
CLOSE_TIMEOUT_S = 5.0


class LibvirtConnection:
    """A connection of one host with its threads.

    Attributes:
        uri: libvirt URI, e.g. ``qemu:///system``.
    """

    def __init__(self, host_name: str, uri: str, *, threads: int, name: str) -> None:
        """Take the host's name (for messages), the URI and how many calls may run at a time."""
        self.uri = uri
        self._host_name = host_name
        self._threads = threads
        self._name = name
        self._connection: libvirt.virConnect | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._calls = asyncio.Semaphore(threads)
        self._opener: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._tried = asyncio.Event()
        self._was_down = False
        self._on_up: Callable[[libvirt.virConnect], None] | None = None
        self._on_change: Callable[[bool], None] | None = None

    def watch(self, on_up: Callable[[libvirt.virConnect], None], on_change: Callable[[bool], None]) -> None:
        """Set the callbacks, before ``open``.

        Args:
            on_up: called in a worker thread with every new connection, to subscribe to its events.
            on_change: called on the loop with False when the connection broke and True when it came back.
        """
        self._on_up = on_up
        self._on_change = on_change

    @property
    def is_up(self) -> bool:
        """Whether there is a living connection as far as we know."""
        return self._connection is not None

    async def open(self) -> None:
        """Begin to connect and wait a moment for it; a host that does not answer is tried again in the background."""
        ensure_event_loop()
        if self._opener is not None:
            return
        # One more than calls: connecting waits for no call.
        self._executor = ThreadPoolExecutor(self._threads + 1, thread_name_prefix=f"libvirt-{self._name}")
        self._opener = asyncio.create_task(self._keep_open(), name=f"libvirt-{self._name}")
        await is_set_within(self._tried, OPEN_TIMEOUT_S)

    async def aclose(self) -> None:
        """Close the connection and end its threads; may be called twice."""
        opener, self._opener = self._opener, None
        if opener is None:
            return
        await end(opener)
        connection, self._connection = self._connection, None
        executor, self._executor = self._executor, None
        if executor is not None:
            if connection is not None:
                with contextlib.suppress(libvirt.libvirtError, TimeoutError):
                    async with asyncio.timeout(CLOSE_TIMEOUT_S):
                        await asyncio.get_running_loop().run_in_executor(executor, connection.close)
            # A thread that hangs in a hung guest must not hold the process up.
            executor.shutdown(wait=False, cancel_futures=True)

    async def run(self, doing: str, call: Callable[[libvirt.virConnect], T], *, timeout_s: float = CALL_TIMEOUT_S) -> T:
        """Run a blocking call with the connection on the executor.

        Args:
            doing: what is done to what, for the error message, e.g. ``"start VM 6f1c..."``.
            call: takes the connection; runs in a thread; may raise libvirtError.
            timeout_s: after this many seconds a retryable error is raised; the thread stays busy until libvirt returns.

        Raises:
            HostUnreachableError: there is no connection; the background loop tries again right now.
            RetryableDriverError: libvirt's failure may pass, or it took too long.
            FatalDriverError: it will not pass.
        """
        connection, executor = self._connection, self._executor
        if connection is None or executor is None:
            self._wake.set()
            raise unreachable(self._host_name)
        try:
            async with asyncio.timeout(timeout_s), self._calls:
                return await asyncio.get_running_loop().run_in_executor(executor, call, connection)
        except TimeoutError:
            raise RetryableDriverError(f"could not {doing}: no answer within {timeout_s:.0f} s") from None
        except libvirt.libvirtError as error:
            translated = translate(error, doing, self._host_name)
            if isinstance(translated, HostUnreachableError) and is_connection_failure(error):
                self._lost(connection)
            raise translated from error

    async def _keep_open(self) -> None:
        """Connect, wait until the connection breaks, connect again; the wait between tries grows."""
        backoff_s = BACKOFF_FIRST_S
        while True:
            try:
                await self._connect()
            except (libvirt.libvirtError, OSError) as error:
                log.warning("host %s: cannot connect to %s: %s", self._host_name, self.uri, error)
                self._was_down = True
                self._tried.set()
                self._wake.clear()
                if await is_set_within(self._wake, backoff_s):
                    # Callers asked for it: still do not spin.
                    await asyncio.sleep(BACKOFF_FIRST_S)
                backoff_s = min(backoff_s * 2, BACKOFF_LAST_S)
                continue
            backoff_s = BACKOFF_FIRST_S
            while self._connection is not None:
                self._wake.clear()
                await self._wake.wait()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()

        def closed(connection: libvirt.virConnect, _reason: int, _opaque: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed already
                loop.call_soon_threadsafe(self._lost, connection)

        def connect() -> libvirt.virConnect:
            connection = libvirt.open(self.uri)
            connection.registerCloseCallback(closed, None)
            connection.setKeepAlive(KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT)
            if self._on_up is not None:
                self._on_up(connection)
            return connection

        self._connection = await loop.run_in_executor(self._executor, connect)
        self._tried.set()
        if self._was_down and self._on_change is not None:
            self._on_change(True)
        self._was_down = False

    def _lost(self, connection: libvirt.virConnect) -> None:
        """Forget a broken connection; the loop is told once, by whoever notices first."""
        if self._connection is None or connection is not self._connection:
            return
        log.warning("host %s: lost the connection to %s", self._host_name, self.uri)
        self._connection = None
        self._was_down = True
        self._wake.set()
        if self._on_change is not None:
            self._on_change(False)
