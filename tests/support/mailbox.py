"""A real mail server on a free port, in a thread, that keeps what it gets and can be told to refuse."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from typing import Any, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

ACCOUNT, SECRET = "parcela", "mail secret"
PATIENCE_S = 120


@dataclass
class Mailbox:
    """What has arrived; ``refusals`` are answered, one per mail, before any is taken."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    _arrived: threading.Condition = field(default_factory=threading.Condition)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 (aiosmtpd's)
        del server
        if self.refusals:
            return self.refusals.pop(0)
        self.encrypted.append(session.ssl is not None)
        content = cast("bytes", envelope.content)
        with self._arrived:
            self.mails.append(BytesParser(policy=default).parsebytes(content))
            self._arrived.notify_all()
        return "250 OK"

    def wait_for(self, recipient: str) -> str:
        """The text of the newest mail to somebody, once there is one."""

        def newest() -> int | None:
            return next((n for n in reversed(range(len(self.mails))) if self.mails[n]["To"] == recipient), None)

        with self._arrived:
            assert self._arrived.wait_for(lambda: newest() is not None, PATIENCE_S), f"no mail to {recipient}"
            return self.words(newest() or 0)

    def words(self, number: int = -1) -> str:
        """The text of a mail."""
        body = self.mails[number].get_body()
        assert body is not None
        return str(body.get_content())


def _authenticate(_server: SMTP, _session: Session, _envelope: Envelope, _how: str, data: object) -> AuthResult:
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (ACCOUNT.encode(), SECRET.encode())
    return AuthResult(success=good, handled=False)


class _AnyPort(Controller):
    """A controller on port 0, which looks for itself at the port it was given."""

    def _trigger_server(self) -> None:
        server: Any = self.server
        self.port = server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]


@contextmanager
def mail_server(*, tls: ssl.SSLContext | None = None) -> Iterator[Mailbox]:
    """Run one; with ``tls`` it insists on STARTTLS and then on a login."""
    box = Mailbox()
    options: dict[str, Any] = {"ready_timeout": PATIENCE_S}
    if tls is not None:
        options |= {"tls_context": tls, "require_starttls": True, "auth_required": True, "authenticator": _authenticate}
    controller = _AnyPort(box, hostname="127.0.0.1", port=0, **options)
    controller.start()
    box.port = controller.port
    try:
        yield box
    finally:
        controller.stop()
