"""What commands print: one JSON document, or tables for people. Results go to stdout, all else to stderr."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from parcela.cli.exits import CliError

Row = Mapping[str, Any]
Column = tuple[str, str | Callable[[Row], object]]
"""Heading, and the field or a function of the row."""
WIDE = 1000
"""Columns of a stdout that is no terminal: nothing is wrapped or cut there."""
ERROR_CHARS = 60
"""What lists show of an error; 'show' and --json have all of it. One of 1,000 characters made every line that wide."""
STATE_STYLES = {
    **dict.fromkeys(("running", "up", "succeeded", "done", "ok", "public"), "green"),
    **dict.fromkeys(("error", "failed", "down", "stuck", "undo_failed", "fail", "degraded"), "red"),
    **dict.fromkeys(("stopped", "paused", "draft", "defined", "skipped", "cancelled", "private"), "dim"),
    **dict.fromkeys(("deploying", "starting", "stopping", "destroying", "deleting", "undoing", "warn"), "yellow"),
    **dict.fromkeys(("draining", "maintenance", "pending"), "yellow"),
}


def clean(value: object) -> str:
    """A value as one safe line: names and messages of other people must not steer the terminal."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(clean(item) for item in value) or "-"
    return "".join(char if char.isprintable() else " " for char in str(value))


def local_time(text: object) -> str:
    """An instant of the API as local time to the minute."""
    try:
        return datetime.fromisoformat(str(text)).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return clean(text)


def size_text(size_bytes: object) -> str:
    """Bytes with a binary unit."""
    size = float(size_bytes) if isinstance(size_bytes, int | float) else 0.0
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def when(field: str) -> Callable[[Row], object]:
    """Column function: a time."""
    return lambda row: local_time(row[field]) if row.get(field) else "-"


def styled(text: str) -> Text:
    """A cell; words for states get their colour."""
    return Text(text, style=STATE_STYLES.get(text, ""))


class Output:
    """Where a command prints to."""

    def __init__(self, *, as_json: bool) -> None:
        """``as_json`` for programs."""
        self.as_json = as_json
        self._stdout = console(stderr=False)
        self.stderr = console(stderr=True)

    def document(self, value: object) -> None:
        """Print one JSON document."""
        sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")

    def line(self, value: object) -> None:
        """Print one line of a JSON stream, at once."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def table(self, rows: Sequence[Row], columns: Sequence[Column], *, empty: str = "Nothing there.") -> None:
        """Print a list."""
        if self.as_json:
            self.document(rows)
        elif not rows:
            self.stderr.print(empty, style="dim", markup=False)
        else:
            self._stdout.print(make_table(rows, columns))

    def record(self, row: Row, columns: Sequence[Column]) -> None:
        """Print one thing, a line per fact."""
        if self.as_json:
            self.document(row)
            return
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        for heading, source in columns:
            table.add_row(Text(heading, style="bold"), styled(cell(row, source)))
        self._stdout.print(table)

    def result(self, value: object, text: str) -> None:
        """Print what was done: ``value`` for programs, ``text`` for people."""
        if self.as_json:
            self.document(value)
        else:
            self._stdout.print(clean(text), markup=False, highlight=False)

    def raw(self, text: str) -> None:
        """Print text as it is."""
        sys.stdout.write(text)
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """Say something beside the result; programs do not get it."""
        if not self.as_json:
            self.stderr.print(clean(text), markup=False, highlight=False)


def console(*, stderr: bool) -> Console:
    """A console whose tables are not cut when nobody looks."""
    made = Console(stderr=stderr, highlight=False)
    return made if made.is_terminal else Console(stderr=stderr, highlight=False, width=WIDE)


def briefly(columns: Sequence[Column]) -> list[Column]:
    """The columns of a list: errors are cut there."""
    return [(heading, _cut(source) if heading == "error" else source) for heading, source in columns]


def _cut(source: str | Callable[[Row], object]) -> Callable[[Row], object]:
    def shown(row: Row) -> object:
        text = cell(row, source)
        return text if len(text) <= ERROR_CHARS else text[: ERROR_CHARS - 1].rstrip() + "…"

    return shown


def cell(row: Row, source: str | Callable[[Row], object]) -> str:
    """Text of one cell."""
    return clean(row.get(source) if isinstance(source, str) else source(row))


def make_table(rows: Sequence[Row], columns: Sequence[Column]) -> Table:
    """A table without frame, which can be cut with the usual tools."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading, _source in columns:
        table.add_column(heading.upper())
    for row in rows:
        table.add_row(*(styled(cell(row, source)) for _heading, source in columns))
    return table


def print_error(error: CliError, *, as_json: bool) -> None:
    """The problem document, or a sentence with a line for each problem, on stderr."""
    if as_json:
        sys.stderr.write(json.dumps(error.problem, ensure_ascii=False) + "\n")
        return
    lines = [clean(error.problem.get("detail") or "It did not work.")]
    problems = error.problem.get("problems")
    items = [item for item in problems if isinstance(item, Mapping)] if isinstance(problems, list) else []
    lines += [f"  {clean(item.get('where', ''))}: {clean(item.get('what', ''))}" for item in items]
    if instance := error.problem.get("instance"):
        lines.append(f"  (request {clean(instance)})")
    sys.stderr.write("\n".join(lines) + "\n")
