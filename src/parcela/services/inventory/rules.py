"""Limits of what the inventory holds, and how it is noted who did what. Broken ones are all reported at once."""

import json
import re
from collections.abc import Callable, Mapping
from datetime import date
from enum import Enum
from typing import Any
from uuid import uuid4

from parcela.core.collation import composed
from parcela.core.errors import Problem, conflict, invalid
from parcela.core.machines import MachineStatus, MaintenanceKind, MaintenanceState
from parcela.models import Machine
from parcela.repositories.maintenance.store import Activity, whole_ms
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork
from parcela.services.access import Caller

CODE_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9._ -]*[A-Za-z0-9._-])?$"
MAX_CHARS: Mapping[str, int] = {
    "type": 64,
    "area": 100,
    "status_word": 64,
    "serial": 100,
    "notes": 4000,
    "company": 200,
    "technician": 200,
    "title": 200,
    "reason": 500,
}
MAX_CODE_CHARS = 64
MAX_CUSTOM_FIELDS = 50
MAX_CUSTOM_KEY_CHARS = 64
MAX_CUSTOM_BYTES = 16_384
MAX_COST_MINOR = 10**15
CURRENCY_PATTERN = r"^[A-Z]{3}$"
_REQUIRED = frozenset({"type", "title"})


def stored_code(code: str) -> str:
    """A machine's code as it is stored and compared."""
    return composed(code).strip().upper()


def today(uow: ReadUnitOfWork) -> date:
    """The day in the zone whose days count."""
    return uow.today()


def plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields with the values of enums, as rows have them."""
    return {name: value.value if isinstance(value, Enum) else value for name, value in fields.items()}


def check_inventory(code: str, fields: Mapping[str, Any]) -> None:
    """Check all fields that are to be stored; days are judged by ``plausible_days``, which knows machine and today.

    Raises:
        ParcelaError: kind ``invalid`` with this code, and one problem per field that is wrong.
    """
    problems = [Problem(name, text, f"bad_{name}") for name, value in fields.items() if (text := _fault(name, value))]
    if (fields.get("cost_minor") is None) != (not fields.get("currency")):
        text = "A cost needs a currency, and a currency needs a cost."
        problems.append(Problem("currency", text, "bad_currency"))
    if problems:
        raise invalid(code, " ".join(problem.what for problem in problems[:3]), *problems)


def _fault(name: str, value: Any) -> str:
    """What is wrong with a field; "" when nothing is."""
    if name == "code":
        fine = len(value) <= MAX_CODE_CHARS and re.fullmatch(CODE_PATTERN[1:-1], value, re.ASCII) is not None
        allowed = "letters a-z, digits, dot, hyphen, underscore and inner spaces, beginning with a letter or digit"
        return "" if fine else f"A code has 1 to {MAX_CODE_CHARS} characters: {allowed}."
    if name in MAX_CHARS:
        return _text_fault(name, value)
    if name in _ENUMS:
        values = [member.value for member in _ENUMS[name]]
        return "" if value in values else f"{name} is one of: {', '.join(values)}."
    check = _CHECKS.get(name)
    return check(value) if check else ""


def _text_fault(name: str, value: str) -> str:
    most, least = MAX_CHARS[name], int(name in _REQUIRED)
    if least <= len(value.strip()) and len(value) <= most and is_plain(value):
        return ""
    return f"{name} has {least} to {most} characters, and no NUL among them."


def is_plain(text: str) -> bool:
    """Whether every store can keep a text."""
    return "\x00" not in text and text.encode("utf-8", "replace").decode() == text


def _custom_fault(value: Mapping[str, Any]) -> str:
    for key, one in value.items():
        if not 0 < len(key) <= MAX_CUSTOM_KEY_CHARS or not is_plain(key):
            return f"Names of custom fields have 1 to {MAX_CUSTOM_KEY_CHARS} characters, and no NUL among them."
        if not isinstance(one, str | int | float | bool | None) or (isinstance(one, str) and not is_plain(one)):
            return "Values of custom fields are texts, numbers, true, false or null."
    if len(value) > MAX_CUSTOM_FIELDS or len(json.dumps(value).encode()) > MAX_CUSTOM_BYTES:
        return f"At most {MAX_CUSTOM_FIELDS} custom fields, and {MAX_CUSTOM_BYTES} bytes as JSON, are possible."
    return ""


def _cost_fault(value: int | None) -> str:
    fine = value is None or 0 <= value <= MAX_COST_MINOR
    return "" if fine else f"cost_minor is 0 to {MAX_COST_MINOR}, in the minor unit (cents) of the currency."


def _currency_fault(value: str) -> str:
    fine = not value or re.fullmatch(CURRENCY_PATTERN[1:-1], value, re.ASCII) is not None
    return "" if fine else "currency has three capital letters, such as EUR."


_ENUMS: Mapping[str, Any] = {"status": MachineStatus, "kind": MaintenanceKind, "state": MaintenanceState}
_CHECKS: Mapping[str, Callable[[Any], str]] = {
    "custom_fields": _custom_fault,
    "cost_minor": _cost_fault,
    "currency": _currency_fault,
}


def refuse_archived(machine: Machine) -> None:
    """Raise when a machine was archived: it is only for looking at then."""
    if machine.archived_at is not None:
        raise conflict("machine_archived", f"The machine {machine.code} is archived; restore it first.")


async def note(
    uow: UnitOfWork,
    caller: Caller,
    action: str,
    machine: Machine,
    *,
    record_id: str | None = None,
    owner_id: int | None = None,
    **facts: Any,
) -> None:
    """Write an event and a line of the activity log about a machine; ``owner_id`` may see the event too."""
    data = {"id": machine.id, "code": machine.code} | ({"record_id": record_id} if record_id else {}) | facts
    uow.add_event(action, actor_id=caller.user_id or None, owner_id=owner_id, data=data)
    entry = Activity(
        id=str(uuid4()),
        at=whole_ms(uow.clock()),
        action=action,
        machine_id=machine.id,
        record_id=record_id,
        actor_id=caller.user_id or None,
        actor=caller.username[:64],
        data=data,
    )
    await uow.activity.append([entry])
