"""Mails on their way."""

from datetime import datetime

from sqlalchemy import delete, func, select, update

from parcela.models import OutboxMail
from parcela.repositories.base import Repository


class OutboxRepository(Repository[OutboxMail]):
    """Mails that the mail server has not taken yet."""

    model = OutboxMail
    noun = "mail"

    async def due(self, *, limit: int) -> list[OutboxMail]:
        """Mails whose turn has come, the oldest first."""
        statement = (
            select(OutboxMail)
            .where(OutboxMail.state == "queued", OutboxMail.next_attempt_at <= self._clock())
            .order_by(OutboxMail.id)
            .limit(limit)
        )
        return list((await self._session.scalars(statement)).all())

    async def claim(self, mail: OutboxMail, until: datetime) -> bool:
        """Take a due mail for oneself until a time; False when another process was faster."""
        statement = update(OutboxMail).where(
            OutboxMail.id == mail.id,
            OutboxMail.state == "queued",
            OutboxMail.attempts == mail.attempts,
            OutboxMail.next_attempt_at <= self._clock(),
        )
        return bool(await self._changed(statement.values(attempts=mail.attempts + 1, next_attempt_at=until)))

    async def postpone(self, mail_id: int, until: datetime, reason: str) -> None:
        """Try again later."""
        statement = update(OutboxMail).where(OutboxMail.id == mail_id)
        await self._changed(statement.values(next_attempt_at=until, last_error=reason))

    async def give_up(self, mail_id: int, reason: str) -> None:
        """Never try again; what it said is forgotten."""
        statement = update(OutboxMail).where(OutboxMail.id == mail_id)
        await self._changed(statement.values(state="failed", sealed_body="", last_error=reason))

    async def remove(self, mail_id: int) -> None:
        """The mail server has it, or it was for nobody."""
        await self._changed(delete(OutboxMail).where(OutboxMail.id == mail_id))

    async def counts(self) -> tuple[int, int]:
        """(mails that wait after a failed attempt, mails that were given up)."""
        waiting = select(func.count(OutboxMail.id)).where(OutboxMail.state == "queued", OutboxMail.last_error != "")
        failed = select(func.count(OutboxMail.id)).where(OutboxMail.state == "failed")
        return int((await self._session.scalars(waiting)).one()), int((await self._session.scalars(failed)).one())

    async def purge(self, failed_before: datetime) -> int:
        """Forget mails that were given up and begun before a time; how many."""
        old = delete(OutboxMail).where(OutboxMail.state == "failed", OutboxMail.created_at < failed_before)
        return await self._changed(old)
