"""Units of work that come at the same time are committed together."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from parcela.core.tasks import end
from parcela.services.operations.group_commit import Together

pytestmark = pytest.mark.anyio


@dataclass
class Store:
    """Commits items, and notes which of them went together; ``bad`` ones cannot be committed."""

    bad: frozenset[str] = frozenset()
    tried: list[list[str]] = field(default_factory=list)
    kept: list[list[str]] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    open: asyncio.Event = field(default_factory=asyncio.Event)

    async def commit(self, items: list[str]) -> Sequence[str]:
        self.tried.append(items)
        self.begun.set()
        await self.open.wait()
        for item in items:
            if item in self.bad:
                raise ValueError(item)
        self.kept.append(items)
        return [item.upper() for item in items]


async def test_whoever_comes_in_the_same_moment_goes_together() -> None:
    store = Store()
    store.open.set()
    line = Together(store.commit)
    assert await asyncio.gather(*(line.do(item) for item in "abc")) == ["A", "B", "C"]
    assert store.kept == [["a", "b", "c"]]


async def test_whoever_comes_during_a_transaction_goes_with_the_next_one() -> None:
    store = Store()
    line = Together(store.commit)
    first = asyncio.create_task(line.do("a"))
    await store.begun.wait()
    others = [asyncio.create_task(line.do(item)) for item in "bc"]
    await asyncio.sleep(0)  # they stand in line now
    store.open.set()
    assert await asyncio.gather(first, *others) == ["A", "B", "C"]
    assert store.kept == [["a"], ["b", "c"]]


async def test_one_that_fails_does_the_others_no_harm() -> None:
    store = Store(bad=frozenset("b"))
    store.open.set()
    line = Together(store.commit)
    answers = await asyncio.gather(*(line.do(item) for item in "abc"), return_exceptions=True)
    assert [str(answer) for answer in answers] == ["A", "b", "C"]
    assert store.kept == [["a"], ["c"]]
    assert await line.do("d") == "D"


async def test_a_cancelled_leader_finishes_what_others_wait_for() -> None:
    store = Store()
    line = Together(store.commit)
    leader, other = asyncio.create_task(line.do("a")), asyncio.create_task(line.do("b"))
    await store.begun.wait()
    leader.cancel()
    await asyncio.sleep(0)
    assert not leader.done()
    store.open.set()
    assert await other == "B"
    await asyncio.wait({leader})
    assert leader.cancelled()
    assert store.kept == [["a", "b"]]


async def test_one_that_is_cancelled_in_line_is_not_committed() -> None:
    store = Store()
    line = Together(store.commit)
    first = asyncio.create_task(line.do("a"))
    await store.begun.wait()
    late = asyncio.create_task(line.do("b"))
    await asyncio.sleep(0)
    late.cancel()
    await asyncio.wait({late})
    store.open.set()
    assert await first == "A"
    assert await line.do("c") == "C"
    assert store.tried == [["a"], ["c"]]


async def test_a_transaction_that_hangs_is_given_up_at_the_second_cancellation() -> None:
    store = Store()
    line = Together(store.commit)
    leader = asyncio.create_task(line.do("a"))
    await store.begun.wait()
    await end(leader, again_s=0)
    assert leader.cancelled()
    assert store.kept == []
