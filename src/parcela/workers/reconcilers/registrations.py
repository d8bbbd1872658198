"""Registrations that were never finished.

Repairs: accounts that were made by a registration with an e-mail address whose owner never used the link, after a week.

Must not touch: accounts with a password, of single sign-on, or made by an administrator.
"""

from datetime import timedelta

from parcela.core.clock import Clock
from parcela.services.identity.registration import RegistrationService

PURGED_EVERY = timedelta(hours=1)


class UnfinishedRegistrations:
    """Removes them, once an hour."""

    name = "unfinished_registrations"

    def __init__(self, registration: RegistrationService, clock: Clock) -> None:
        """Take the service."""
        self._registration = registration
        self._clock = clock
        self._next = clock()

    async def run(self) -> int:
        """Remove what is due; how many accounts."""
        if self._clock() < self._next:
            return 0
        self._next = self._clock() + PURGED_EVERY
        return await self._registration.purge()
