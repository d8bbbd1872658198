"""Invitations into projects that have ended.

Repairs: rows of invitations whose time has run out, whether they were withdrawn, declined or never answered. Until then
they stay, so that inviting again sends no second mail and a refusal cannot be seen.

Must not touch: memberships.
"""

from datetime import timedelta

from parcela.repositories.uow import UnitOfWorkFactory

PURGED_EVERY = timedelta(hours=1)


class EndedInvitations:
    """Removes them, once an hour."""

    name = "ended_invitations"

    def __init__(self, uows: UnitOfWorkFactory) -> None:
        """Take the database."""
        self._uows = uows
        self._next = uows.clock()

    async def run(self) -> int:
        """How many were removed."""
        if self._uows.clock() < self._next:
            return 0
        self._next = self._uows.clock() + PURGED_EVERY
        async with self._uows.write() as uow:
            removed = await uow.invitations.purge()
            await uow.commit()
        return removed
