"""Only so many begin per moment, in the order they came."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from parcela.api.turns import Turns


class Clock:
    """An event loop of which only ``call_later`` is used."""

    def __init__(self) -> None:
        self.calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def call_later(self, _delay_s: float, call: Callable[..., Any], *arguments: Any) -> None:
        self.calls.append((call, arguments))

    def tick(self) -> None:
        call, arguments = self.calls.pop()
        call(*arguments)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return cast("asyncio.AbstractEventLoop", self)


class Request:
    def __init__(self, name: str, begun: list[str]) -> None:
        self.name, self.begun = name, begun

    def begin(self) -> None:
        self.begun.append(self.name)


def test_the_first_begin_at_once_and_the_others_later() -> None:
    clock, begun = Clock(), list[str]()
    turns = Turns(2)
    for name in "abcde":
        turns.join(Request(name, begun), clock.loop)
    assert begun == ["a", "b"]
    clock.tick()
    assert begun == ["a", "b", "c", "d"]
    turns.join(Request("f", begun), clock.loop)
    assert begun[-1] == "d"
    clock.tick()
    assert begun == ["a", "b", "c", "d", "e", "f"]


def test_those_that_have_gone_take_nobodys_turn() -> None:
    clock, begun = Clock(), list[str]()
    turns = Turns(1)
    a, gone, b = (Request(name, begun) for name in ("a", "gone", "b"))
    for one in (a, gone, b):
        turns.join(one, clock.loop)
    turns.leave(gone)
    clock.tick()
    assert begun == ["a", "b"]


def test_only_so_many_are_under_way() -> None:
    clock, begun = Clock(), list[str]()
    turns = Turns(5, most=2)
    for name in "abc":
        turns.join(Request(name, begun), clock.loop)
    clock.tick()
    assert begun == ["a", "b"]
    assert clock.calls == []
    turns.end(clock.loop)
    clock.tick()
    assert begun == ["a", "b", "c"]


def test_a_quiet_queue_has_no_timer() -> None:
    clock, begun = Clock(), list[str]()
    turns = Turns(1)
    turns.join(Request("a", begun), clock.loop)
    clock.tick()
    assert clock.calls == []
    turns.join(Request("b", begun), clock.loop)
    assert begun == ["a", "b"]
