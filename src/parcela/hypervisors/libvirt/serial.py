"""Serial consoles.

What the guest prints is read from its log file, which QEMU writes from power-on: so the history and the live text join
without a gap or a repetition, and a slow reader fills no buffer of ours. (A stream of ``virDomainOpenConsole`` alone
loses what is printed until QEMU notices the new listener, up to a second.) The stream carries what is typed; its
incoming bytes only tell that there is something new in the log.

Several may read the log; the stream belongs to one of them. Whoever loses it to another opening (of this process or
another one) goes on reading, and looks now and then whether the VM is still on: no stream tells it any more.

Each console has a connection of its own: libvirtd stops reading from a connection whose streams it cannot empty, so a
guest that does not read would hold up everything else on a shared one.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import libvirt

from parcela.core.tasks import is_set_within
from parcela.hypervisors.errors import DriverError, FatalDriverError
from parcela.hypervisors.libvirt.context import HostContext, require_domain

HISTORY_BYTES = 64 * 1024
READ_BYTES = 64 * 1024
SEND_BYTES = 1024
# The log is written a moment after the stream: look again soon after a wake-up, seldom without one.
BUSY_POLL_S = 0.02
IDLE_POLL_S = 0.25
BUSY_FOR_S = 1.0
LOOK_S = 1.0
"""Between two looks of a console without the stream at whether its VM is on."""
_WOULD_BLOCK = -2
_STREAM_EVENTS = libvirt.VIR_STREAM_EVENT_READABLE | libvirt.VIR_STREAM_EVENT_ERROR | libvirt.VIR_STREAM_EVENT_HANGUP


class LogTail:
    """Reads a log file from near its end and follows it, also when virtlogd starts a new file."""

    def __init__(self, path: Path) -> None:
        """Open it at most ``HISTORY_BYTES`` before its end; OSError when it cannot be read."""
        self._path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._offset = max(0, os.fstat(self._descriptor).st_size - HISTORY_BYTES)

    def read(self) -> bytes:
        """Up to ``READ_BYTES`` of what is new; empty when nothing is."""
        data = os.pread(self._descriptor, READ_BYTES, self._offset)
        if not data and self._begun_anew():
            data = os.pread(self._descriptor, READ_BYTES, self._offset)
        self._offset += len(data)
        return data

    def _begun_anew(self) -> bool:
        here = os.fstat(self._descriptor)
        if here.st_size < self._offset:
            self._offset = 0
            return True
        try:
            there = self._path.stat()
        except OSError:
            return False
        if there.st_ino == here.st_ino:
            return False
        os.close(self._descriptor)
        self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        self._offset = 0
        return True

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class ConsoleLine:
    """A libvirt console stream on a connection of its own; its methods block."""

    def __init__(
        self, uri: str, uuid: UUID, on_news: Callable[[], None], on_end: Callable[[], None], *, force: bool = True
    ) -> None:
        """Open it; with ``force`` whoever has it loses it. The callbacks come from libvirt's event thread."""
        self._on_news = on_news
        self._on_end = on_end
        self._connection = libvirt.open(uri)
        try:
            self._connection.setKeepAlive(5, 3)
            domain = self._connection.lookupByUUIDString(str(uuid))
            self._stream = self._connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
            domain.openConsole(None, self._stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE if force else 0)
            self._stream.eventAddCallback(_STREAM_EVENTS, self._event, None)
        except libvirt.libvirtError:
            self._connection.close()
            raise

    def _event(self, stream: libvirt.virStream, events: int, _opaque: object) -> None:
        ended = bool(events & (libvirt.VIR_STREAM_EVENT_ERROR | libvirt.VIR_STREAM_EVENT_HANGUP))
        try:
            if events & libvirt.VIR_STREAM_EVENT_READABLE:
                # Emptied always: a pseudo-terminal that nobody reads would block the guest's serial line.
                while not ended:
                    data = stream.recv(READ_BYTES)
                    if data == _WOULD_BLOCK:
                        break
                    ended = not data
        except libvirt.libvirtError:
            ended = True
        if ended:
            with contextlib.suppress(libvirt.libvirtError):
                stream.eventRemoveCallback()
            self._on_end()
        else:
            self._on_news()

    def send(self, data: bytes) -> int:
        """Send some bytes; returns how many were taken, 0 when the guest takes none at present."""
        taken = self._stream.send(data)
        return 0 if taken == _WOULD_BLOCK else int(taken)

    def close(self) -> None:
        """End stream and connection."""
        with contextlib.suppress(libvirt.libvirtError):
            self._stream.eventRemoveCallback()
        with contextlib.suppress(libvirt.libvirtError):
            self._stream.abort()
        with contextlib.suppress(libvirt.libvirtError):
            self._connection.close()


class SerialConsole:
    """A ``ConsoleStream`` over a VM's serial line."""

    def __init__(self, host: HostContext, uuid: UUID) -> None:
        """Not open yet."""
        self._host = host
        self._uuid = uuid
        self._tail: LogTail | None = None
        self._line: ConsoleLine | None = None
        self._run = -1
        self._opened = 0
        self._line_ended = False
        self._look_at_s = 0.0
        self._ended = False
        self._closed = False
        self._news = asyncio.Event()
        self._busy_until_s = 0.0
        self._writing = asyncio.Lock()

    async def open(self) -> None:
        """Open log and line; FatalDriverError when the VM is off."""
        host, uuid = self._host, self._uuid
        self._run = await self._run_of_vm()
        if self._run < 0:
            raise FatalDriverError(f"VM {uuid} is switched off")
        self._line = await self._open_line(force=True)
        try:
            self._tail = LogTail(host.layout.serial_log(uuid))
        except OSError as error:
            await self.aclose()
            raise FatalDriverError(f"VM {uuid} has no serial log", internal=str(error)) from error

    async def _run_of_vm(self) -> int:
        """Number of the VM's present run; -1 when it is off."""
        host, uuid = self._host, self._uuid

        def work(connection: libvirt.virConnect) -> int:
            domain = require_domain(connection, host.installation, uuid)
            return int(domain.ID()) if domain.isActive() else -1

        return await host.calls.run(f"look at VM {uuid}", work)

    async def _open_line(self, *, force: bool) -> ConsoleLine:
        loop = asyncio.get_running_loop()
        host, uuid = self._host, self._uuid
        self._opened += 1
        number, self._line_ended = self._opened, False

        def from_thread(callback: Callable[[], None]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(callback)

        def on_end() -> None:
            if number == self._opened:  # not that of a line which it has no more
                self._on_end()

        def work(_connection: libvirt.virConnect) -> ConsoleLine:
            heard = (lambda: from_thread(self._on_news), lambda: from_thread(on_end))
            return ConsoleLine(host.calls.uri, uuid, *heard, force=force)

        return await host.calls.run(f"open the serial line of VM {uuid}", work)

    @property
    def has_keyboard(self) -> bool:
        """See ``SerialStream.has_keyboard``."""
        return self._line is not None and not self._line_ended and not self._ended

    async def take_keyboard(self, *, force: bool) -> bool:
        """See ``SerialStream.take_keyboard``."""
        async with self._writing:
            if self.has_keyboard or self._closed or self._ended:
                return self.has_keyboard
            await self._drop_line()
            try:
                line = await self._open_line(force=force)
            except DriverError:
                return False  # another has it, or the VM is off: the next look tells
            self._line = line  # which may have been lost again meanwhile
        if self._was_closed():
            await self._drop_line()
        return self.has_keyboard

    def _was_closed(self) -> bool:
        """Asked by a call, because it may have happened while something was waited for."""
        return self._closed

    async def _drop_line(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            await asyncio.get_running_loop().run_in_executor(self._host.console_threads, line.close)

    async def _look(self) -> None:
        """Whether the VM is still in the run that was opened: a line that ended may only have gone to another."""
        loop = asyncio.get_running_loop()
        if self._ended or loop.time() < self._look_at_s:
            return
        self._look_at_s = loop.time() + LOOK_S
        try:
            self._ended = await self._run_of_vm() != self._run
        except DriverError:
            self._ended = True  # removed, or its host does not answer

    def _on_news(self) -> None:
        self._busy_until_s = asyncio.get_running_loop().time() + BUSY_FOR_S
        self._news.set()

    def _on_end(self) -> None:
        self._line_ended = True
        self._look_at_s = 0.0
        self._news.set()

    async def read(self) -> bytes:
        """See ``ConsoleStream.read``."""
        loop = asyncio.get_running_loop()
        while not self._closed and self._tail is not None:
            self._news.clear()
            if not self.has_keyboard:
                await self._look()
                if self._was_closed():
                    break
            # Before the read: what is in the log when the line ends must still be delivered.
            ended = self._ended
            data = self._tail.read()
            if data:
                return data
            if ended:
                break
            busy = loop.time() < self._busy_until_s
            await is_set_within(self._news, BUSY_POLL_S if busy else IDLE_POLL_S)
        return b""

    async def write(self, data: bytes) -> None:
        """See ``ConsoleStream.write``."""
        loop = asyncio.get_running_loop()
        async with self._writing:
            left = memoryview(data)
            while left:
                line = self._line
                if self._closed or self._ended:
                    raise ConnectionError("the console has ended")
                if line is None or self._line_ended:
                    return  # another types
                chunk = bytes(left[:SEND_BYTES])
                try:
                    taken = await loop.run_in_executor(self._host.console_threads, line.send, chunk)
                except libvirt.libvirtError:
                    self._on_end()
                    return  # another types, or the VM went off: the reader finds out
                left = left[taken:]
                if taken == 0:
                    await asyncio.sleep(BUSY_POLL_S)

    async def aclose(self) -> None:
        """See ``ConsoleStream.aclose``."""
        self._closed = True
        self._news.set()
        line, self._line = self._line, None
        if self._tail is not None:
            self._tail.close()
        if line is not None:
            await asyncio.get_running_loop().run_in_executor(self._host.console_threads, line.close)
