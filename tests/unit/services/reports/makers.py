"""Reports made up for tests."""

from datetime import UTC, date, datetime
from typing import Any

from parcela.services.reports.figures import build_report
from parcela.services.reports.report import Entry, MachineFacts, Money, Report, Selection

MADE_AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def machine(code: str, **facts: Any) -> MachineFacts:
    return MachineFacts(**{"code": code, "kind": "PC", "area": "Lab 1", "status": "operational"} | facts)


def entry(code: str, day: str, kind: str = "preventive", **facts: Any) -> Entry:
    plain: dict[str, Any] = {"state": "done", "company": "ACME", "technician": "Rosa", "cost": None, "notes": ""}
    return Entry(machine_code=code, day=date.fromisoformat(day), kind=kind, **(plain | facts))


def report(*entries: Entry, locale: str = "en", selection: Selection | None = None, **machines: MachineFacts) -> Report:
    """A report of some entries; machines nobody described get plain facts."""
    known = {one.machine_code: machine(one.machine_code) for one in entries} | machines
    return build_report(known, entries, selection or Selection(), locale=locale, made_at=MADE_AT)


def sample(locale: str = "en", notes: str = "Cleaned, fan replaced") -> Report:
    """A year of five machines."""
    entries = []
    for number in range(40):
        kind = "corrective" if number % 3 == 0 else "preventive"
        facts = {"cost": Money("USD" if number % 4 == 3 else "PEN", number * 711 + 1250), "notes": notes}
        day = f"{2025 + number // 30}-{number % 12 + 1:02d}-{number % 27 + 1:02d}"
        entries.append(entry(f"PC-{number % 5:03d}", day, kind, **facts))
    return report(*entries, locale=locale)
