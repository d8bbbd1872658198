"""Protection against guessing passwords: failures are counted per account and per client address.

What an attacker gets is the same for attempts one after another and for a thousand at once: every failure is counted
under a row lock when it is known, and an attempt whose turn comes after the lock learns nothing, not even when its
password was right. Honest logins at the same time never hinder each other, because only failures count.
"""

import hashlib
import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta
from math import ceil

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.core.settings import Settings
from parcela.models import LoginThrottle
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork

ACCOUNT, ADDRESS = "account:", "address:"
RESET = "reset:"
"""Before a key: counts wishes for new passwords, which are not failed logins."""
RESETS_PER_ACCOUNT = 3
MAX_IDENTIFIER = 254


def clean_identifier(identifier: str) -> str:
    """An e-mail address or username as it is stored; "" when no account can have it."""
    text = identifier.strip().lower()
    return text if text.isascii() and text.isprintable() and len(text) <= MAX_IDENTIFIER else ""


def account_key(identifier: str) -> str:
    """Counter of an account, known or not.

    What could never be an account is hashed, so that any text fits into the column of any database.
    """
    plain = clean_identifier(identifier)
    return ACCOUNT + (plain or "#" + hashlib.sha256(identifier.encode(errors="surrogatepass")).hexdigest())


def address_key(address: str) -> str:
    """Counter of a client address. IPv6 counts by /64: everybody has that many addresses for the asking."""
    try:
        parsed = ipaddress.ip_address(address.split("%", 1)[0])
    except ValueError:
        return ADDRESS + hashlib.sha256(address.encode(errors="surrogatepass")).hexdigest()
    if isinstance(parsed, ipaddress.IPv6Address):
        mapped = parsed.ipv4_mapped
        return ADDRESS + str(mapped or ipaddress.ip_network((parsed, 64), strict=False))
    return ADDRESS + str(parsed)


class LoginThrottles:
    """Counts failures and refuses attempts; the numbers live in the database."""

    def __init__(self, settings: Settings) -> None:
        """Take the limits and the length of the window and of the lock, which are the same."""
        self._attempts = {
            RESET + ACCOUNT: RESETS_PER_ACCOUNT,
            RESET + ADDRESS: settings.login_attempts_per_address,
            ACCOUNT: settings.login_attempts,
            ADDRESS: settings.login_attempts_per_address,
        }
        self._lock = timedelta(seconds=settings.login_lock_s)

    async def check(self, uow: ReadUnitOfWork, keys: Sequence[str]) -> None:
        """Raise ``too_many_attempts`` when one of the keys is locked now: costs one query and no hashing."""
        self._refuse_locked(await uow.tokens.throttles(keys), uow.clock())

    async def check_locked(self, uow: UnitOfWork, keys: Sequence[str]) -> None:
        """The same under row locks, for the moment in which a right password is answered."""
        self._refuse_locked(await uow.tokens.lock_throttles(keys), uow.clock())

    async def begin(self, uow: UnitOfWork, keys: Sequence[str]) -> None:
        """Lock the counters before anything else, begun at zero where there are none, and refuse what is locked.

        For secrets that are judged in the same unit of work: guesses at the same time then wait for each other.
        """
        self._refuse_locked([await uow.tokens.lock_or_add_throttle(key) for key in sorted(keys)], uow.clock())

    async def count_failure(self, uow: UnitOfWork, keys: Sequence[str]) -> tuple[list[str], ParcelaError | None]:
        """Count one failure for each key. Commit also when there is an error to answer with.

        Returns:
            The keys that this failure locked; and the error when one of them was already locked, by attempts that ran
            at the same time.
        """
        now = uow.clock()
        rows = [await uow.tokens.lock_or_add_throttle(key) for key in sorted(keys)]
        refusal: ParcelaError | None = None
        try:
            self._refuse_locked(rows, now)
        except ParcelaError as exc:
            refusal = exc
        return [row.key for row in rows if self._count(row, now)], refusal

    def _count(self, row: LoginThrottle, now: datetime) -> bool:
        """Whether this failure locks the key."""
        if row.locked_until is not None and row.locked_until > now:
            return False
        if row.locked_until is not None or row.last_failure_at + self._lock <= now:
            row.failures, row.last_failure_at, row.locked_until = 0, now, None
        row.failures += 1
        if row.failures < next(most for kind, most in self._attempts.items() if row.key.startswith(kind)):
            return False
        row.locked_until = now + self._lock
        return True

    @staticmethod
    def _refuse_locked(rows: Sequence[LoginThrottle], now: datetime) -> None:
        left_s = [(row.locked_until - now).total_seconds() for row in rows if row.locked_until]
        longest_s = ceil(max(left_s, default=0.0))
        if longest_s > 0:
            raise ParcelaError(
                ErrorKind.RATE_LIMITED,
                "too_many_attempts",
                f"Too many attempts; try again in {longest_s} seconds.",
                retry_after_s=longest_s,
            )

    async def purge(self, uow: UnitOfWork) -> int:
        """Remove counters that no longer mean anything; how many."""
        return await uow.tokens.purge_throttles(uow.clock() - self._lock)
