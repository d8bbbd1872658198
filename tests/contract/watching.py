"""Waiting for events and for text on consoles, each with a deadline."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from uuid import UUID

from parcela.hypervisors.driver import ConsoleStream
from parcela.hypervisors.spec import DriverEvent, VmEventKind
from tests.contract.labs import FullDriver

TIMEOUT_S = 300.0
ANSWER_S = 60
SILENCE_S = 2


class Watcher:
    """Collects the events of a driver."""

    def __init__(self) -> None:
        self.events: list[DriverEvent] = []
        self._news = asyncio.Event()

    def take(self, event: DriverEvent) -> None:
        self.events.append(event)
        self._news.set()

    async def wait_for(self, kind: VmEventKind, uuid: UUID) -> None:
        """Wait until there was such an event."""
        async with asyncio.timeout(TIMEOUT_S):
            while not any(event.kind is kind and event.vm_uuid == uuid for event in self.events):
                self._news.clear()
                await self._news.wait()


@contextlib.contextmanager
def watching(driver: FullDriver) -> Iterator[Watcher]:
    """Subscribe for as long as the block lasts."""
    watcher = Watcher()
    unsubscribe = driver.subscribe(watcher.take)
    try:
        yield watcher
    finally:
        unsubscribe()


class Shell:
    """Commands on the serial line of a booted guest."""

    def __init__(self, stream: ConsoleStream, hostname: str) -> None:
        self.stream = stream
        self._prompt = f"{hostname}:~# ".encode()
        self._text = b""

    async def expect(self, text: bytes) -> str:
        """Read until the text comes; what came before it."""
        async with asyncio.timeout(TIMEOUT_S):
            while text not in self._text:
                chunk = await self.stream.read()
                assert chunk, f"the console ended after {self._text[-500:]!r}"
                self._text += chunk
        before, _, self._text = self._text.partition(text)
        return before.decode(errors="replace")

    async def run(self, command: str) -> str:
        """What a command prints, its echo included."""
        await self.stream.write(f"{command}\n".encode())
        return await self.expect(self._prompt)

    async def pings(self, address: str) -> bool:
        """Whether an address answers, however slowly; the guest asks once."""
        return " 0% packet loss" in await self.run(f"ping -c 1 -W {ANSWER_S} {address}")

    async def pings_in_vain(self, address: str) -> bool:
        """Whether an address stays silent for a moment."""
        return " 100% packet loss" in await self.run(f"ping -c 1 -W {SILENCE_S} {address}")


@contextlib.asynccontextmanager
async def shell(driver: FullDriver, uuid: UUID, hostname: str) -> AsyncIterator[Shell]:
    """The serial line of a booted guest, after its first prompt."""
    stream = await driver.open_serial(uuid)
    try:
        made = Shell(stream, hostname)
        await made.expect(f"{hostname}:~# ".encode())
        yield made
    finally:
        await stream.aclose()


async def read_to_end(stream: ConsoleStream) -> bytes:
    """Everything until the console ends."""
    text = b""
    async with asyncio.timeout(TIMEOUT_S):
        while chunk := await stream.read():
            text += chunk
    return text
