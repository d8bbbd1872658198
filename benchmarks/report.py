"""What a benchmark prints: each promise, what was measured, and under which conditions."""

import os
import platform
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

BUSY = 0.25
"""Others' share of the machine above which a run is called noisy."""


def _ticks() -> tuple[int, int]:
    """(busy, all) clock ticks of all processors since the start of the machine."""
    fields = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(fields) - fields[3] - fields[4], sum(fields)


def cpu_s(pid: int) -> float:
    """Processor seconds that a process has used, threads included, in steps of 10 ms."""
    words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


class Conditions:
    """The machine while a benchmark runs. Noise is told by what others used just before."""

    def __init__(self) -> None:
        self._load_before = os.getloadavg()[0]
        busy, total = _ticks()
        time.sleep(1.0)  # how busy the machine is while we do nothing
        busy_now, total_now = _ticks()
        self.others = (busy_now - busy) / max(1, total_now - total)

    def lines(self) -> list[str]:
        noisy = "NOISY: " if self.others > BUSY else ""
        moment = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
        loads = f"load {self._load_before:.2f} before, {os.getloadavg()[0]:.2f} after"
        return [
            f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {moment} UTC",
            f"{noisy}others used {self.others:.0%} of the processors in the second before; {loads}",
        ]


class Report:
    """A table of promises."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.conditions = Conditions()
        self.missed = 0
        self._rows: list[tuple[str, str, str, str]] = []
        self._notes: list[str] = []

    def at_least(self, what: str, promised: float, ratios: Sequence[float], unit: str = "x") -> None:
        self._judge(what, f">= {promised:g}{unit}", ratios, statistics.median(ratios) >= promised, unit)

    def at_most(self, what: str, promised: float, values: Sequence[float], unit: str = "x") -> None:
        self._judge(what, f"<= {promised:g}{unit}", values, statistics.median(values) <= promised, unit)

    def _judge(self, what: str, promised: str, values: Sequence[float], kept: bool, unit: str) -> None:
        self.missed += not kept
        shown = f"{statistics.median(values):.2f}{unit}"
        if len(values) > 1:
            shown += f" ({min(values):.2f} to {max(values):.2f}, n={len(values)})"
        self._rows.append((what, promised, shown, "PASS" if kept else "MISS"))

    def fact(self, what: str, value: str) -> None:
        """A figure that nothing is promised about."""
        self._rows.append((what, "", value, ""))

    def note(self, text: str) -> None:
        self._notes.append(text)

    def print(self) -> None:
        rows = [("promise", "promised", "measured: median (range)", ""), *self._rows]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        print(f"\n## {self.title}")
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        for line in [*self._notes, *self.conditions.lines()]:
            print(f"   {line}")
