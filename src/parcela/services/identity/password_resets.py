"""A new password by mail, for whoever forgot the old one.

The answer and the work are the same whether there is such an account or not: rows are written, sealed and committed in
both cases, and a mail to nobody is dropped later, in the background.
"""

from datetime import timedelta
from functools import partial

from parcela.core.errors import ErrorKind, ParcelaError, Problem, invalid
from parcela.core.tokens import hash_token, new_secret
from parcela.models import PasswordReset, User
from parcela.repositories.uow import UnitOfWork
from parcela.services.identity.login_limits.guard import LoginGuard, lock_user
from parcela.services.identity.login_limits.throttles import address_keys, clean_identifier
from parcela.services.identity.revoking import revoke_access
from parcela.services.identity.sessions import NOWHERE, Origin
from parcela.services.identity.unfinished import settle_username, shown_username
from parcela.services.mail.outbox import Mail, MailService
from parcela.services.mail.texts import mail_text

GOOD_FOR = timedelta(minutes=30)
PAGE = "/password/reset"
MAX_TOKEN_CHARS = 200


class PasswordResetService:
    """Wishes for a new password, and their fulfilment."""

    def __init__(self, guard: LoginGuard, mail: MailService) -> None:
        """Take the collaborators."""
        self._guard = guard
        self._mail = mail

    @property
    def available(self) -> bool:
        """Whether mails can be sent here."""
        return self._mail.configured

    async def request(self, identifier: str, address: str, *, device: str = "") -> None:
        """Mail a link to the account of an e-mail address or username, if there is one that has a password.

        An account gets three mails within a quarter of an hour for one address of a client, and six within half an hour
        for all strangers together; then a request has no effect, and the newest link stays good. That is told to
        nobody, because who is told so has learnt that there is an account.

        Raises:
            ParcelaError: ``unsupported`` where no mails are sent; ``rate_limited`` after too many requests of an
                address for whatever accounts.
        """
        if not self.available:
            text = "This installation sends no mails (PARCELA_SMTP_HOST, PARCELA_PUBLIC_URL); ask an administrator."
            raise ParcelaError(ErrorKind.UNSUPPORTED, "mail_not_configured", text)
        await self._guard.repeat(partial(self._write_request, identifier, Origin(address, device=device)))

    async def _write_request(self, identifier: str, origin: Origin, uow: UnitOfWork) -> None:
        address, throttles = origin.address, self._guard.throttles
        user = await uow.users.by_identifier(clean_identifier(identifier))
        attempt = await self._guard.origins.attempt(uow, user, identifier, origin)
        around = [f"reset-{key}" for key in address_keys(address)]
        await throttles.begin(uow, around)
        await throttles.count_failure(uow, around)
        if not await throttles.take(uow, attempt.reset_keys):
            user = None
        # Without a password of ours there is none to reset: those people sign in at their provider.
        # Whoever registered and lost the link gets one here too.
        known = user if user is not None and user.is_active and (user.password_hash or user.self_registered) else None
        token, now = new_secret(), uow.clock()
        await uow.password_resets.remove_of_user(known.id if known else 0)  # only the newest link works
        await uow.password_resets.add(
            PasswordReset(
                user_id=known.id if known else None,
                token_hash=hash_token(token),
                created_at=now,
                expires_at=now + GOOD_FOR,
            )
        )
        await self._mail.enqueue(uow, self._link_mail(known, token), keep_for=GOOD_FOR)
        facts = {"user_id": known.id if known else None, "address": address}
        uow.add_event("auth.password_reset_requested", actor_id=None, owner_id=None, data=facts)
        if known is not None:  # audit entries are kept for years: strangers must not write one with each request
            uow.note("auth.password_reset_requested", noun="auth", noun_id=str(known.id), noun_name=known.username)

    def _link_mail(self, user: User | None, token: str) -> Mail:
        subject, body = mail_text(
            "password_reset",
            user.locale if user else "en",
            name=(user.full_name or shown_username(user)) if user else "nobody",
            username=shown_username(user) if user else "nobody",
            site=self._mail.site,
            minutes=int(GOOD_FOR.total_seconds() // 60),
            link=f"{self._mail.site}{PAGE}?token={token}",
        )
        return Mail("password_reset", user.email if user else "", subject, body)

    async def good(self, token: str) -> bool:
        """Whether a token can be used now, for a page that asks for the password first."""
        return await self._user_of(token) is not None

    async def _user_of(self, token: str) -> User | None:
        if not token.isascii() or len(token) > MAX_TOKEN_CHARS:
            return None
        async with self._guard.uows.read() as uow:
            reset = await uow.password_resets.good(hash_token(token))
            return await uow.users.get_or_none(reset.user_id) if reset and reset.user_id else None

    async def complete(
        self, token: str, new_password: str, origin: Origin = NOWHERE, *, keep_personal: bool = False
    ) -> str:
        """Set the password behind a token, once; end all sessions and, unless they are to be kept, personal tokens.

        A second factor stays as it is. Where this comes from is known afterwards, so that the person gets in even while
        strangers keep failing at the account.

        Returns:
            The new value of the browser's device cookie.

        Raises:
            ParcelaError: ``invalid`` with code ``reset_token_invalid``, or a broken rule of passwords (the token stays
                good then).
        """
        user = await self._user_of(token)
        if user is None:
            raise _bad_token()
        self._guard.policy.check(new_password, "new_password", [user.email, shown_username(user), user.full_name])
        new_hash = await self._guard.hash_for_stranger(new_password)

        async def work(uow: UnitOfWork) -> str:
            fresh = await lock_user(uow, user.id)
            if fresh is None or not fresh.is_active or not await uow.password_resets.spend(hash_token(token)):
                raise _bad_token()
            await self._set_password(uow, fresh, new_hash, keep_personal=keep_personal)
            return await self._guard.origins.remember(uow, fresh, origin)

        try:
            return await self._guard.repeat(work)
        except ParcelaError as exc:
            if exc.kind is not ErrorKind.CONFLICT:
                raise
            return await self._guard.repeat(work)  # the wished username was taken at this moment

    async def _set_password(self, uow: UnitOfWork, user: User, new_hash: str, *, keep_personal: bool) -> None:
        await settle_username(uow, user)
        user.password_hash = new_hash
        if user.self_registered and user.verified_email != user.email:
            keep_personal = False  # before this link, nobody knew that the account is of the owner of the address
        user.self_registered, user.verified_email = False, user.email  # the link came to the address
        await revoke_access(uow, user, keep_personal=keep_personal)
        facts = {"user_id": user.id, "username": user.username, "by": "reset"}
        uow.add_event("user.password_changed", actor_id=user.id, owner_id=user.id, data=facts)
        named = {"name": user.full_name or user.username, "username": user.username, "site": self._mail.site}
        kind = "password_changed_kept" if keep_personal else "password_changed"
        subject, body = mail_text(kind, user.locale, **named)
        if self.available:
            await self._mail.enqueue(uow, Mail("password_changed", user.email, subject, body))


def _bad_token() -> ParcelaError:
    text = "This link was used before, has run out, or is not complete; ask for a new one."
    return invalid("reset_token_invalid", text, Problem("token", text, "reset_token_invalid"))
