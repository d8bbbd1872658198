"""Short units of work that come at the same time, committed together.

Steps of an operation go side by side, and each writes to the journal before and after its side effect. One transaction
each would be one wait for the disk each, one after the other. Whoever comes while a transaction is under way goes with
the next one, together with all others who came meanwhile: nobody waits for company, and nobody waits alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from parcela.core.tasks import see_through

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


@dataclass(slots=True, eq=False)
class _Waiting(Generic[ItemT, ResultT]):
    item: ItemT
    results: Sequence[ResultT] = ()  # one, when it is committed
    error: BaseException | None = None

    @property
    def is_done(self) -> bool:
        return bool(self.results) or self.error is not None


class Together(Generic[ItemT, ResultT]):
    """A line of items of which all that wait are committed at once."""

    def __init__(self, commit: Callable[[list[ItemT]], Awaitable[Sequence[ResultT]]]) -> None:
        """``commit`` does some items in one transaction, or none of them; a result for each, in the same order."""
        self._commit = commit
        self._turn = asyncio.Lock()
        self._line: list[_Waiting[ItemT, ResultT]] = []

    async def do(self, item: ItemT) -> ResultT:
        """Wait until an item is committed; its result, or its own error: that of another one does no harm.

        A cancellation before the transaction begins takes the item out of the line. Later it waits for the end of the
        transaction, in which others may be.
        """
        waiting = _Waiting[ItemT, ResultT](item)
        self._line.append(waiting)
        try:
            async with self._turn:
                if not waiting.is_done:
                    await asyncio.sleep(0)  # those who come in the same moment come along
                    line, self._line = self._line, []
                    await see_through(asyncio.create_task(self._all(line)))
        finally:
            if waiting in self._line:
                self._line.remove(waiting)
        if waiting.error is not None:
            raise waiting.error
        return waiting.results[0]

    async def _all(self, line: Sequence[_Waiting[ItemT, ResultT]]) -> None:
        """Commit; when it fails, each on its own, so that each gets its own answer."""
        try:
            results = await self._commit([waiting.item for waiting in line])
        except BaseException as exc:  # noqa: BLE001 (it is raised where the item came from)
            if len(line) == 1 or not isinstance(exc, Exception):
                for waiting in line:
                    waiting.error = exc
                return
            for waiting in line:
                await self._all([waiting])
            return
        for waiting, result in zip(line, results, strict=True):
            waiting.results = (result,)
