"""What hands mails over, and how that fails."""

from email.message import EmailMessage
from typing import Protocol


class MailFailedError(Exception):
    """The mail was not taken. ``permanent``: and never will be; else it makes sense to try again."""

    def __init__(self, reason: str, *, permanent: bool = False) -> None:
        """``reason`` is for the log and for administrators."""
        super().__init__(reason)
        self.permanent = permanent


class Mailer(Protocol):
    """Hands mails over."""

    async def send(self, message: EmailMessage) -> None:
        """Give one mail to the mail server; raises ``MailFailedError``."""
        ...
