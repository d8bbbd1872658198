"""The second factor: codes of an authenticator app (TOTP, RFC 6238), and recovery codes for the day it is lost.

A code is good for its time step of 30 seconds and for one step before and after, and only once: the step of the last
code that was taken is kept, and nothing at or before it is taken again. Wrong codes are counted apart from wrong
passwords, and those of a login apart from those of a session that is open.
"""

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import pyotp
import structlog

from parcela.core.errors import ParcelaError, Problem, conflict, invalid, unauthenticated
from parcela.core.permissions import Permission
from parcela.core.qr_codes import qr_svg
from parcela.core.sealing import Sealer
from parcela.models import SecondFactor, User
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork
from parcela.services.access import Caller
from parcela.services.auth_rules import bad_credentials, require_session
from parcela.services.identity.login_limits.attempts import own_key
from parcela.services.identity.login_limits.guard import LoginGuard, lock_user
from parcela.services.identity.revoking import revoke_access
from parcela.services.identity.users import UserService

log = structlog.get_logger(__name__)

ISSUER = "Parcela"
STEP_S = 30
DIGITS = 6
RECOVERY_CODES = 10
RECOVERY_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
RECOVERY_CHARS = 16
Work = Callable[[UnitOfWork, User], Awaitable[list[str]]]


@dataclass(frozen=True, slots=True)
class SecondFactorStatus:
    """What a user may know of their own second factor."""

    enabled: bool
    confirmed_at: datetime | None
    recovery_codes_left: int
    has_password: bool


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an authenticator app must learn; shown once.

    Attributes:
        secret: base32, to be typed in.
        uri: ``otpauth://`` address of the same.
        qr_svg: the address as a QR code.
    """

    secret: str
    uri: str
    qr_svg: str


def new_recovery_code() -> str:
    """80 random bits in four groups, without characters that look alike."""
    plain = "".join(secrets.choice(RECOVERY_ALPHABET) for _ in range(RECOVERY_CHARS))
    return "-".join(plain[start : start + 4] for start in range(0, RECOVERY_CHARS, 4))


def _plain(code: str) -> str:
    return "".join(character for character in code.lower() if character not in " -\t")


def hash_code(code: str) -> str:
    """SHA-256 of a recovery code, however its groups were typed. Fast is fine: 80 random bits are not guessed."""
    return hashlib.sha256(_plain(code).encode(errors="surrogatepass")).hexdigest()


def matching_step(secret: str | None, code: str, now: datetime, last_step: int) -> int | None:
    """The time step a code is good for, newer than the last one taken; None when it is wrong, old or used."""
    if secret is None or not (code.isascii() and code.isdigit()):
        return None
    present = int(now.timestamp()) // STEP_S
    totp = pyotp.TOTP(secret, digits=DIGITS, interval=STEP_S)
    for step in (present - 1, present, present + 1):
        if step > last_step and hmac.compare_digest(totp.generate_otp(step).encode(), code.encode()):
            return step
    return None


class SecondFactorService:
    """Enrolment, use and end of second factors."""

    def __init__(self, guard: LoginGuard, sealer: Sealer, users: UserService) -> None:
        """``sealer`` encrypts the secrets; keep the signing secret, or nobody's app is known any more."""
        self._guard = guard
        self._sealer = sealer
        self._users = users

    async def status(self, uow: ReadUnitOfWork, caller: Caller) -> SecondFactorStatus:
        """Whether the caller has one."""
        require_session(caller)
        row = await uow.second_factors.confirmed(caller.user_id)
        left = await uow.second_factors.codes_left(caller.user_id) if row else 0
        user = await uow.users.get(caller.user_id)
        return SecondFactorStatus(row is not None, row.confirmed_at if row else None, left, bool(user.password_hash))

    async def begin(self, caller: Caller, password: str) -> Enrolment:
        """A new secret for the caller's app; it counts once a code of it is given to ``confirm``.

        Raises:
            ParcelaError: ``wrong_password``; ``conflict`` when there is one already.
        """
        require_session(caller)
        user = await self._guard.verify_own(caller, password, "password", "The password is wrong.")
        secret = pyotp.random_base32()
        sealed = self._sealer.seal([user.id, secret])

        async def work(uow: UnitOfWork) -> None:
            if await lock_user(uow, user.id) is None:
                raise bad_credentials()
            if await uow.second_factors.confirmed(user.id):
                text = "There is a second factor already; disable it before you set another one up."
                raise conflict("totp_already_enabled", text)
            await uow.second_factors.remove(user.id)
            row = SecondFactor(user_id=user.id, sealed_secret=sealed, last_step=0, created_at=uow.clock())
            await uow.second_factors.add(row)

        await self._guard.repeat(work)
        return self._enrolment(secret, user.email)

    async def pending(self, uow: ReadUnitOfWork, caller: Caller) -> Enrolment | None:
        """The enrolment that waits for its first code, for a page that is shown again; None when there is none."""
        require_session(caller)
        row = await uow.second_factors.of_user(caller.user_id)
        secret = self._secret(row) if row is not None and row.confirmed_at is None else None
        return self._enrolment(secret, (await uow.users.get(caller.user_id)).email) if secret else None

    async def confirm(self, uow: UnitOfWork, caller: Caller, code: str) -> list[str]:
        """Turn it on with a first code; the recovery codes, which are shown this once.

        The caller has seen the secret, so there is nothing to guess and nothing is counted.
        """
        require_session(caller)
        await uow.users.lock(caller.user_id)
        row = await uow.second_factors.of_user(caller.user_id)
        if row is None or row.confirmed_at is not None:
            text = "No second factor is being set up; begin with 'POST /api/v1/second-factor'."
            raise conflict("totp_not_begun", text)
        step = matching_step(self._secret(row), _plain(code), uow.clock(), row.last_step)
        if step is None:
            raise _wrong_code_field()
        row.last_step, row.confirmed_at = step, uow.clock()
        codes = await self._new_codes(uow, caller.user_id)
        _event(uow, "auth.totp_enabled", caller.user_id, caller.user_id, username=caller.username)
        return codes

    async def renew_codes(self, caller: Caller, code: str) -> list[str]:
        """New recovery codes instead of the old ones. Needs a code; wrong ones are counted."""

        async def work(uow: UnitOfWork, user: User) -> list[str]:
            _event(uow, "auth.recovery_codes_renewed", user.id, user.id, username=user.username)
            return await self._new_codes(uow, user.id)

        return await self._with_code(caller, code, work)

    async def disable(self, caller: Caller, password: str, code: str) -> None:
        """Turn it off. Needs password and code; wrong ones are counted."""
        require_session(caller)
        await self._guard.verify_own(caller, password, "password", "The password is wrong.")

        async def work(uow: UnitOfWork, user: User) -> list[str]:
            await uow.second_factors.remove(user.id)
            _event(uow, "auth.totp_disabled", user.id, user.id, username=user.username)
            return []

        await self._with_code(caller, code, work)

    async def reset(self, uow: UnitOfWork, caller: Caller, user_id: int) -> None:
        """Take the second factor off somebody who lost it, and end their sessions and personal tokens.

        The phone may be in other hands, with an open session on it.

        Raises:
            ParcelaError: ``forbidden`` without the right, and when the user is more powerful than the caller.
        """
        caller.require(Permission.USER_RESET_FACTOR)
        record = await self._users.check_power(uow, caller, user_id)
        await uow.second_factors.remove(user_id)
        await revoke_access(uow, await uow.users.get(user_id))
        _event(uow, "auth.totp_reset", caller.user_id, user_id, username=record.username)

    async def required(self, uow: ReadUnitOfWork, user_id: int) -> bool:
        """Whether a login of this user needs a code."""
        return await uow.second_factors.confirmed(user_id) is not None

    async def spend(self, uow: UnitOfWork, user: User, code: str) -> bool:
        """Use a code of the app or a recovery code up. The user's row must be locked; count what fails."""
        row = await uow.second_factors.confirmed(user.id)
        if row is None:
            return False
        plain = _plain(code)
        if len(plain) == DIGITS and plain.isascii() and plain.isdigit():  # recovery codes are longer
            step = matching_step(self._secret(row), plain, uow.clock(), row.last_step)
            row.last_step = row.last_step if step is None else step
            await uow.flush()  # what follows may remove the row behind the session's back
            return step is not None
        if not await uow.second_factors.spend_code(user.id, hash_code(plain)):
            return False
        left = await uow.second_factors.codes_left(user.id)
        _event(uow, "auth.recovery_code_used", user.id, user.id, username=user.username, left=left)
        return True

    async def _with_code(self, caller: Caller, code: str, work: Work) -> list[str]:
        """Do something that needs a code."""
        require_session(caller)
        outcome = await self._guard.repeat(partial(self._checked, caller, code, work))
        if isinstance(outcome, ParcelaError):
            raise outcome
        return outcome

    async def _checked(self, caller: Caller, code: str, work: Work, uow: UnitOfWork) -> list[str] | ParcelaError:
        keys = [own_key("factor-own", caller)]
        await self._guard.throttles.begin(uow, keys)
        user = await lock_user(uow, caller.user_id)
        if user is None or not await self.required(uow, user.id):
            return conflict("totp_not_enabled", "There is no second factor to do this with.")
        if not await self.spend(uow, user, code):
            return await self._guard.write_failure(keys, user, "", uow) or _wrong_code_field()
        return await work(uow, user)

    async def _new_codes(self, uow: UnitOfWork, user_id: int) -> list[str]:
        codes = [new_recovery_code() for _ in range(RECOVERY_CODES)]
        await uow.second_factors.set_codes(user_id, map(hash_code, codes))
        return codes

    def _secret(self, row: SecondFactor) -> str | None:
        """The secret of a row; None when it was sealed with another signing secret, or for somebody else."""
        opened = self._sealer.open(row.sealed_secret)
        if not isinstance(opened, list) or opened[:1] != [row.user_id]:
            log.error("second_factor.unreadable", user_id=row.user_id, hint="was PARCELA_SECRET_KEY changed?")
            return None
        return str(opened[1])

    @staticmethod
    def _enrolment(secret: str, email: str) -> Enrolment:
        uri = pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=ISSUER)
        picture = qr_svg(uri, scale=5, light="#fff", xmldecl=False, nl=False)
        return Enrolment(secret, uri, picture.decode())


def wrong_code() -> ParcelaError:
    """At a login: the password was right, the code was not."""
    return unauthenticated("bad_code", "The code is wrong, was used before, or has run out; wait for the next one.")


def code_required() -> ParcelaError:
    """At a login without a code."""
    text = "This account has a second factor: send the code of the authenticator app, or a recovery code, as totp_code."
    return unauthenticated("totp_required", text)


def _wrong_code_field() -> ParcelaError:
    text = "The code is wrong, was used before, or has run out; wait for the next one."
    return invalid("bad_code", text, Problem("code", text, "bad_code"))


def _event(uow: UnitOfWork, event_type: str, actor_id: int, user_id: int, **data: object) -> None:
    uow.add_event(event_type, actor_id=actor_id, owner_id=user_id, data={"user_id": user_id, **data})
