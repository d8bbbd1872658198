"""Refused requests: the first of a kind within an hour is an entry of the audit trail, the others are only counted.

Strangers can be refused as often as they like. One row each would let them fill the database, and one transaction each
would hold its writer. So they are counted in memory, and the counts are written together every few seconds. A kill
loses the counts of those seconds, never the entry of the first.
"""

import ipaddress
from datetime import datetime

import structlog

from parcela.core.disks import is_storage_trouble
from parcela.core.origin import Origin
from parcela.repositories.refusals import RefusalKey
from parcela.repositories.uow import UnitOfWorkFactory

KINDS_OF_STRANGERS = 200
KINDS_OF_A_USER = 50
"""Kinds told apart within an hour; what comes after them is counted as one, ``others``."""
OTHERS = "others"
log = structlog.get_logger(__name__)


class Refusals:
    """The counts of this process."""

    def __init__(self, uows: UnitOfWorkFactory) -> None:
        """Take the store."""
        self._uows = uows
        self._hour: datetime | None = None
        self._seen: dict[int, set[RefusalKey]] = {}
        self._counts: dict[RefusalKey, tuple[int, datetime]] = {}

    def judge(self, origin: Origin | None, action: str, reason: str, noun_id: str = "") -> tuple[RefusalKey, bool]:
        """As what a refusal counts, and whether it should have an entry of its own: the first of its kind in this hour.

        Nothing is counted yet, because the transaction that writes the entry may be repeated.

        Args:
            origin: of the request; None for Parcela itself.
            action: as in the audit trail.
            reason: stable code of the answer.
            noun_id: what it was about, when that is one of few things.
        """
        hour = self._uows.clock().replace(minute=0, second=0, microsecond=0)
        if hour != self._hour:
            self._hour = hour
            self._seen.clear()
        actor_id = origin.user_id if origin else 0
        where = range_of(origin.address) if origin and not actor_id else ""
        key = RefusalKey(hour, actor_id, action[:160], reason[:64], where, noun_id[:64])
        seen = self._seen.get(actor_id, set())
        if key not in seen and len(seen) >= (KINDS_OF_A_USER if actor_id else KINDS_OF_STRANGERS):
            return RefusalKey(hour, actor_id, OTHERS, OTHERS), False
        return key, key not in seen

    def count(self, key: RefusalKey) -> None:
        """Count one more."""
        self._seen.setdefault(key.actor_id, set()).add(key)
        count, _ = self._counts.get(key, (0, key.hour))
        self._counts[key] = (count + 1, self._uows.clock())

    async def flush(self) -> int:
        """Write the counts; how many rows. Nothing happens when nothing was refused."""
        counts, self._counts = self._counts, {}
        if not counts:
            return 0
        try:
            async with self._uows.write() as uow:
                await uow.refusals.add(counts)
                await uow.commit()
        except Exception as exc:
            self._put_back(counts)
            if not is_storage_trouble(exc):  # that is logged once for all
                log.warning("audit.counts_later", rows=len(counts), reason=str(exc))
            raise
        return len(counts)

    def _put_back(self, counts: dict[RefusalKey, tuple[int, datetime]]) -> None:
        for key, (count, last_at) in counts.items():
            more, newer = self._counts.get(key, (0, last_at))
            self._counts[key] = (count + more, newer)


def range_of(address: str) -> str:
    """The range of addresses that one stranger has for the asking: IPv4 by /24, IPv6 by /48; "" when unknown."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    parsed = mapped or parsed
    return str(ipaddress.ip_network((parsed, 24 if parsed.version == 4 else 48), strict=False))
