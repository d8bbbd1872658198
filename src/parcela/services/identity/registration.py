"""Registration: accounts made by somebody who may, or by anybody for themselves. The older APIs share ``register``.

Where mails can be sent nobody learns whether an address has an account: the answer is the same, and the address is told
the truth. The password that was typed is not taken then, because whoever registers somebody else's address would
know the password of the account that its owner confirms; it is chosen by the link in the mail. The username is a wish
until then: a name reserved by the registration would tell the next one whether this one made an account.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from parcela.core.errors import ErrorKind, ParcelaError, forbidden
from parcela.core.permissions import CLIENT_ROLE, Permission
from parcela.core.settings import Settings
from parcela.core.tokens import hash_token, new_secret
from parcela.models import PasswordReset, User
from parcela.repositories.uow import UnitOfWork
from parcela.repositories.users import UserRecord
from parcela.services.access import SYSTEM, Caller
from parcela.services.identity.login_limits.guard import LoginGuard, lock_user
from parcela.services.identity.login_limits.throttles import address_keys
from parcela.services.identity.password_resets import PAGE
from parcela.services.identity.sessions import Origin
from parcela.services.identity.unfinished import is_unfinished, remove_unfinished, shown_username
from parcela.services.identity.usernames import pending_username, username_for, wish_from
from parcela.services.identity.users import NewUser, UserService, clean_email, clean_username
from parcela.services.mail.outbox import Mail, MailService
from parcela.services.mail.texts import mail_text

LINK_HOURS = 24
TRIES = 4
UNFINISHED_FOR = timedelta(days=7)
"""An account whose link was never used is removed after this time."""


@dataclass(frozen=True, slots=True)
class Applicant:
    """A wished account.

    Attributes:
        email: its address.
        password: its password; not taken where a link is mailed.
        username: "" for one that is made of the address.
        full_name: of the person.
        role: name of the role; strangers get ``client`` and nothing else.
        locale: ``en`` or ``es``.
        reachable: False where the address was made up for somebody who gave none.
    """

    email: str
    password: str
    username: str = ""
    full_name: str = ""
    role: str = CLIENT_ROLE
    locale: str = "en"
    reachable: bool = True


class RegistrationService:
    """Makes accounts; opens units of work of its own, because it hashes and counts what fails."""

    def __init__(self, settings: Settings, users: UserService, guard: LoginGuard, mail: MailService) -> None:
        """Take the collaborators."""
        self._settings = settings
        self._users = users
        self._guard = guard
        self._mail = mail

    def check(self, caller: Caller | None, role: str) -> None:
        """Raise what ``register`` would, before anything is counted.

        Raises:
            ParcelaError: ``forbidden`` with code ``registration_closed``, or ``registration_role`` when somebody wants
                more than the role ``client`` for themselves.
        """
        if _may_make_users(caller):
            return
        if not self._settings.registration_open:
            text = "Nobody can register here; ask an administrator for an account."
            raise forbidden("registration_closed", text)
        if role != CLIENT_ROLE:
            text = f"Whoever registers gets the role '{CLIENT_ROLE}'; others are given by an administrator."
            raise forbidden("registration_role", text)

    async def register(self, caller: Caller | None, applicant: Applicant, origin: Origin) -> UserRecord | None:
        """Make the account: in the caller's name with ``user:write``, else as an ordinary client.

        Returns:
            The account; None where a mail says how to go on, whether the address has an account already or not.

        Raises:
            ParcelaError: as ``check``; ``invalid`` for a bad address, username or password; ``conflict`` when username
                or address is taken and no mail is sent; ``rate_limited`` after too many registrations
                from the address or in all, and when too many passwords wait to be hashed.
        """
        self.check(caller, applicant.role)
        email = clean_email(applicant.email)
        if applicant.username:
            clean_username(applicant.username)
        about = [email, applicant.username, applicant.full_name]
        self._guard.policy.check(applicant.password, about=about)
        if caller is not None and _may_make_users(caller):
            password_hash = await self._guard.hasher.hash(applicant.password)
            return await self._guard.repeat(partial(self._make, caller, applicant, password_hash))
        await self._guard.repeat(partial(self._count, origin))
        if self._mail.configured and applicant.reachable:
            await self._by_mail_for_sure(applicant, email, origin)
            return None
        password_hash = await self._guard.hash_for_stranger(applicant.password)
        return await self._guard.repeat(partial(self._make, None, applicant, password_hash))

    async def _count(self, origin: Origin, uow: UnitOfWork) -> None:
        """Use up one registration of the address and of all; also of one that fails, so that nothing is found out."""
        keys = ["register-all", *(f"register-{key}" for key in address_keys(origin.address))]
        await self._guard.throttles.begin(uow, keys)
        await self._guard.throttles.count_failure(uow, keys)

    async def _make(
        self, caller: Caller | None, applicant: Applicant, password_hash: str, uow: UnitOfWork
    ) -> UserRecord:
        new = NewUser(
            email=applicant.email,
            username=applicant.username or await username_for(uow, applicant.email),
            password_hash=password_hash,
            full_name=applicant.full_name,
            role=applicant.role,
            locale=applicant.locale,
            self_registered=caller is None,
        )
        return await self._users.create(uow, caller or SYSTEM, new)

    async def _by_mail_for_sure(self, applicant: Applicant, email: str, origin: Origin) -> None:
        """As ``_by_mail``; the same registration twice at once must not tell by a conflict that the address was new."""
        for tries_left in reversed(range(TRIES)):
            try:
                await self._guard.repeat(partial(self._by_mail, applicant, email, origin))
            except ParcelaError as exc:
                if exc.kind is not ErrorKind.CONFLICT or not tries_left:
                    raise
            else:
                return

    async def _by_mail(self, applicant: Applicant, email: str, origin: Origin, uow: UnitOfWork) -> None:
        """Mail the link to a new account, or to the owner of the address that there is one."""
        pending = pending_username(clean_username(applicant.username) if applicant.username else wish_from(email))
        user = await uow.users.by_identifier(email)
        attempt = await self._guard.origins.attempt(uow, user, email, origin)
        may_send = await self._guard.throttles.take(uow, attempt.reset_keys)
        user = await lock_user(uow, user.id) if user is not None else None
        if user is None:
            made = await self._make(None, replace(applicant, username=pending), "", uow)
            user = await uow.users.lock(made.id)
        recipient = email if may_send and user.is_active else ""
        if is_unfinished(user):
            if recipient:  # the newest link works, and completes what the newest registration said
                user.username, user.full_name, user.locale = pending, applicant.full_name, applicant.locale
            await self._mail_link(uow, user, recipient)
        else:
            subject, body = mail_text("registered_before", user.locale, **self._words(user))
            await self._mail.enqueue(uow, Mail("registered_before", recipient, subject, body))

    async def _mail_link(self, uow: UnitOfWork, user: User, recipient: str) -> None:
        token, now, good_for = new_secret(), uow.clock(), timedelta(hours=LINK_HOURS)
        if recipient:
            await uow.password_resets.remove_of_user(user.id)
            reset = PasswordReset(
                user_id=user.id, token_hash=hash_token(token), created_at=now, expires_at=now + good_for
            )
            await uow.password_resets.add(reset)
        link = f"{self._mail.site}{PAGE}?token={token}"
        subject, body = mail_text("registered", user.locale, hours=LINK_HOURS, link=link, **self._words(user))
        await self._mail.enqueue(uow, Mail("registered", recipient, subject, body), keep_for=good_for)

    def _words(self, user: User) -> dict[str, str]:
        username = shown_username(user)
        return {"name": user.full_name or username, "username": username, "site": self._mail.site}

    async def purge(self) -> int:
        """Remove accounts whose link was not used within a week; how many."""
        before = self._guard.uows.clock() - UNFINISHED_FOR
        async with self._guard.uows.read() as uow:
            user_ids = await uow.users.unfinished(before)
        return sum([await self._guard.repeat(partial(self._remove, user_id)) for user_id in user_ids])

    @staticmethod
    async def _remove(user_id: int, uow: UnitOfWork) -> int:
        try:
            user = await uow.users.lock(user_id)
        except ParcelaError as exc:
            if exc.kind is ErrorKind.NOT_FOUND:
                return 0
            raise
        if not is_unfinished(user):
            return 0  # the link was used since
        await remove_unfinished(uow, user)
        return 1


def _may_make_users(caller: Caller | None) -> bool:
    return caller is not None and caller.can(Permission.USER_WRITE)
