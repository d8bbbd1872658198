"""The open connections of this process: how many there may be, and which of them makes room for another one.

Opening a connection and holding it without a word costs a client nothing. So one that has sent no complete request is
worth the least, and one that brings a body slowly the next: when a ceiling is reached, they are closed, oldest first,
and the new one is let in. Only where everything else is at work is the new one refused; and a part in reserve is kept
for addresses that hold few.
"""

import heapq
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address, ip_network
from math import inf
from typing import Protocol, Self

from parcela.core.open_files import FEW, open_files
from parcela.core.settings import Settings
from parcela.repositories.uow import ReadUnitOfWork
from parcela.services.identity.login_limits.throttles import address_key
from parcela.services.observability.health import Check

MOST_BY_DEFAULT = 8192
OWN_FILES = 64
"""At least so many files are kept for the database, consoles and what else is opened."""
FEW_CONNECTIONS = 8
PLANNED = 512
"""So many that may be closed are chosen at a time: looking at all of them for each new one would be the next attack."""
PLAN_AGAIN_S, WORTH_IT = 0.1, 16
"""Chosen again when so much later, or when each of those chosen was found by looking at no more than so many."""
YOUNG_S = 0.25
"""One that was opened so recently is as good as a body that is coming: its request may be on the way. Else, among
connections that all have brought something, the next person's would be closed before it is heard."""
WAITING, UNFINISHED, AT_WORK = range(3)
"""What a connection is worth: no complete request; a body that is coming; not to be closed."""


class Connection(Protocol):
    """One connection, as the server's protocol class keeps it."""

    address: str
    """Its counter: the address, or the network of an IPv6 one."""
    since: float
    """When it began to wait, in seconds of the event loop's clock; 0 when nobody has looked since."""

    def worth(self) -> int:
        """``WAITING``, ``UNFINISHED`` or ``AT_WORK``."""
        ...

    def evict(self) -> None:
        """Close it, for another one."""
        ...

    def check(self, now: float) -> str:
        """Close it when it is too slow; the reason, or "" when it stays. ``now`` is the event loop's clock."""
        ...


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many there may be.

    Attributes:
        total: of all addresses; the reserve comes on top of it.
        reserve: further ones, for addresses with fewer than eight.
        per_address: of one address; 0 for no limit.
        exempt: addresses and networks whose connections are those of many, in the form of ``ipaddress``.
    """

    total: int
    reserve: int
    per_address: int
    exempt: Sequence[str] = ()

    @classmethod
    def of(cls, settings: Settings, files: int) -> Self:
        """What the settings say, with the defaults filled in, for a process that may open ``files`` files."""
        usable = max(OWN_FILES, files - max(OWN_FILES, files // 8))
        most = min(settings.max_connections or MOST_BY_DEFAULT, usable)
        reserve = most // 16
        total = most - reserve
        per_address = settings.max_connections_per_address
        return cls(total, reserve, min(per_address, max(1, total // 4)) if per_address else 0, settings.trusted_proxies)


class _Group:
    """Connections of which one may have to go: all of them, or those of an address."""

    __slots__ = ("_found", "_plan", "_planned_at", "is_exempt", "members")

    def __init__(self, *, is_exempt: bool = False) -> None:
        self.is_exempt = is_exempt
        self.members: dict[Connection, None] = {}
        self._plan: list[tuple[int, Connection]] = []
        self._found = 0  # how many of the plan have been of use
        self._planned_at = float("-inf")

    def victim(self, now: float, size_of: Callable[[Connection], int]) -> Connection | None:
        """The connection that is worth least; None when all are at work. ``size_of``: how many its address has."""
        while True:
            while self._plan:
                worth, found = self._plan.pop()
                if found in self.members and found.worth() == worth:
                    self._found += 1
                    return found
            if self._found * WORTH_IT < len(self.members) and now - self._planned_at < PLAN_AGAIN_S:
                return None
            self._make_plan(now, size_of)
            if not self._plan:
                return None

    def _make_plan(self, now: float, size_of: Callable[[Connection], int]) -> None:
        worths = ((age, one, one.worth()) for age, one in enumerate(self.members))
        ranks = (
            (max(worth, UNFINISHED) if now - one.since < YOUNG_S else worth, age, worth, one)
            for age, one, worth in worths
            if worth != AT_WORK
        )
        ranked = ((rank, -size_of(one) * rank, one.since or inf, age, worth, one) for rank, age, worth, one in ranks)
        chosen = heapq.nsmallest(PLANNED, ranked)
        self._plan = [(worth, one) for *_, worth, one in reversed(chosen)]
        self._found, self._planned_at = 0, now


class ConnectionTable:
    """Counts connections, makes room and has slow ones closed; all methods are for the event loop's thread."""

    def __init__(self, limits: ConnectionLimits, now: Callable[[], float] = time.monotonic) -> None:
        """Begin without connections; ``now`` counts seconds."""
        self.limits = limits
        self.refused: Counter[str] = Counter()
        self.closed: Counter[str] = Counter()
        self._all = _Group()
        self._groups: dict[str, _Group] = {}
        self._networks = [ip_network(part, strict=False) for part in limits.exempt]
        self._now = now
        self._key_of = lru_cache(4096)(address_key)

    @property
    def open(self) -> int:
        """How many there are."""
        return len(self._all.members)

    @property
    def addresses(self) -> int:
        """From how many addresses they come."""
        return len(self._groups)

    def enter(self, connection: Connection, address: str) -> str:
        """Count a new connection, and make room for it.

        Args:
            connection: the new one; its ``address`` is set.
            address: where it comes from; "" where that is unknown.

        Returns:
            "" when it is let in, else which ceiling was reached: ``address`` or ``total``.
        """
        key = connection.address = self._key_of(address)
        group = self._groups.get(key) or _Group(is_exempt=self._is_proxy(address))
        if reason := self._ceiling(group):
            self.refused[reason] += 1
            return reason
        self._groups[key] = group  # the last of its address may just have been closed
        group.members[connection] = self._all.members[connection] = None
        return ""

    def _ceiling(self, group: _Group) -> str:
        """The ceiling that keeps one more of an address out."""
        limits, mine = self.limits, len(group.members)
        if limits.per_address and mine >= limits.per_address and not group.is_exempt:
            return "" if self._make_room(group) else "address"
        if self.open < limits.total or self._make_room(self._all):
            return ""
        few = mine < FEW_CONNECTIONS or group.is_exempt
        return "" if few and self.open < limits.total + limits.reserve else "total"

    def leave(self, connection: Connection) -> None:
        """Forget a connection. It may be said twice."""
        if connection not in self._all.members:
            return
        del self._all.members[connection]
        group = self._groups[connection.address]
        del group.members[connection]
        if not group.members:
            del self._groups[connection.address]

    def hand_over(self, old: Connection, new: Connection) -> None:
        """A connection goes on under another protocol."""
        if old not in self._all.members:
            return
        new.address = old.address
        self._all.members[new] = self._groups[old.address].members[new] = None
        self.leave(old)

    def check(self, now: float) -> None:
        """Have every connection that is too slow closed; ``now`` is the event loop's clock."""
        for connection in list(self._all.members):
            if reason := connection.check(now):
                self.closed[reason] += 1

    async def health(self, _uow: ReadUnitOfWork) -> Check:
        """Whether there can be enough of them."""
        limits = self.limits
        if open_files() < FEW:
            text = f"this process may open {open_files()} files only; raise its limit (LimitNOFILE, ulimit -n) to {FEW}"
            return Check("connections", "low", f"{text}; until then {limits.total} connections fit")
        return Check("connections", "ok", f"{self.open} of {limits.total} open")

    def _make_room(self, group: _Group) -> bool:
        victim = group.victim(self._now(), self._size_of)
        if victim is None:
            return False
        self.closed["evicted"] += 1
        self.leave(victim)
        victim.evict()
        return True

    def _size_of(self, connection: Connection) -> int:
        """Connections of its address; 0 for those of many people."""
        group = self._groups[connection.address]
        return 0 if group.is_exempt else len(group.members)

    def _is_proxy(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        parsed = getattr(parsed, "ipv4_mapped", None) or parsed
        return any(parsed in network for network in self._networks)
