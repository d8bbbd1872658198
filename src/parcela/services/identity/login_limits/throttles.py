"""Limits on guessing: failures are counted, and attempts are delayed longer and longer; nothing is locked for good.

A counter leaks: it forgets failures one by one, so that many honest people behind one address never add up. From
``free`` failures on, attempts are refused for a delay that doubles with each further failure.

What an attacker gets is the same for attempts one after another and for a thousand at once: every failure is counted
under a row lock when it is known, and an attempt whose turn comes within the delay learns nothing, not even when its
password was right. Attempts that are refused are not counted, so refusals do not prolong the delay. Honest logins at
the same time never hinder each other, because only failures count.
"""

import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil, floor

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.core.settings import Settings
from parcela.models import LoginThrottle
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork

ADDRESS = "address:"
MAX_IDENTIFIER = 254
WIDER_PREFIXES = {56: 4, 48: 16}
"""IPv6: length of a prefix, and how many times the failures of a /64 it may have. A site gets a /48 for the asking."""
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
MOST_DOUBLINGS = 20


def clean_identifier(identifier: str) -> str:
    """An e-mail address or username as it is stored; "" when no account can have it."""
    text = identifier.strip().lower()
    return text if text.isascii() and text.isprintable() and len(text) <= MAX_IDENTIFIER else ""


def address_key(address: str) -> str:
    """Counter of a client address. IPv6 counts by /64: everybody has that many addresses for the asking."""
    return address_keys(address)[0]


def address_keys(address: str) -> list[str]:
    """Counters of a client address: the address or its /64, and for IPv6 the /56 and the /48 around it.

    IPv4 in IPv6 (mapped, and NAT64's well-known prefix) counts as IPv4.
    """
    try:
        parsed = ipaddress.ip_address(address.split("%", 1)[0])
    except ValueError:
        return [ADDRESS + hashlib.sha256(address.encode(errors="surrogatepass")).hexdigest()]
    if isinstance(parsed, ipaddress.IPv4Address):
        return [f"{ADDRESS}{parsed}"]
    if parsed.ipv4_mapped is not None:
        return [f"{ADDRESS}{parsed.ipv4_mapped}"]
    if parsed in NAT64:
        return [f"{ADDRESS}{ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)}"]
    return [f"{ADDRESS}{ipaddress.ip_network((parsed, length), strict=False)}" for length in (64, *WIDER_PREFIXES)]


@dataclass(frozen=True, slots=True)
class Rule:
    """How a counter delays.

    Attributes:
        free: failures without a delay, 1 and up.
        first_s: the first delay in seconds; each further failure doubles it.
        longest_s: no delay is longer.
        memory_s: seconds in which ``free`` failures are forgotten, evenly.
    """

    free: int
    first_s: float
    longest_s: float
    memory_s: float

    def delay_s(self, failures: int) -> float:
        """The delay after so many failures; 0 for none."""
        beyond = failures - self.free
        return 0.0 if beyond < 0 else min(self.first_s * 2.0 ** min(beyond, MOST_DOUBLINGS), self.longest_s)


def budget(amount: int, period_s: float) -> Rule:
    """A rule for what is no failure: so many at once, and as many again, evenly, in each period."""
    return Rule(amount, period_s / amount, period_s / amount, period_s)


def rules_of(settings: Settings) -> dict[str, Rule]:
    """The rule of each kind of counter, by the beginning of its key; the longer beginnings come first."""
    longest_s = float(settings.login_lock_s)
    first_s = min(float(settings.login_delay_s), longest_s)
    guesses = Rule(settings.login_attempts, first_s, longest_s, longest_s)
    # Of all strangers together: an attacker with many addresses must not keep a person out of a new device for long.
    everybody = Rule(4 * settings.login_attempts, first_s, min(60.0, longest_s), 4 * longest_s)
    # Six digits: what is guessed today is as likely tomorrow, so failures are remembered longer.
    codes = Rule(settings.login_attempts, first_s, longest_s, 12 * longest_s)
    per_address = settings.login_attempts_per_address
    addresses = {
        f"/{length}": Rule(times * per_address, first_s, longest_s, longest_s)
        for length, times in WIDER_PREFIXES.items()
    }
    plain_address = Rule(per_address, first_s, longest_s, longest_s)
    registrations, hour_s = settings.registrations_per_address, 3600.0
    registering = {f"/{length}": budget(times * registrations, hour_s) for length, times in WIDER_PREFIXES.items()}
    return {
        "login-all:": everybody,
        "login:": guesses,
        "known:": guesses,
        "device:": guesses,
        "own:": guesses,
        "factor:": codes,
        "factor-known:": codes,
        "factor-device:": codes,
        "factor-own:": codes,
        "reset-all:": budget(6, 1800.0),
        "reset:": budget(3, 900.0),
        "reset-known:": budget(3, 900.0),
        "register-all": budget(settings.registrations_per_hour, hour_s),
        f"known-{ADDRESS}": Rule(10 * per_address, first_s, longest_s, longest_s),
        **{f"register-{ADDRESS}{end}": rule for end, rule in registering.items()},
        f"register-{ADDRESS}": budget(registrations, hour_s),
        **{f"reset-{ADDRESS}{end}": rule for end, rule in addresses.items()},
        f"reset-{ADDRESS}": plain_address,
        **{f"{ADDRESS}{end}": rule for end, rule in addresses.items()},
        ADDRESS: plain_address,
    }


class LoginThrottles:
    """Counts failures and refuses attempts; the numbers live in the database."""

    def __init__(self, settings: Settings) -> None:
        """Take the limits."""
        self._rules = rules_of(settings)
        self._keep = timedelta(seconds=max(rule.memory_s + rule.longest_s for rule in self._rules.values()))

    async def check(self, uow: ReadUnitOfWork, keys: Sequence[str]) -> None:
        """Raise ``too_many_attempts`` when one of the keys is delayed now: costs one query and no hashing."""
        refuse_delayed(await uow.tokens.throttles(keys), uow.clock())

    async def check_locked(self, uow: UnitOfWork, keys: Sequence[str]) -> None:
        """The same under row locks, for the moment in which a right password is answered."""
        refuse_delayed(await uow.tokens.lock_throttles(keys), uow.clock())

    async def begin(self, uow: UnitOfWork, keys: Sequence[str]) -> None:
        """Lock the counters before anything else, begun at zero where there are none, and refuse what is delayed.

        For secrets that are judged in the same unit of work: guesses at the same time then wait for each other.
        """
        refuse_delayed([await uow.tokens.lock_or_add_throttle(key) for key in sorted(keys)], uow.clock())

    async def count_failure(self, uow: UnitOfWork, keys: Sequence[str]) -> tuple[list[str], ParcelaError | None]:
        """Count one failure for each key. Commit also when there is an error to answer with.

        Returns:
            The keys whose attempts are delayed from now on and were not before; and the error when one of them was
            already delayed, by attempts that ran at the same time.
        """
        now = uow.clock()
        rows = [await uow.tokens.lock_or_add_throttle(key) for key in sorted(keys)]
        refusal: ParcelaError | None = None
        try:
            refuse_delayed(rows, now)
        except ParcelaError as exc:
            refusal = exc
        return [row.key for row in rows if self._count(row, now)], refusal

    async def take(self, uow: UnitOfWork, keys: Sequence[str]) -> bool:
        """Use up one of each budget; False, and nothing is used up, when one of them is exhausted now."""
        now = uow.clock()
        rows = [await uow.tokens.lock_or_add_throttle(key) for key in sorted(keys)]
        if any(row.locked_until is not None and row.locked_until > now for row in rows):
            return False
        for row in rows:
            self._count(row, now)
        return True

    def _count(self, row: LoginThrottle, now: datetime) -> bool:
        """Whether this failure is the first that brings a delay."""
        if row.locked_until is not None and row.locked_until > now:
            return False
        rule = self._rule(row.key)
        each_s = rule.memory_s / rule.free
        forgotten = max(0, floor((now - row.last_failure_at).total_seconds() / each_s))
        # The rest of the time counts on, else frequent failures would never be forgotten.
        row.last_failure_at += timedelta(seconds=forgotten * each_s)
        if forgotten >= row.failures:
            row.failures, row.last_failure_at = forgotten, now
        row.failures += 1 - forgotten
        delay_s = rule.delay_s(row.failures)
        row.locked_until = now + timedelta(seconds=delay_s) if delay_s else None
        return row.failures == rule.free

    def _rule(self, key: str) -> Rule:
        """The rule of a key; that of an IPv6 prefix is found by its end."""
        kind, found, rest = key.partition(ADDRESS)
        if found and rest[-3:] in {f"/{length}" for length in WIDER_PREFIXES}:
            wider = self._rules.get(f"{kind}{ADDRESS}{rest[-3:]}")
            if wider is not None:
                return wider
        return next(rule for start, rule in self._rules.items() if key.startswith(start))

    async def purge(self, uow: UnitOfWork) -> int:
        """Remove counters that no longer mean anything; how many."""
        return await uow.tokens.purge_throttles(uow.clock() - self._keep)


def refuse_delayed(rows: Sequence[LoginThrottle], now: datetime) -> None:
    """Raise ``too_many_attempts`` when one of the counters is delayed now."""
    left_s = [(row.locked_until - now).total_seconds() for row in rows if row.locked_until]
    longest_s = ceil(max(left_s, default=0.0))
    if longest_s > 0:
        raise ParcelaError(
            ErrorKind.RATE_LIMITED,
            "too_many_attempts",
            f"Too many attempts; try again in {longest_s} seconds.",
            retry_after_s=longest_s,
        )
