"""CSV that a spreadsheet shows and never runs."""

import csv
import io
from collections.abc import Iterable

FORMULA_STARTS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What makes a spreadsheet read a cell as a formula; the wide forms do so in some languages."""
CONTROL_STARTS = ("\t", "\r", "\n")


def inert(text: str) -> str:
    """A text that no spreadsheet takes for a formula: with an apostrophe in front where it could be one.

    Spaces before the sign do not help whoever wrote it: some programs trim cells.
    """
    if text.startswith(CONTROL_STARTS) or text.lstrip().startswith(FORMULA_STARTS):
        return f"'{text}"
    return text


def safe_cell(value: object) -> str:
    """A value as the text of a cell; numbers stay bare."""
    if value is None:
        return ""
    return str(value) if isinstance(value, int | float) else inert(str(value))


def csv_line(values: Iterable[object]) -> str:
    """One line, with its end."""
    out = io.StringIO()
    csv.writer(out).writerow([safe_cell(value) for value in values])
    return out.getvalue()
