"""Mails: written into the outbox with what they are about, sent in the background, and tried again.

A mail is a row of the same transaction as its cause, so neither is there without the other, and a kill loses nothing.
The row goes when the mail server has taken the mail; a kill between the two sends it twice, with the same Message-ID.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from urllib.parse import urlsplit

import structlog

from parcela.core.disks import is_storage_trouble
from parcela.core.sealing import Sealer
from parcela.core.settings import Settings
from parcela.core.tasks import end
from parcela.models import OutboxMail
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork, UnitOfWorkFactory
from parcela.services.mail.port import Mailer, MailFailedError
from parcela.services.observability.health import Check

log = structlog.get_logger(__name__)

CLAIMED_FOR = timedelta(minutes=2)
PAUSES = tuple(timedelta(seconds=seconds) for seconds in (10, 30, 120, 600, 1800, 3600))
"""Between attempts; the last one is repeated until the mail has run out."""
KEPT_FOR = timedelta(days=2)
AT_ONCE = 20
MAX_REASON = 500


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail to be sent.

    Attributes:
        kind: what it is about, for the log, e.g. ``password_reset``.
        recipient: e-mail address; "" for a mail to nobody, which costs as much and is dropped.
        subject: one line.
        body: plain text.
    """

    kind: str
    recipient: str
    subject: str
    body: str


class MailService:
    """The outbox and its emptying."""

    def __init__(self, uows: UnitOfWorkFactory, mailer: Mailer | None, sealer: Sealer, settings: Settings) -> None:
        """``mailer`` is None where no mail server is configured: then nothing is taken."""
        self._uows = uows
        self._mailer = mailer
        self._sealer = sealer
        self._from = settings.smtp_from
        self._failed_kept_for = timedelta(days=settings.retention_mails_days)
        self._site = settings.public_url.rstrip("/")
        self._task: asyncio.Task[None] | None = None
        self._wanted = False

    @property
    def site(self) -> str:
        """Address for links, "" when it is not known.

        Never that of a request: whoever sends one chooses it, and the link of somebody else's mail would lead there.
        """
        return self._site

    @property
    def configured(self) -> bool:
        """Whether mails can be sent, with links that lead here."""
        return self._mailer is not None and bool(self._site)

    async def enqueue(self, uow: UnitOfWork, mail: Mail, *, keep_for: timedelta = KEPT_FOR) -> None:
        """Send a mail once the unit of work is committed; give up after ``keep_for``."""
        now = uow.clock()
        await uow.outbox.add(
            OutboxMail(
                kind=mail.kind,
                recipient=mail.recipient,
                subject=mail.subject,
                sealed_body=self._sealer.seal(mail.body),
                state="queued",
                attempts=0,
                created_at=now,
                next_attempt_at=now,
                expires_at=now + keep_for,
                last_error="",
            )
        )
        uow.after_commit(self.wake)

    def wake(self) -> None:
        """Look into the outbox soon, in the background: whoever calls never waits for a mail server."""
        if self._mailer is None:
            return
        self._wanted = True
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._empty())

    async def settle(self) -> None:
        """Wait until everything that is due has been tried."""
        if self._task is not None:
            await self._task

    async def aclose(self) -> None:
        """Stop; what is not sent stays in the outbox."""
        self._wanted = False
        if self._task is not None:
            await end(self._task)

    async def check(self, uow: ReadUnitOfWork) -> Check:
        """The entry of the health page."""
        if self._mailer is None:
            return Check("mail", "ok", "not configured (PARCELA_SMTP_HOST); no mails are sent")
        if not self._site:
            return Check("mail", "ok", "PARCELA_PUBLIC_URL is not set; no mails with links are sent")
        waiting, failed = await uow.outbox.counts()
        if waiting:
            return Check("mail", "down", f"{waiting} mail(s) could not be sent yet and are tried again")
        return Check("mail", "ok", f"configured; {failed} mail(s) of the last 30 days were given up")

    async def overdue(self) -> bool:
        """Whether something is due: left by a process that was killed, or to be tried again."""
        async with self._uows.read() as uow:
            return self._mailer is not None and bool(await uow.outbox.due(limit=1))

    async def purge(self) -> int:
        """Forget old mails that were given up, and resets that have run out; how many."""
        async with self._uows.write() as uow:
            removed = await uow.outbox.purge(uow.clock() - self._failed_kept_for) + await uow.password_resets.purge()
            await uow.commit()
        return removed

    async def _empty(self) -> None:
        while self._wanted:
            self._wanted = False
            try:
                await self._send_due()
            except Exception as exc:  # noqa: BLE001 (it is tried again at the next sweep; nobody waits here)
                tell = log.debug if is_storage_trouble(exc) else log.warning
                tell("mail.outbox_failed", reason=str(exc))

    async def _send_due(self) -> None:
        while True:
            async with self._uows.read() as uow:
                mails = await uow.outbox.due(limit=AT_ONCE)
            if not mails:
                return
            for mail in mails:
                if await self._claimed(mail):
                    await self._settle_one(mail)

    async def _claimed(self, mail: OutboxMail) -> bool:
        async with self._uows.write() as uow:
            mine = await uow.outbox.claim(mail, uow.clock() + CLAIMED_FOR)
            await uow.commit()
        return mine

    async def _settle_one(self, mail: OutboxMail) -> None:
        """Send one, and write down what came of it."""
        failure = await self._sent(mail)
        async with self._uows.write() as uow:
            if failure is None:
                await uow.outbox.remove(mail.id)
            elif failure.permanent:
                await uow.outbox.give_up(mail.id, str(failure)[:MAX_REASON])
            else:
                pause = PAUSES[min(mail.attempts, len(PAUSES) - 1)]
                await uow.outbox.postpone(mail.id, uow.clock() + pause, str(failure)[:MAX_REASON])
            await uow.commit()

    async def _sent(self, mail: OutboxMail) -> MailFailedError | None:
        if not mail.recipient:
            return None
        body = self._sealer.open(mail.sealed_body)
        if not isinstance(body, str):
            failure = MailFailedError("sealed with another signing secret", permanent=True)
        elif mail.expires_at <= self._uows.clock():
            failure = MailFailedError(f"it has run out; before: {mail.last_error}", permanent=True)
        else:
            try:
                await self._hand_over(self._message(mail, body))
            except MailFailedError as exc:
                failure = exc
            else:
                log.info("mail.sent", mail=mail.id, kind=mail.kind)
                return None
        log.warning("mail.failed", mail=mail.id, kind=mail.kind, gone=failure.permanent, reason=str(failure))
        return failure

    async def _hand_over(self, message: EmailMessage) -> None:
        if self._mailer is None:
            raise MailFailedError("no mail server is configured")
        await self._mailer.send(message)

    def _message(self, mail: OutboxMail, body: str) -> EmailMessage:
        message = EmailMessage()
        domain = parseaddr(self._from)[1].rpartition("@")[2] or urlsplit(self._site).hostname or "localhost"
        message["From"] = self._from
        message["To"] = mail.recipient
        message["Subject"] = mail.subject
        message["Date"] = format_datetime(mail.created_at)
        message["Message-ID"] = f"<outbox.{mail.id}.{int(mail.created_at.timestamp() * 1_000_000)}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(body)
        return message
