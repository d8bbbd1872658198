"""A report's records as CSV (RFC 4180, UTF-8 with a byte order mark, without which Excel garbles accents)."""

import csv
import io

from parcela.core.csv_text import inert
from parcela.services.reports.report import Report
from parcela.services.reports.tables import record_cells, record_headings
from parcela.services.reports.texts import Words


def write(report: Report) -> bytes:
    """The file. Numbers stay bare; texts that could be formulas get an apostrophe."""
    words = Words(report.locale)
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(record_headings(words))
    for entry in report.entries:
        cells = record_cells(words, entry)
        writer.writerow([inert(cell) if isinstance(cell, str) else cell for cell in cells])
    return buffer.getvalue().encode("utf-8-sig")
