"""The tables of a report as headings and cells, for CSV, workbooks and PDF alike."""

from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal

from parcela.services.reports.report import Entry, MachineSummary, Money, Report
from parcela.services.reports.texts import Words

Cell = str | int | float | Decimal | date | None


def money(costs: Sequence[Money]) -> str:
    """Sums, one per currency."""
    return " + ".join(str(cost) for cost in costs)


def record_headings(words: Words) -> list[str]:
    """Headings of the records."""
    keys = ("day", "machine", "kind", "state", "company", "technician", "cost", "currency", "notes")
    return [words(key) for key in keys]


def record_cells(words: Words, entry: Entry) -> list[Cell]:
    """One record."""
    kind, state = words.word("kind", entry.kind), words.word("state", entry.state)
    cost, currency = (entry.cost.amount, entry.cost.currency) if entry.cost else (None, None)
    return [entry.day, entry.machine_code, kind, state, entry.company, entry.technician, cost, currency, entry.notes]


def machine_headings(words: Words) -> list[str]:
    """Headings of the machines."""
    kinds = [words.word("kind", "preventive"), words.word("kind", "corrective")]
    last = [words("cost"), words("last"), words("between_failures")]
    return [words("machine"), words("type"), words("area"), words("status"), *kinds, *last]


def machine_cells(words: Words, row: MachineSummary) -> list[Cell]:
    """One machine."""
    facts = row.machine
    status = words.word("machine", facts.status)
    figures: list[Cell] = [
        row.preventive,
        row.corrective,
        money(row.costs),
        row.last_maintenance,
        row.days_between_failures,
    ]
    return [facts.code, facts.kind, facts.area, status, *figures]


def month_headings(words: Words) -> list[str]:
    """Headings of the months."""
    return [words("month"), words.word("kind", "preventive"), words.word("kind", "corrective"), words("total")]


def month_rows(report: Report) -> Iterator[list[Cell]]:
    """The months."""
    for month in report.months:
        yield [month.month, month.preventive, month.corrective, month.preventive + month.corrective]


def summary_rows(words: Words, report: Report) -> Iterator[tuple[str, Cell, Cell]]:
    """What the whole report comes to: what, how many, what it cost."""
    for total in report.totals:
        yield words.word("kind", total.kind), total.records, money(total.costs)
    yield words("total"), report.records, money(report.costs)


def title(words: Words, report: Report) -> str:
    """The title: what it is about."""
    return f"{words('title')}: {report.selection.machine_code or words('all_machines')}"


def filters(words: Words, report: Report) -> Sequence[tuple[str, str]]:
    """What the report was limited to, but for its machine, which the title names."""
    chosen = report.selection
    kind = words.word("kind", chosen.kind) if chosen.kind else None
    days = [day.isoformat() if day else None for day in (chosen.since, chosen.until)]
    pairs = zip(
        ("area", "type", "kind", "since", "until"), (chosen.area, chosen.machine_kind, kind, *days), strict=True
    )
    return [(words(key), value) for key, value in pairs if value is not None]
