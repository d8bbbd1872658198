"""Who types on a console that several have open."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from parcela.services.compute.consoles import keyboards
from parcela.services.compute.consoles.keyboards import Keyboard, Keyboards, Line, Seat, SerialLine

pytestmark = pytest.mark.anyio
PLACE = (7, "serial")


class World:
    """A serial line that processes take from each other."""

    def __init__(self) -> None:
        self.holder: object = None
        self.typed: list[tuple[str, bytes]] = []


class Stream:
    """One opening of it."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name, self.closed = world, name, False
        world.holder = self

    @property
    def has_keyboard(self) -> bool:
        return self.world.holder is self

    async def take_keyboard(self, *, force: bool) -> bool:
        if force or self.world.holder is None:
            self.world.holder = self
        return self.has_keyboard

    async def read(self) -> bytes:
        return b""

    async def write(self, data: bytes) -> None:
        self.world.typed.append((self.name, data))

    async def aclose(self) -> None:
        self.closed = True
        if self.has_keyboard:
            self.world.holder = None


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyboards, "LOOK_S", 0.001)


def opening(world: World, name: str) -> Callable[[], Awaitable[tuple[Stream, Line]]]:
    async def open_line() -> tuple[Stream, Line]:
        stream = Stream(world, name)
        return stream, SerialLine(stream)

    return open_line


async def join(there: Keyboards, world: World, name: str) -> Seat:
    return await there.join(PLACE, name, opening(world, name))


async def change(seat: Seat) -> Keyboard:
    async with asyncio.timeout(30):
        return await seat.keyboard_changed()


async def test_the_newest_types_and_then_the_one_before() -> None:
    there, world = Keyboards(), World()
    ana, ben, eva = [await join(there, world, name) for name in ("ana", "ben", "eva")]
    for seat in (ana, ben, eva):
        await seat.write(b"x")
    assert world.typed == [("eva", b"x")]
    assert await change(ana) == await change(ben) == Keyboard(mine=False, by="eva")
    await ben.aclose()  # who looked on and leaves changes nothing
    await eva.write(b"y")
    await eva.aclose()
    await eva.aclose()
    assert await change(ana) == Keyboard(mine=True)
    await ana.write(b"z")
    assert world.typed == [("eva", b"x"), ("eva", b"y"), ("ana", b"z")]
    await ana.aclose()
    assert there.typing(PLACE) is None


async def test_the_others_hear_who_types_now() -> None:
    there, world = Keyboards(), World()
    ana, ben = await join(there, world, "ana"), await join(there, world, "ben")
    assert await change(ana) == Keyboard(mine=False, by="ben")
    eva = await join(there, world, "eva")
    assert await change(ana) == await change(ben) == Keyboard(mine=False, by="eva")
    await eva.aclose()
    assert await change(ana) == Keyboard(mine=False, by="ben")
    assert await change(ben) == Keyboard(mine=True)


async def test_another_process_takes_the_line_and_gives_it_back() -> None:
    here, there, world = Keyboards(), Keyboards(), World()
    ana = await join(here, world, "ana")
    ben = await join(there, world, "ben")
    assert await change(ana) == Keyboard(mine=False, by="")
    await ben.write(b"b")
    assert world.typed == [("ben", b"b")]
    await ben.aclose()
    assert await change(ana) == Keyboard(mine=True)
    await ana.write(b"a")
    assert world.typed[-1] == ("ana", b"a")


async def test_one_who_comes_while_another_leaves_keeps_the_keyboard() -> None:
    there, world = Keyboards(), World()
    await join(there, world, "ana")
    ben = await join(there, world, "ben")
    eva, _ = await asyncio.gather(join(there, world, "eva"), ben.aclose())
    assert there.typing(PLACE) is eva
    assert eva.line.has_keyboard


async def test_other_machines_and_kinds_are_apart() -> None:
    there = Keyboards()
    seats = [
        await there.join(place, "ana", opening(World(), "ana")) for place in ((7, "serial"), (8, "serial"), (7, "vnc"))
    ]
    assert [there.typing(seat.place) for seat in seats] == seats


async def test_one_that_cannot_be_opened_takes_nothing() -> None:
    there, world = Keyboards(), World()
    ana = await join(there, world, "ana")

    async def broken() -> tuple[Stream, Line]:
        raise ConnectionError("off")

    with pytest.raises(ConnectionError):
        await there.join(PLACE, "ben", broken)
    assert there.typing(PLACE) is ana
