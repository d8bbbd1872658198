"""A report as a PDF: typst sets it, matplotlib draws its plots. Runs in the rendering process only.

Texts of people go to typst as JSON in ``sys.inputs``, and ``report.typ`` shows them as strings. Its root is the folder
of ``report.typ``, and the fonts are matplotlib's and typst's own, so nothing of the machine is read.
"""

import json
import re
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import matplotlib as mpl
import typst

from parcela.services.reports import plots
from parcela.services.reports.report import Report
from parcela.services.reports.tables import (
    Cell,
    filters,
    machine_cells,
    machine_headings,
    month_headings,
    month_rows,
    record_cells,
    record_headings,
    summary_rows,
    title,
)
from parcela.services.reports.texts import Words

LAYOUT = Path(__file__).with_name("report.typ")
MAX_RECORDS = 1000
"""Records in a PDF: some 40 pages. Nobody reads more of them on paper, and typst would take long."""
MAX_MACHINES = 250
MAX_NOTES_CHARS = 600
LONG_WORD = re.compile(r"\S{10}(?=\S{3})")
BREAK = "\u200b"


def write(report: Report) -> bytes:
    """The file."""
    return compile_pdf(document(report))


def compile_pdf(data: dict[str, Any]) -> bytes:
    """Set prepared data."""
    made: bytes = typst.compile(
        str(LAYOUT),
        root=str(LAYOUT.parent),
        format="pdf",
        font_paths=[str(Path(mpl.get_data_path()) / "fonts" / "ttf")],
        ignore_system_fonts=True,
        sys_inputs={"data": json.dumps(data)},
    )
    return made


def document(report: Report) -> dict[str, Any]:
    """What ``report.typ`` shows: texts, tables of texts and plots."""
    words = Words(report.locale)
    made = report.made_text
    limits = "; ".join(f"{name}: {value}" for name, value in filters(words, report))
    return {
        "locale": words.locale,
        "title": title(words, report),
        "page": words("page"),
        "footer": f"Parcela · {made}",
        "facts": [
            [words("made"), made],
            [words("filters"), limits or words("no_filters")],
            [words("last_maintenance"), _text(report.last_maintenance) or words("none")],
            [words("days_between_failures"), _text(report.days_between_failures) or words("none")],
        ],
        "summary": {
            "heading": words("summary"),
            "head": ["", words("records"), words("cost")],
            "rows": _texts(list(summary_rows(words, report))),
        },
        "plots": _plots(words, report),
        "tables": [table for table in _tables(words, report) if table["rows"]],
    }


def _plots(words: Words, report: Report) -> list[dict[str, str]]:
    drawn = [(words("per_month"), plots.per_month(words, report))]
    if currency := plots.main_currency(report):
        heading = words("cost_by_machine", currency=currency)
        drawn.append((heading, plots.cost_by_machine(report, currency)))
    return [{"heading": heading, "svg": svg} for heading, svg in drawn if svg]


def _tables(words: Words, report: Report) -> list[dict[str, Any]]:
    machines, entries = report.machines[:MAX_MACHINES], report.entries[:MAX_RECORDS]
    return [
        {
            "heading": words("machines"),
            "note": _cut(words, "cut_machines", len(machines), len(report.machines)),
            "head": machine_headings(words),
            "rows": _texts([machine_cells(words, row) for row in machines]),
            "widths": [2.2, 1.6, 2, 1.9, 1.8, 1.8, 2.3, 1.8, 1.6],
            "right": [4, 5, 6, 8],
        },
        {
            "heading": words("months"),
            "note": "",
            "head": month_headings(words),
            "rows": _texts(list(month_rows(report))),
            "widths": [1, 1, 1, 1],
            "right": [1, 2, 3],
        },
        {
            "heading": words("records"),
            "note": _cut(words, "cut", len(entries), report.records),
            "head": record_headings(words),
            "rows": _texts([record_cells(words, entry) for entry in entries]),
            "widths": [1.7, 1.7, 1.7, 1.5, 1.8, 1.8, 1.5, 1.3, 3.5],
            "right": [6],
        },
    ]


def _cut(words: Words, key: str, shown: int, of_all: int) -> str:
    return words(key, shown=shown, all=of_all) if shown < of_all else ""


def _texts(rows: Sequence[Sequence[Cell]]) -> list[list[str]]:
    return [[_text(cell) for cell in row] for row in rows]


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, Decimal):
        return f"{cell:,.2f}"
    if isinstance(cell, date):
        return cell.isoformat()
    text = str(cell)
    return _breakable(text if len(text) <= MAX_NOTES_CHARS else f"{text[: MAX_NOTES_CHARS - 1]}…")


def _breakable(text: str) -> str:
    """With invisible places to break words that are wider than a column."""
    return LONG_WORD.sub(lambda match: f"{match[0]}{BREAK}", text)
