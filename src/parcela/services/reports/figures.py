"""From records to figures: totals, months, time between failures. Pure: no clock, no store."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import pairwise
from statistics import fmean

from parcela.services.reports.report import (
    Entry,
    KindTotal,
    MachineFacts,
    MachineSummary,
    Money,
    MonthCount,
    Report,
    Selection,
)

PREVENTIVE, CORRECTIVE = "preventive", "corrective"
KINDS = (PREVENTIVE, CORRECTIVE)
DONE = "done"


def build_report(
    machines: Mapping[str, MachineFacts],
    entries: Iterable[Entry],
    selection: Selection,
    *,
    locale: str,
    made_at: datetime,
) -> Report:
    """Work out a report from the records that were selected.

    Args:
        machines: facts by code; of every machine that has a record, and of any other that shall be shown.
        entries: the records, in any order.
        selection: what was asked for, to be told in the report.
        locale: ``en`` or ``es``.
        made_at: when, in the zone whose days count.
    """
    newest_first = sorted(entries, key=lambda entry: (-entry.day.toordinal(), entry.machine_code))
    by_machine: dict[str, list[Entry]] = {code: [] for code in sorted(machines)}
    for entry in newest_first:
        by_machine[entry.machine_code].append(entry)
    gaps = [gap for found in by_machine.values() for gap in _gaps(found)]
    return Report(
        locale=locale,
        made_at=made_at.astimezone(UTC),
        made_here=made_at,
        selection=selection,
        machines=tuple(_summary(machines[code], found) for code, found in by_machine.items()),
        entries=tuple(newest_first),
        totals=tuple(_total(kind, newest_first) for kind in KINDS),
        costs=_costs(newest_first),
        months=_months(newest_first),
        last_maintenance=_last(newest_first),
        days_between_failures=_mean(gaps),
    )


def _summary(machine: MachineFacts, entries: Sequence[Entry]) -> MachineSummary:
    kinds = Counter(entry.kind for entry in entries)
    return MachineSummary(
        machine=machine,
        preventive=kinds[PREVENTIVE],
        corrective=kinds[CORRECTIVE],
        costs=_costs(entries),
        last_maintenance=_last(entries),
        days_between_failures=_mean(_gaps(entries)),
    )


def _total(kind: str, entries: Sequence[Entry]) -> KindTotal:
    mine = [entry for entry in entries if entry.kind == kind]
    return KindTotal(kind, len(mine), _costs(mine))


def _costs(entries: Iterable[Entry]) -> tuple[Money, ...]:
    sums: Counter[str] = Counter()
    for entry in entries:
        if entry.cost is not None:
            sums[entry.cost.currency] += entry.cost.minor
    return tuple(Money(currency, sums[currency]) for currency in sorted(sums))


def _last(entries: Iterable[Entry]) -> date | None:
    return max((entry.day for entry in entries if entry.state == DONE), default=None)


def _gaps(entries: Iterable[Entry]) -> list[int]:
    """Days from each failure of one machine to its next."""
    days = sorted(entry.day for entry in entries if entry.kind == CORRECTIVE)
    return [(later - earlier).days for earlier, later in pairwise(days)]


def _mean(days: Sequence[int]) -> float | None:
    return round(fmean(days), 1) if days else None


def _months(entries: Iterable[Entry]) -> tuple[MonthCount, ...]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for entry in entries:
        counts[f"{entry.day:%Y-%m}"][entry.kind] += 1
    return tuple(MonthCount(month, counts[month][PREVENTIVE], counts[month][CORRECTIVE]) for month in sorted(counts))
