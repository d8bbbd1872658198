"""Sessions of clients that keep their token in a cookie and cannot refresh it: they last while somebody works."""

from functools import partial

from parcela.services.identity.login_limits.guard import LoginGuard
from parcela.services.identity.sessions import SessionService


class ProlongingService:
    """Opens units of work of its own: what a request is about may only read."""

    def __init__(self, guard: LoginGuard, sessions: SessionService) -> None:
        """Take the collaborators."""
        self._guard = guard
        self._sessions = sessions

    async def prolong(self, token: str) -> str | None:
        """A newer access token of the session of this one, once half of its life is over; else None."""
        if not self._sessions.is_ageing(token, self._guard.uows.clock()):
            return None
        return await self._guard.repeat(partial(self._sessions.prolong, token=token))
