"""Records and activities for the contract tests."""

import dataclasses
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from parcela.core.machines import MaintenanceKind, MaintenanceState
from parcela.repositories.maintenance.store import Activity, MaintenanceRecord

NOON = datetime(2030, 5, 17, 12, 0, 0, 123000, tzinfo=UTC)


def an_id(number: int) -> str:
    """A UUID that sorts like its number."""
    return str(UUID(int=number))


def record(number: int = 1, **facts: Any) -> MaintenanceRecord:
    """A record that is done, with every field set."""
    plain = MaintenanceRecord(
        id=an_id(number),
        machine_id=7,
        kind=MaintenanceKind.PREVENTIVE,
        state=MaintenanceState.DONE,
        performed_on=date(2030, 5, 17),
        company="Reparaciones Ñandú",
        technician="María Pérez",
        notes='Cleaned the fans; 100% of "them" changed_over.\nSecond line ☂ 🔧',
        cost_minor=10**15,
        currency="EUR",
        plan_id=3,
        author_id=2,
        author="alice",
        begun_at=NOON,
        finished_at=NOON,
        created_at=NOON,
        updated_at=NOON,
    )
    return dataclasses.replace(plain, **facts)


def bare(number: int = 1) -> MaintenanceRecord:
    """A record with as little as possible."""
    return MaintenanceRecord(
        id=an_id(number),
        machine_id=2**40,
        kind=MaintenanceKind.CORRECTIVE,
        state=MaintenanceState.OPEN,
        performed_on=date(1999, 12, 31),
        created_at=NOON,
        updated_at=NOON,
    )


def activity(number: int = 1, **facts: Any) -> Activity:
    """An entry."""
    plain = Activity(
        id=an_id(number),
        at=NOON,
        action="machine.changed",
        machine_id=7,
        record_id=an_id(99),
        actor_id=2,
        actor="alice",
        data={"fields": ["area", "notes"], "status": None, "nested": {"Ñ": 1.5, "yes": True}},
    )
    return dataclasses.replace(plain, **facts)
