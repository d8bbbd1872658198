"""Plots of a report as SVG. Imports matplotlib, so only the rendering process may import this."""

import io
from collections import Counter
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from parcela.services.reports.report import Report
from parcela.services.reports.texts import Words

PREVENTIVE_COLOUR, CORRECTIVE_COLOUR, COST_COLOUR = "#2f6f9f", "#c8553d", "#4d7c5a"
SIZE_INCHES = (7.2, 2.6)
MAX_BARS = 36
"""More months than that are shown as years."""
MAX_UPRIGHT = 8
"""More labels than that are turned."""
MAX_MACHINES = 10
MAX_LABEL_CHARS = 24
STYLE: Any = {
    "text.parse_math": False,  # a '$' in a machine's code is a '$'
    "svg.fonttype": "path",  # the same look wherever it is read
    "svg.hashsalt": "parcela",  # and the same bytes
    "font.family": "DejaVu Sans",
    "font.size": 8,
}


def per_month(words: Words, report: Report) -> str | None:
    """Records per month by kind, as stacked bars; None when there are none."""
    labels, preventive, corrective = _bars(report)
    if not labels:
        return None
    with mpl.rc_context(STYLE):
        figure, axes = _figure()
        places = range(len(labels))
        axes.bar(places, preventive, color=PREVENTIVE_COLOUR, label=words.word("kind", "preventive"))
        axes.bar(places, corrective, bottom=preventive, color=CORRECTIVE_COLOUR, label=words.word("kind", "corrective"))
        crowded = len(labels) > MAX_UPRIGHT
        axes.set_xticks(places, labels, rotation=45 if crowded else 0, ha="right" if crowded else "center")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))
        return _svg(figure)


def main_currency(report: Report) -> str | None:
    """The currency of most costs; None without any."""
    counts = Counter(entry.cost.currency for entry in report.entries if entry.cost)
    return min(counts, key=lambda currency: (-counts[currency], currency), default=None)


def cost_by_machine(report: Report, currency: str) -> str | None:
    """The machines that cost most in a currency, as bars; None unless two or more cost anything."""
    costs = [(cost, row.machine.code) for row in report.machines for cost in row.costs if cost.currency == currency]
    dear = sorted((float(cost.amount), code) for cost, code in costs if cost.minor > 0)[-MAX_MACHINES:]
    if len(dear) < 2:
        return None
    with mpl.rc_context(STYLE):
        figure, axes = _figure()
        axes.barh(range(len(dear)), [amount for amount, _ in dear], color=COST_COLOUR)
        axes.set_yticks(range(len(dear)), [_short(code) for _, code in dear])
        return _svg(figure)


def _bars(report: Report) -> tuple[list[str], list[int], list[int]]:
    """Labels and heights; gaps are zeros, long times are years, and of centuries only years with records are shown."""
    if not report.months:
        return [], [], []
    counts = {_number(month.month): (month.preventive, month.corrective) for month in report.months}
    first, last = min(counts), max(counts)
    if last - first < MAX_BARS:
        whole = range(first, last + 1)
        pairs = [counts.get(number, (0, 0)) for number in whole]
        labels = [f"{number // 12:04d}-{number % 12 + 1:02d}" for number in whole]
    else:
        years: Sequence[int] = range(first // 12, last // 12 + 1)
        if len(years) > MAX_BARS:
            # Somebody mistyped a year: bars for all between would take minutes to draw, and the report would be late.
            years = sorted({number // 12 for number in counts})[-MAX_BARS:]
        pairs = [_year(counts, year) for year in years]
        labels = [f"{year:04d}" for year in years]
    return labels, [one for one, _ in pairs], [other for _, other in pairs]


def _number(month: str) -> int:
    year, number = month.split("-")
    return int(year) * 12 + int(number) - 1


def _year(counts: dict[int, tuple[int, int]], year: int) -> tuple[int, int]:
    mine = [pair for number, pair in counts.items() if number // 12 == year]
    return sum(one for one, _ in mine), sum(other for _, other in mine)


def _figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _short(text: str) -> str:
    return text if len(text) <= MAX_LABEL_CHARS else f"{text[: MAX_LABEL_CHARS - 1]}…"


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue()
