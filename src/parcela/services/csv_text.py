"""CSV that a spreadsheet shows and never runs."""

import csv
import io
from collections.abc import Iterable

DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n")


def safe_cell(value: object) -> str:
    """A value as the text of a cell; what a spreadsheet would take for a formula gets an apostrophe in front."""
    if value is None:
        return ""
    text = str(value)
    plain_number = isinstance(value, int | float)
    return f"'{text}" if text.lstrip(" ").startswith(DANGEROUS) and not plain_number else text


def csv_line(values: Iterable[object]) -> str:
    """One line, with its end."""
    out = io.StringIO()
    csv.writer(out).writerow([safe_cell(value) for value in values])
    return out.getvalue()
