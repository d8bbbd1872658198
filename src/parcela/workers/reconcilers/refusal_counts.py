"""Counts of refused requests that are only in memory.

Repairs: writes them into the database, all in one transaction. Nothing is read or written when nothing was refused.

Must not touch: counts of other processes; they add their own.
"""

from parcela.services.observability.refusals import Refusals


class RefusalCounts:
    """See the module."""

    name = "refusal_counts"

    def __init__(self, refusals: Refusals) -> None:
        """Take the counts of this process."""
        self._refusals = refusals

    async def run(self) -> int:
        """Write them. That is no repair: 0."""
        await self._refusals.flush()
        return 0
