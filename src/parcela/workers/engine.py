"""The engine port: what moves operations forward. Truth, leases and retries live in the journal, not here."""

from typing import Protocol


class Engine(Protocol):
    """Runs operations; ``notify`` may be lost at any time, a sweep finds the same work."""

    async def start(self) -> None:
        """Begin to work, first on what an earlier process left."""
        ...

    def notify(self, operation_id: int) -> None:
        """There is something to do for an operation (new, or to be cancelled)."""
        ...

    async def aclose(self) -> None:
        """Stop; unfinished operations are left in the journal for the next process."""
        ...
