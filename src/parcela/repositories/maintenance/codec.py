"""Records and activities as JSON objects, one line each, the same for every store: for moving and comparing them."""

import base64
import binascii
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from parcela.core.errors import ParcelaError, Problem, invalid
from parcela.core.machines import MaintenanceKind, MaintenanceState
from parcela.repositories.maintenance.store import Activity, MaintenanceRecord

_DATES = frozenset({"performed_on"})
_TIMES = frozenset({"begun_at", "finished_at", "created_at", "updated_at", "at"})


@dataclass(frozen=True, slots=True)
class Checksum:
    """How many there are, and SHA-256 over their lines in the order of their ids."""

    count: int
    sha256: str


def to_document(item: MaintenanceRecord | Activity) -> dict[str, Any]:
    """JSON types only: dates as ``YYYY-MM-DD``, times as ``YYYY-MM-DDTHH:MM:SS.mmmZ``."""
    return {field.name: plain(getattr(item, field.name)) for field in fields(item)}


def plain(value: Any) -> Any:
    """A value as documents have it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, MaintenanceKind | MaintenanceState):
        return value.value
    return dict(value) if isinstance(value, Mapping) else value


def record_from_document(document: Mapping[str, Any]) -> MaintenanceRecord:
    """The record of ``to_document``; other keys are ignored."""
    facts = _typed(document, MaintenanceRecord)
    kind, state = MaintenanceKind(facts.pop("kind")), MaintenanceState(facts.pop("state"))
    return MaintenanceRecord(kind=kind, state=state, **facts)


def activity_from_document(document: Mapping[str, Any]) -> Activity:
    """The activity of ``to_document``; other keys are ignored."""
    return Activity(**_typed(document, Activity))


def _typed(document: Mapping[str, Any], kind: type[Any]) -> dict[str, Any]:
    facts = {field.name: document[field.name] for field in fields(kind)}
    for name, value in facts.items():
        if name in _DATES:
            facts[name] = date.fromisoformat(value)
        elif name in _TIMES and value is not None:
            facts[name] = datetime.fromisoformat(value)
    return facts


def to_line(item: MaintenanceRecord | Activity) -> bytes:
    """One line of canonical JSON, with its end of line: equal items give equal bytes, whatever store they were in."""
    text = json.dumps(to_document(item), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return text.encode() + b"\n"


async def checksum(items: AsyncIterator[MaintenanceRecord] | AsyncIterator[Activity]) -> Checksum:
    """Checksum of an export."""
    digest, count = hashlib.sha256(), 0
    async for item in items:
        digest.update(to_line(item))
        count += 1
    return Checksum(count, digest.hexdigest())


def encode_cursor(list_name: str, key: date | datetime, item_id: str) -> str:
    """A cursor that points behind an item; ``list_name`` says of which list and order."""
    raw = json.dumps([list_name, plain(key), item_id])
    return base64.urlsafe_b64encode(raw.encode()).decode().rstrip("=")


def decode_cursor(cursor: str, list_name: str, *, timed: bool) -> tuple[Any, str]:
    """(date or time, id) of a cursor of this list; anybody can forge one, so everything is checked.

    Raises:
        ParcelaError: ``invalid`` ``bad_cursor``.
    """
    try:
        name, key, item_id = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        value = datetime.fromisoformat(key) if timed else date.fromisoformat(key)
        if name != list_name or str(UUID(item_id)) != item_id or (isinstance(value, datetime) and not value.tzinfo):
            raise ValueError(cursor)
    except (ValueError, TypeError, AttributeError, binascii.Error, RecursionError, OverflowError) as exc:
        raise _bad_cursor() from exc
    return value, item_id


def _bad_cursor() -> ParcelaError:
    text = "The cursor is not one that this list gave for this order; begin without one."
    return invalid("bad_cursor", text, Problem("query.cursor", text, "bad_cursor"))
