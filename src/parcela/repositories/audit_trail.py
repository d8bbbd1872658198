"""From the events of a unit of work to its entries in the audit trail, so that no service has to think of it.

Every event is an action of somebody, but for those in ``CONSEQUENCES``: they only follow from an action that has an
entry of its own. A request that wrote something and said nothing leaves an entry named after its route, unless it wrote
to tables of ``BOOKKEEPING`` only.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Delete, Insert, Update, event, inspect
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import ORMExecuteState, Session

from parcela.core.origin import Origin
from parcela.models import AuditOutcome
from parcela.repositories.events import EventRecord

CONSEQUENCES = frozenset(
    {
        "auth.password_reset_requested",  # noted by its service where there is an account
        "host.reachable",
        "host.unreachable",
        "operation.cancelled",
        "operation.failed",
        "operation.started",
        "operation.step",
        "operation.stuck",
        "operation.succeeded",
        "operation.undoing",
        "slice.state",
        "vm.state",
    }
)
BOOKKEEPING = frozenset(
    {
        "audit_refusals",
        "console_tickets",
        "counters",
        "events",
        "idempotency_keys",
        "known_addresses",
        "login_throttles",
        "mail_outbox",
        "password_resets",
    }
)
"""Tables that are no action by themselves: what is done with them has an event or a note of its own where it is one.
Strangers write to them with every failed attempt; that is counted (``services/observability/refusals.py``), not stored
one by one."""
SECRET_WORDS = ("password", "secret", "token", "ticket", "hash", "salt", "cookie")
"""A fact whose name has one of these stays out, unless it is an id."""
ID_FACTS: Mapping[str, Sequence[str]] = {
    "auth": ("user_id",),
    "maintenance": ("record_id", "plan_id"),
    "quota": ("user_id", "project_id"),
}
"""Where the id of the thing is told, for nouns whose events do not say ``<noun>_id`` or ``id``."""
NAME_FACTS: Mapping[str, tuple[str, ...]] = {"host": ("host",), "machine": ("code",), "maintenance": ("code",)}
"""What the thing is called, before anything else that has a name in the event."""
MAX_FACT_CHARS = 500
SYSTEM_NAME = "parcela"


class Changes:
    """Watches one session: which tables were written, and which columns of which rows changed. Never the values."""

    def __init__(self, session: AsyncSession) -> None:
        """Begin to watch."""
        self.tables: set[str] = set()
        self.columns: set[str] = set()
        event.listen(session.sync_session, "before_flush", self._on_flush)
        event.listen(session.sync_session, "do_orm_execute", self._on_statement)

    def clear(self) -> None:
        """Forget what was seen: it is committed or rolled back."""
        self.tables.clear()
        self.columns.clear()

    def _on_flush(self, session: Session, _context: object, _instances: object) -> None:
        for row in (*session.new, *session.deleted):
            self.tables.add(row.__tablename__)
        for row in session.dirty:
            changed = {attribute.key for attribute in inspect(row).attrs if attribute.history.has_changes()}
            if changed:
                self.tables.add(row.__tablename__)
                self.columns |= {f"{row.__tablename__}.{name}" for name in changed}

    def _on_statement(self, state: ORMExecuteState) -> None:
        statement = state.statement
        if isinstance(statement, Insert | Update | Delete):
            self.tables.add(str(getattr(statement.table, "name", "")))


def entries_of(
    records: Sequence[EventRecord],
    notes: Sequence[dict[str, Any]],
    changes: Changes,
    origin: Origin | None,
    at: datetime,
) -> list[dict[str, Any]]:
    """Entries of a unit of work: one per action. ``notes`` are those that a service wrote itself."""
    entries = [{**_blank(origin, at), **note} for note in notes]
    entries += [_of_event(record, changes, origin) for record in records if record.type not in CONSEQUENCES]
    if not entries and origin is not None and origin.is_here and changes.tables - BOOKKEEPING:
        action, ids = origin.describe()
        facts = {"tables": sorted(changes.tables), "changed": sorted(changes.columns)}
        entries.append({**_blank(origin, at), "action": action[:160], "noun_id": last_id(ids), "facts": facts})
    return entries


def _of_event(record: EventRecord, changes: Changes, origin: Origin | None) -> dict[str, Any]:
    action, data = record.type, record.data
    if action == "operation.created" and data.get("kind"):
        action = str(data["kind"])
    entry = _blank(origin, record.at) | {"action": action, "noun": action.partition(".")[0][:32]}
    if not entry["actor_id"] and record.actor_id:
        # Nobody is logged in while they log in: then the event knows better.
        entry |= {"actor_id": record.actor_id, "actor_name": str(data.get("username", ""))[:64]}
    noun = str(entry["noun"])
    # Its own id goes first: an event of a host whose machine is repaired has the machine's as ``id``.
    ids = [data.get(f"{noun}_id"), getattr(record, f"{noun}_id", None), data.get("id")]
    if noun in ID_FACTS:
        ids = [data.get(key) for key in ID_FACTS[noun]]
    entry["noun_id"] = str(next((one for one in ids if one is not None), ""))[:64]
    names = (data.get(key) for key in (*NAME_FACTS.get(noun, ()), "name", "username", "role", "host"))
    entry["noun_name"] = next((str(name)[:255] for name in names if name), "")
    about = {
        key: getattr(record, key)
        for key in ("slice_id", "vm_id", "operation_id", "owner_id")
        if getattr(record, key) is not None
    }
    facts = about | _harmless(data)
    if changes.columns:
        facts["changed"] = sorted({*changes.columns, *_texts(facts.get("changed"))})
    entry["facts"] = facts
    return entry


def _blank(origin: Origin | None, at: datetime) -> dict[str, Any]:
    """An entry that says who and from where, and not yet what."""
    nobody = SYSTEM_NAME if origin is None else ""
    return {
        "at": at,
        "action": "",
        "outcome": AuditOutcome.OK.value,
        "actor_id": (origin.user_id if origin else 0) or None,
        "actor_name": (origin.username if origin else nobody)[:64],
        "actor_role": (origin.role if origin else "system")[:64],
        "token_id": (origin.token_id if origin else 0) or None,
        "noun": "",
        "noun_id": "",
        "noun_name": "",
        "address": (origin.address if origin else "")[:64],
        "user_agent": (origin.user_agent if origin else "")[:255],
        "request_id": (origin.request_id if origin else "")[:64],
        "facts": {},
    }


def _harmless(data: Mapping[str, Any]) -> dict[str, Any]:
    """Facts of an event without what might be a secret, and not longer than an entry should be."""
    kept: dict[str, Any] = {}
    for key, value in data.items():
        if any(word in key for word in SECRET_WORDS) and not key.endswith("_id"):
            continue
        kept[key] = value[:MAX_FACT_CHARS] if isinstance(value, str) else value
    return kept


def _texts(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, Iterable) and not isinstance(value, str) else []


def last_id(ids: Mapping[str, Any]) -> str:
    """The innermost id of a path."""
    return str(next(reversed(list(ids.values())), ""))[:64] if ids else ""
