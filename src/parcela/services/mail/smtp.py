"""The way to the mail server; loaded where one is named."""

import ssl
from email.message import EmailMessage

import aiosmtplib

from parcela.core.settings import Settings
from parcela.core.settings_identity import SmtpSecurity
from parcela.services.mail.port import MailFailedError

TIMEOUT_S = 20.0
PERMANENT = range(500, 600)


class SmtpMailer:
    """Speaks SMTP, one connection per mail: mails are few."""

    def __init__(self, settings: Settings) -> None:
        """Take the address, the protection and the account."""
        self._settings = settings

    async def send(self, message: EmailMessage) -> None:
        """See ``Mailer``. With ``starttls`` a server that does not offer it is refused."""
        settings = self._settings
        secured = settings.smtp_security is not SmtpSecurity.NONE
        try:
            await aiosmtplib.send(
                message,
                hostname=settings.smtp_host,
                port=settings.smtp_port,
                username=settings.smtp_user or None,
                password=settings.smtp_password.get_secret_value() if settings.smtp_password else None,
                timeout=TIMEOUT_S,
                use_tls=settings.smtp_security is SmtpSecurity.TLS,
                start_tls=settings.smtp_security is SmtpSecurity.STARTTLS,
                tls_context=ssl.create_default_context() if secured else None,
            )
        except aiosmtplib.SMTPRecipientsRefused as exc:
            codes = [refused.code for refused in exc.recipients]
            raise MailFailedError(str(exc), permanent=all(code in PERMANENT for code in codes)) from exc
        except (aiosmtplib.SMTPAuthenticationError, aiosmtplib.SMTPConnectResponseError) as exc:
            raise MailFailedError(str(exc)) from exc  # our settings are wrong, not the mail: they can be mended
        except aiosmtplib.SMTPResponseException as exc:
            raise MailFailedError(str(exc), permanent=exc.code in PERMANENT) from exc
        except (aiosmtplib.SMTPException, OSError, ValueError) as exc:
            raise MailFailedError(str(exc) or type(exc).__name__) from exc
