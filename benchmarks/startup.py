"""One replica with the simulated hypervisor on a migrated database: time to its first answer, and its memory.

An installed server has its modules compiled: pip does that, and Python keeps what it compiled itself. Where the
environment forbids that (``PYTHONDONTWRITEBYTECODE``), every start compiles them all again. So the first start, which
is not measured, keeps bytecode in a folder of ours; what a start without any costs is noted beside it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report import Report, cpu_s
from benchmarks.servers import parcela

MIB_PER_KIB = 1 / 1024


def _resident_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * MIB_PER_KIB
    raise AssertionError("no VmRSS")


def _compiled(folder: Path) -> dict[str, str]:
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}


def _slowest_imports(count: int, compiled: dict[str, str]) -> list[str]:
    """The packages that cost most while ``parcela.main`` is imported, by their own time."""
    command = [sys.executable, "-X", "importtime", "-c", "import parcela.main"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **compiled})
    lines = done.stderr.splitlines()
    own_us: dict[str, int] = {}
    for line in lines[1:]:
        own, _, name = (part.strip() for part in line.removeprefix("import time:").split("|"))
        package = name.split(".")[0]
        own_us[package] = own_us.get(package, 0) + int(own)
    ranked = sorted(own_us.items(), key=lambda item: -item[1])
    return [f"{name} {us / 1000:.0f} ms" for name, us in ranked[:count]]


def _note_uncompiled(report: Report, folder: Path) -> None:
    nothing_kept = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": str(folder / "empty")}
    with parcela(folder, **nothing_kept) as server:
        used_s, resident_mib = cpu_s(server.process.pid), _resident_mib(server.process.pid)
    report.note(f"without any bytecode: {used_s:.2f} s of processor time, {resident_mib:.0f} MiB")


def run(arguments: Sequence[str]) -> Report:
    parser = argparse.ArgumentParser(prog="startup")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kept-only", action="store_true", help="leave out what a start without any bytecode costs")
    options = parser.parse_args(arguments)
    report = Report("Start of one replica")
    seconds, resident, processor = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        compiled = _compiled(Path(folder))
        with parcela(Path(folder), **compiled):
            pass  # migrates the database, makes the first administrator, and keeps bytecode
        for _ in range(options.rounds):
            began = time.monotonic()
            with parcela(Path(folder), **compiled) as server:
                seconds.append(time.monotonic() - began)
                processor.append(cpu_s(server.process.pid))
                server.login()
                server.api.get("/virtual-machines/").raise_for_status()
                resident.append(_resident_mib(server.process.pid))
        if not options.kept_only:
            _note_uncompiled(report, Path(folder))
        slowest = _slowest_imports(8, compiled)
    report.at_most("start to the first answer", 1.5, seconds, " s")
    report.at_most("processor time of that (what it is on an idle core)", 1.5, processor, " s")
    report.at_most("resident after a login and a list", 150, resident, " MiB")
    report.note("importing parcela.main, own time: " + ", ".join(slowest))
    return report
