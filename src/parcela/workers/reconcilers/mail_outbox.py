"""Mails that wait.

Repairs: mails left in the outbox by a process that was killed, and those whose next attempt is due. It only wakes the
sender, in the background: a mail server that hangs must not hold the other reconcilers up. Old mails that were given up
and resets that have run out are forgotten.

Must not touch: mails that another process has claimed; they come back by themselves when it dies.
"""

from datetime import timedelta

from parcela.core.clock import Clock
from parcela.services.mail.outbox import MailService

PURGED_EVERY = timedelta(hours=1)


class MailOutbox:
    """Wakes the sender of mails."""

    name = "mail_outbox"

    def __init__(self, mail: MailService, clock: Clock) -> None:
        """Take the outbox."""
        self._mail = mail
        self._clock = clock
        self._next_purge = clock()

    async def run(self) -> int:
        """Wake when something is due; how many old rows were forgotten."""
        if await self._mail.overdue():
            self._mail.wake()
        if self._clock() < self._next_purge:
            return 0
        self._next_purge = self._clock() + PURGED_EVERY
        return await self._mail.purge()
