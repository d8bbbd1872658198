"""A report as a workbook: summary, machines, records, months. Runs in the rendering process only."""

import io
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal

from xlsxwriter import Workbook
from xlsxwriter.worksheet import Worksheet

from parcela.core.csv_text import inert
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

MAX_CELL_CHARS = 32_767
"""What a cell of a workbook holds."""
MAX_SHEET_NAME_CHARS = 31
WIDTHS = (12, 16, 16, 16, 22, 22, 14, 40, 16)


class _Book:
    """A workbook being written."""

    def __init__(self, buffer: io.BytesIO) -> None:
        # Our own texts and numbers only: nothing is guessed from what a text looks like.
        guesses = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
        self.workbook = Workbook(buffer, {"in_memory": True, **guesses})
        self._bold = self.workbook.add_format({"bold": True, "bg_color": "#E7EDF3", "bottom": 1, "text_wrap": True})
        self._heading = self.workbook.add_format({"bold": True, "font_size": 16})
        self._day = self.workbook.add_format({"num_format": "yyyy-mm-dd"})
        self._money = self.workbook.add_format({"num_format": "#,##0.00"})

    def sheet(self, name: str) -> Worksheet:
        return self.workbook.add_worksheet(name[:MAX_SHEET_NAME_CHARS])

    def heading(self, sheet: Worksheet, text: str) -> None:
        sheet.write_string(0, 0, inert(text), self._heading)

    def table(self, sheet: Worksheet, first: int, headings: Sequence[str], rows: Iterable[Sequence[Cell]]) -> int:
        """Write a table from a row on; the number of the row after it."""
        for column, text in enumerate(headings):
            sheet.write_string(first, column, text, self._bold)
        row = first
        for row, cells in enumerate(rows, first + 1):
            for column, cell in enumerate(cells):
                self.cell(sheet, row, column, cell)
        return row + 1

    def cell(self, sheet: Worksheet, row: int, column: int, cell: Cell) -> None:
        if isinstance(cell, str):
            sheet.write_string(row, column, inert(cell)[:MAX_CELL_CHARS])
        elif isinstance(cell, date):
            sheet.write_datetime(row, column, cell, self._day)
        elif isinstance(cell, Decimal):
            sheet.write_number(row, column, float(cell), self._money)
        elif cell is not None:
            sheet.write_number(row, column, cell)


def write(report: Report) -> bytes:
    """The file."""
    words, buffer = Words(report.locale), io.BytesIO()
    book = _Book(buffer)
    book.workbook.set_properties({"title": words("title"), "created": report.made_at.replace(tzinfo=None)})
    _summary(book, words, report)
    tables = (
        ("machines", machine_headings(words), [machine_cells(words, row) for row in report.machines]),
        ("records", record_headings(words), [record_cells(words, entry) for entry in report.entries]),
        ("months", month_headings(words), list(month_rows(report))),
    )
    for key, headings, rows in tables:
        sheet = book.sheet(words(key))
        book.table(sheet, 0, headings, rows)
        sheet.freeze_panes(1, 0)
        sheet.autofilter(0, 0, max(1, len(rows)), len(headings) - 1)
        for column in range(len(headings)):
            sheet.set_column(column, column, WIDTHS[column])
    book.workbook.close()
    return buffer.getvalue()


def _summary(book: _Book, words: Words, report: Report) -> None:
    sheet = book.sheet(words("summary"))
    sheet.set_column(0, 2, 28)
    book.heading(sheet, title(words, report))
    facts: list[Sequence[Cell]] = [
        (words("made"), report.made_text),
        *filters(words, report),
        (words("last_maintenance"), report.last_maintenance),
        (words("days_between_failures"), report.days_between_failures),
    ]
    for row, cells in enumerate(facts, 1):
        for column, cell in enumerate(cells):
            book.cell(sheet, row, column, cell)
    headings = ["", words("records"), words("cost")]
    book.table(sheet, len(facts) + 2, headings, list(summary_rows(words, report)))
