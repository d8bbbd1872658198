"""Who types on a console that several have open: all see it, the newest types, then the one before.

Within this process the order is kept here. Another process only shows by what the driver says of a serial line: whoever
lost it there asks for it again every second, without taking it from anybody.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol
from weakref import WeakValueDictionary

from parcela.core.tasks import is_set_within
from parcela.hypervisors.driver import ConsoleStream, SerialStream
from parcela.services.compute.consoles.rfb_input import RfbInput

LOOK_S = 1.0
"""Between two looks at a keyboard that another process may have taken; it is told when it lasts that long."""
Place = tuple[int, str]
"""VM and kind of console."""


@dataclass(frozen=True, slots=True)
class Keyboard:
    """What one of them is told.

    Attributes:
        mine: whether they type.
        by: who does else; "" when that is somebody of another process.
    """

    mine: bool
    by: str = ""


class SharedConsole(Protocol):
    """A console stream of which one may have to look on."""

    async def read(self) -> bytes:
        """See ``ConsoleStream.read``."""
        ...

    async def write(self, data: bytes) -> None:
        """See ``ConsoleStream.write``; what those send who only look on is dropped."""
        ...

    async def keyboard_changed(self) -> Keyboard:
        """Wait until the keyboard goes to somebody else, or comes back."""
        ...

    async def aclose(self) -> None:
        """See ``ConsoleStream.aclose``."""
        ...


class Line(Protocol):
    """What one of them does with its own stream."""

    async def write(self, data: bytes, *, types: bool) -> None:
        """Send what may go."""
        ...

    @property
    def has_keyboard(self) -> bool:
        """Whether the hypervisor takes what this one writes."""
        ...

    async def take_keyboard(self, *, force: bool) -> bool:
        """See ``SerialStream.take_keyboard`` of the driver."""
        ...


class SerialLine:
    """A serial line: one stream of all has its keyboard."""

    def __init__(self, stream: SerialStream) -> None:
        """Take the driver's stream."""
        self._stream = stream

    @property
    def has_keyboard(self) -> bool:
        """Whether the hypervisor takes what this one writes."""
        return self._stream.has_keyboard

    async def take_keyboard(self, *, force: bool) -> bool:
        """See ``SerialStream.take_keyboard`` of the driver."""
        return await self._stream.take_keyboard(force=force)

    async def write(self, data: bytes, *, types: bool) -> None:
        """Send it to the guest, for whoever types."""
        if types:
            await self._stream.write(data)


class ScreenLine:
    """A screen: QEMU would take the keys of all, so those of the others are left out here."""

    def __init__(self, stream: ConsoleStream) -> None:
        """Take the driver's stream."""
        self._stream = stream
        self._input = RfbInput()

    has_keyboard = True

    async def take_keyboard(self, *, force: bool) -> bool:
        """There is nothing to take."""
        del force
        return True

    async def write(self, data: bytes, *, types: bool) -> None:
        """Send on what may go."""
        passed = self._input.feed(data, types=types)
        if passed:
            await self._stream.write(passed)


@dataclass(eq=False)
class Seat:
    """One opening of a console."""

    stream: ConsoleStream
    line: Line
    name: str
    place: Place
    keyboards: "Keyboards"
    told: Keyboard = Keyboard(mine=True)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> bytes:
        """See ``SharedConsole.read``."""
        return await self.stream.read()

    async def write(self, data: bytes) -> None:
        """See ``SharedConsole.write``."""
        await self.line.write(data, types=self.keyboards.typing(self.place) is self)

    async def keyboard_changed(self) -> Keyboard:
        """See ``SharedConsole.keyboard_changed``."""
        lost_before = False
        while True:
            await is_set_within(self.news, LOOK_S)
            self.news.clear()
            first = self.keyboards.typing(self.place)
            lost = first is self and not (self.line.has_keyboard or await self.line.take_keyboard(force=False))
            if first is not self and first is not None:
                now = Keyboard(mine=False, by=first.name)
            elif lost and not lost_before and self.told.mine:
                now = self.told  # a machine that is going off looks like this, too
            else:
                now = Keyboard(mine=not lost)
            lost_before = lost
            if now != self.told:
                self.told = now
                return now

    async def aclose(self) -> None:
        """See ``SharedConsole.aclose``."""
        await self.keyboards.leave(self)


class Keyboards:
    """The open consoles of this process, the newest of each last."""

    def __init__(self) -> None:
        """There are none."""
        self._seats: dict[Place, list[Seat]] = {}
        self._turns: WeakValueDictionary[Place, asyncio.Lock] = WeakValueDictionary()

    def typing(self, place: Place) -> Seat | None:
        """Who types."""
        seats = self._seats.get(place)
        return seats[-1] if seats else None

    async def join(
        self, place: Place, name: str, open_line: Callable[[], Awaitable[tuple[ConsoleStream, Line]]]
    ) -> Seat:
        """Open one more, which types from now on.

        Args:
            place: VM and kind of console.
            name: of its user, for the others.
            open_line: opens it at the driver.
        """
        async with self._turn(place):
            stream, line = await open_line()
            seat = Seat(stream, line, name, place, self)
            self._seats.setdefault(place, []).append(seat)
            self._tell(place)
            return seat

    async def leave(self, seat: Seat) -> None:
        """Close one; when it typed, the one before it does. May be called twice."""
        async with self._turn(seat.place):
            seats = self._seats.get(seat.place, [])
            typed = self.typing(seat.place) is seat
            if seat in seats:
                seats.remove(seat)
            await seat.stream.aclose()
            first = self.typing(seat.place)
            if typed and first is not None:
                await first.line.take_keyboard(force=True)
            if not seats:
                self._seats.pop(seat.place, None)
            self._tell(seat.place)

    def _tell(self, place: Place) -> None:
        for seat in self._seats.get(place, []):
            seat.news.set()

    @asynccontextmanager
    async def _turn(self, place: Place) -> AsyncIterator[None]:
        """One comes or goes at a time: else the keyboard of one who comes is given to another."""
        lock = self._turns.setdefault(place, asyncio.Lock())
        async with lock:
            yield
