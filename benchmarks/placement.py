"""Placing 10,000 VMs on 1,000 hosts: as one slice that may be spread, and as 2,500 slices of four.

How good a place is, is told by what ``decide`` says it looks for: a host for all VMs of a slice or for none; the one
host that fits where there is one (all are looked at, so it cannot miss the best); else as few hosts as can be found.
The last is what a solver can do better, so it is compared: hosts used, in sum over instances that CP-SAT solves to the
end; and how many of the instances that have an answer get one, when the hosts are nearly full.
"""

import argparse
import dataclasses
import json
import random
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks import tools
from benchmarks.report import Report
from parcela.placement.decide import decide
from parcela.placement.types import CROSS_HOST_SEGMENTS, HostSnapshot, VmRequest

VMS, HOSTS, SLICE = 10_000, 1_000, 4
SIZES = ((1, 128, 1), (1, 1024, 2), (2, 2048, 4), (4, 8192, 8))
FLAVOURS = ((1, 128, 1), (1, 1024, 2), (1, 2048, 3), (2, 2048, 4), (2, 4096, 6), (4, 8192, 8), (8, 12288, 10))
"""Those that are shipped, but for the largest."""
KINDS = ((32, 65_536, 200), (64, 131_072, 400), (48, 49_152, 160))
"""Limits of the hosts of small instances."""


def _host(number: int, room: tuple[int, int, int]) -> HostSnapshot:
    joined = frozenset({CROSS_HOST_SEGMENTS})
    return HostSnapshot(number, f"h{number:04}", 1, "up", True, *room, capabilities=joined)


def _hosts() -> list[HostSnapshot]:
    return [_host(number, KINDS[1]) for number in range(1, HOSTS + 1)]


def _requests(seed: int) -> list[VmRequest]:
    chosen = random.Random(seed)  # noqa: S311 (a workload that can be repeated)
    return [VmRequest(key, *chosen.choice(SIZES)) for key in range(1, VMS + 1)]


def _at_once(seed: int) -> tuple[float, float]:
    """Processor seconds, and hosts used against what no arrangement can go below."""
    hosts, requests = _hosts(), _requests(seed)
    started = time.process_time()
    decision = decide(requests, hosts, spread=True)
    took_s = time.process_time() - started
    assert len(decision.assignments) == VMS
    sums = (
        sum(vm.vcpus for vm in requests),
        sum(vm.memory_mib for vm in requests),
        sum(vm.disk_gib for vm in requests),
    )
    least = max(-(-needed // room) for needed, room in zip(sums, KINDS[1], strict=True))
    return took_s, len(set(decision.assignments.values())) / least


def _by_slices(seed: int) -> float:
    hosts, requests = _hosts(), _requests(seed)
    took_s = 0.0
    for first in range(0, VMS, SLICE):
        group = requests[first : first + SLICE]
        started = time.process_time()
        decision = decide(group, hosts)
        took_s += time.process_time() - started
        index = decision.assignments[group[0].key] - 1
        host = hosts[index]
        hosts[index] = dataclasses.replace(
            host,
            vcpus_used=host.vcpus_used + sum(vm.vcpus for vm in group),
            memory_used_mib=host.memory_used_mib + sum(vm.memory_mib for vm in group),
            disk_used_gib=host.disk_used_gib + sum(vm.disk_gib for vm in group),
            vms=host.vms + len(group),
        )
    return took_s


@dataclasses.dataclass(frozen=True, slots=True)
class Instance:
    """A slice that fits on no single host, and the hosts of its zone."""

    requests: list[VmRequest]
    hosts: list[HostSnapshot]

    def document(self) -> dict[str, list[list[int]]]:
        """As ``benchmarks.cpsat`` reads it."""
        shapes = Counter((vm.vcpus, vm.memory_mib, vm.disk_gib) for vm in self.requests)
        hosts = [[host.vcpus_limit, host.memory_limit_mib, host.disk_limit_gib] for host in self.hosts]
        return {"shapes": [[*size, count] for size, count in sorted(shapes.items())], "hosts": hosts}

    def used(self) -> int | None:
        """How many hosts Parcela takes; None when it finds no place."""
        return len(set(decide(self.requests, self.hosts, spread=True).assignments.values())) or None


def loose(seed: int) -> Instance:
    """Every third with hosts of one kind only; VMs for 30 to 80 % of all memory."""
    chosen = random.Random(seed)  # noqa: S311 (as above)
    kinds = [KINDS[seed % 2]] if seed % 3 == 0 else list(KINDS)
    hosts = [_host(number, chosen.choice(kinds)) for number in range(1, chosen.randint(10, 30))]
    hosts.sort(key=lambda host: host.memory_limit_mib)  # equal ones beside each other, as the solver likes it
    left = sum(host.memory_limit_mib for host in hosts) * chosen.uniform(0.3, 0.8)
    requests: list[VmRequest] = []
    while (size := chosen.choice(FLAVOURS))[1] <= left:
        requests.append(VmRequest(len(requests) + 1, *size))
        left -= size[1]
    return Instance(requests, hosts)


def tight(seed: int) -> Instance:
    """Hosts that were filled with VMs until nothing fitted, so that there is an arrangement; then it is forgotten."""
    chosen = random.Random(seed)  # noqa: S311 (as above)
    hosts = [_host(number, chosen.choice(KINDS)) for number in range(1, chosen.randint(4, 12))]
    requests: list[VmRequest] = []
    for host in hosts:
        room = [host.vcpus_limit, host.memory_limit_mib, host.disk_limit_gib]
        while fitting := [size for size in FLAVOURS if all(a <= b for a, b in zip(size, room, strict=True))]:
            size = chosen.choice(fitting)
            requests.append(VmRequest(len(requests) + 1, *size))
            room = [b - a for a, b in zip(size, room, strict=True)]
    return Instance(requests, hosts)


def _against_solver(report: Report, python: Path, count: int) -> None:
    instances = [loose(seed) for seed in range(count)]
    script = Path(__file__).with_name("cpsat.py")
    text = json.dumps([instance.document() for instance in instances])
    started = time.monotonic()
    printed = subprocess.run([python, script], input=text, stdout=subprocess.PIPE, check=True, text=True).stdout
    solver_s = time.monotonic() - started
    answers = json.loads(printed)
    started = time.monotonic()
    ours = [instance.used() for instance in instances]
    ours_s = time.monotonic() - started
    solved = sum(answer["state"] == "OPTIMAL" for answer in answers)
    pairs = [
        (used, answer["hosts"])
        for used, answer in zip(ours, answers, strict=True)
        if answer["state"] == "OPTIMAL" and used is not None
    ]
    more = sum(a > b for a, b in pairs)
    report.at_least("slices that CP-SAT places: placed", 0.97, [len(pairs) / solved])
    report.at_most("hosts used, in sum, against CP-SAT", 1.03, [sum(a for a, _ in pairs) / sum(b for _, b in pairs)])
    report.fact("  instances with more hosts than CP-SAT", f"{more} of {len(pairs)}")
    report.fact("  the worst of them", f"{max(a / b for a, b in pairs):.2f}x")
    report.fact("  time for all: Parcela / CP-SAT", f"{ours_s:.2f} s / {solver_s:.1f} s")
    vms = [len(instance.requests) for instance in instances]
    report.note(f"CP-SAT proved {solved} of {count} instances with {min(vms)} to {max(vms)} VMs, in 20 s each at most")


def run(arguments: Sequence[str]) -> Report:
    parser = argparse.ArgumentParser(prog="placement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slices", action="store_true", help="also 2,500 slices of four, one after the other")
    parser.add_argument(
        "--instances", type=int, default=100, help="small slices to compare with CP-SAT; 3 times as many fill all hosts"
    )
    tools.add_option(parser)
    options = parser.parse_args(arguments)
    report = Report("Placement of 10,000 VMs on 1,000 hosts")
    found = [_at_once(seed) for seed in range(options.rounds)]
    report.at_most("as one slice over many hosts", 2.0, [took_s for took_s, _ in found], " s")
    report.at_most("  hosts used, against the least that the sums allow", 1.03, [ratio for _, ratio in found])
    full = [tight(seed) for seed in range(3 * options.instances)]
    placed = sum(instance.used() is not None for instance in full)
    report.at_least("slices that fill all hosts: placed", 0.97, [placed / len(full)])
    python = tools.find(options.tools, "ortools")
    if python:
        _against_solver(report, python, options.instances)
    else:
        report.note(tools.missing("CP-SAT"))
    if options.slices:
        spent = _by_slices(0)
        report.fact("as 2,500 slices of four, all decisions", f"{spent:.1f} s, {spent / 2500 * 1000:.1f} ms each")
    report.note("processor time of the pure decision; rows and reservations are not in it")
    return report
