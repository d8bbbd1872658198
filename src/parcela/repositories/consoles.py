"""One-time tickets for consoles."""

from sqlalchemy import delete, select, update

from parcela.models import ConsoleTicket
from parcela.repositories.base import Repository


class ConsoleTicketRepository(Repository[ConsoleTicket]):
    """Tickets by the hash of their secret."""

    model = ConsoleTicket
    noun = "console ticket"

    async def redeem(self, token_hash: str) -> ConsoleTicket | None:
        """Use a ticket up: one compare-and-set, so that two openings can never both win. None when it is no good."""
        now = self._clock()
        statement = update(ConsoleTicket).where(
            ConsoleTicket.token_hash == token_hash,
            ConsoleTicket.used_at.is_(None),
            ConsoleTicket.expires_at > now,
        )
        if not await self._changed(statement.values(used_at=now)):
            return None
        return (
            await self._session.scalars(select(ConsoleTicket).where(ConsoleTicket.token_hash == token_hash))
        ).one_or_none()

    async def is_known(self, token_hash: str) -> bool:
        """Whether there is such a ticket, spent or not."""
        statement = select(ConsoleTicket.id).where(ConsoleTicket.token_hash == token_hash)
        return (await self._session.execute(statement)).first() is not None

    async def purge(self) -> int:
        """Forget expired tickets; how many."""
        return await self._changed(delete(ConsoleTicket).where(ConsoleTicket.expires_at < self._clock()))
