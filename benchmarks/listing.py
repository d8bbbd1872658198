"""The authenticated list of 50 VMs: from the cache against FastAPI's hello, without it against the usual way, and both
against GNS3 server listing 50 nodes, where that is installed."""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx2

from benchmarks import gns3, tools
from benchmarks.load import Load, get
from benchmarks.report import Report, cpu_s
from benchmarks.servers import Server, other, parcela

VMS = 50
TICK_S = 0.01
"""The least processor time that can be told from none."""
LIST = "/api/v1/virtual-machines/?limit=50"


@dataclass
class Case:
    """One kind of request and what each round measured."""

    name: str
    server: Server
    request: bytes
    per_s: list[float]
    cpu_ms: list[float]
    last: Load | None = None

    def measure(self, connections: int, seconds: float) -> None:
        before = cpu_s(self.server.process.pid)
        command = [sys.executable, "-m", "benchmarks.load", str(self.server.port), str(connections), str(seconds)]
        printed = subprocess.run(command, input=self.request, stdout=subprocess.PIPE, check=True).stdout
        self.last = Load(*json.loads(printed))
        self.per_s.append(self.last.per_s)
        used_s = max(cpu_s(self.server.process.pid) - before, TICK_S)
        self.cpu_ms.append(used_s / self.last.requests * 1000)


def fill(server: Server, count: int = VMS) -> None:
    """A draft of so many VMs: rows with owner, slice, image and flavour, but no host yet."""
    vms = [{"name": f"vm{index}", "image": "tiny", "flavour": "tiny"} for index in range(count)]
    document = {"vms": vms, "networks": [], "edges": []}
    template = server.post("/templates/", {"name": "fifty", "document": document})
    server.post("/slices/", {"template_id": template["id"]})


def cases(stack: ExitStack, folder: Path) -> list[Case]:
    """Start the servers, which share one database file."""
    ours = stack.enter_context(parcela(folder))
    token = ours.login()
    fill(ours)
    hello = stack.enter_context(other("benchmarks.naive:app"))
    secret = (folder / "secret.key").read_text().strip()
    naive = stack.enter_context(
        other(
            "benchmarks.naive:app",
            NAIVE_DATABASE=f"sqlite+aiosqlite:///{folder}/parcela.db",
            NAIVE_SECRET=secret,
        )
    )
    bearer = f"Bearer {token}"
    found = [
        Case("hello", hello, get("/hello"), [], []),
        Case("warm", ours, get(LIST, Authorization=bearer), [], []),
        Case("cold", ours, get(LIST, Authorization=bearer, Cache_Control="no-cache"), [], []),
        Case("usual", naive, get("/vms", Authorization=bearer), [], []),
    ]
    headers = {"Authorization": bearer}
    mine = ours.api.get("/virtual-machines/?limit=50").raise_for_status().json()["items"]
    theirs = httpx2.get(f"http://127.0.0.1:{naive.port}/vms", headers=headers).raise_for_status().json()["items"]
    assert len(mine) == VMS
    assert mine == theirs, "both list the same"
    return found


def gns3_case(stack: ExitStack, folder: Path, python: Path) -> Case:
    """Start GNS3 server with as many nodes."""
    server = stack.enter_context(gns3.gns3(python, folder / "gns3"))
    path = gns3.fill(server, VMS)
    return Case("gns3", server, get(path, Authorization=server.api.headers["Authorization"]), [], [])


def run(arguments: Sequence[str]) -> Report:
    parser = argparse.ArgumentParser(prog="listing")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--connections", type=int, default=16)
    tools.add_option(parser)
    options = parser.parse_args(arguments)
    report = Report("List of 50 VMs")
    python = tools.find(options.tools, "gns3server")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        found = cases(stack, Path(folder))
        if python:
            found.append(gns3_case(stack, Path(folder), python))
        for case in found:
            case.measure(options.connections, 0.5)
            case.per_s.clear()
            case.cpu_ms.clear()
        for number in range(options.rounds):
            for case in found if number % 2 == 0 else reversed(found):
                case.measure(options.connections, options.seconds)
    _judge(report, found)
    if python:
        report.note(f"GNS3 server {gns3.version(python)}, as pip installs it; both sides ask as the administrator")
    else:
        report.note(tools.missing("GNS3 server"))
    report.note(f"{options.connections} connections, {options.rounds} rounds of {options.seconds:g} s, interleaved")
    return report


def _judge(report: Report, found: Sequence[Case]) -> None:
    hello, warm, cold, usual, *others = found
    pairs = [
        ("warm, against FastAPI hello", 0.9, warm, hello),
        ("cold, against entities + response_model", 4.0, cold, usual),
    ]
    for other_ in others:
        pairs += [("warm, against GNS3 server", 25.0, warm, other_), ("cold, against GNS3 server", 4.0, cold, other_)]
    for what, promised, ours, against in pairs:
        report.at_least(f"{what}: requests/s", promised, _ratios(ours.per_s, against.per_s))
        report.at_least(f"{what}: per processor second", promised, _ratios(against.cpu_ms, ours.cpu_ms))
    for case in found:
        assert case.last is not None
        mean = sum(case.per_s) / len(case.per_s)
        cpu = sum(case.cpu_ms) / len(case.cpu_ms)
        report.fact(case.name, f"{mean:.0f}/s, {cpu:.2f} ms of processor each, {case.last.body_bytes} bytes")


def _ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return [one / other_ for one, other_ in zip(ours, theirs, strict=True)]
