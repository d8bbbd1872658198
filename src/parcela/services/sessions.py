"""Sessions: who is logged in."""

from collections.abc import Sequence

from parcela.core.permissions import Permission
from parcela.repositories.tokens import ActiveSession
from parcela.repositories.uow import ReadUnitOfWork
from parcela.services.access import Caller

MAX_SHOWN = 500


class SessionService:
    """Reads with ``user:read``."""

    async def active(self, uow: ReadUnitOfWork, caller: Caller) -> Sequence[ActiveSession]:
        """Users with a session that is good now, the last seen first; at most 500.

        When somebody was seen is noted now and then, not at every request; it may be minutes old.
        """
        caller.require(Permission.USER_READ)
        return await uow.tokens.active_sessions(MAX_SHOWN)
