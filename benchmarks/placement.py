"""Placing 10,000 VMs on 1,000 hosts: as one slice that may be spread, and as 2,500 slices of four."""

import argparse
import dataclasses
import random
import time
from collections.abc import Sequence

from benchmarks.report import Report
from parcela.placement.decide import decide
from parcela.placement.types import CROSS_HOST_SEGMENTS, HostSnapshot, VmRequest

VMS, HOSTS, SLICE = 10_000, 1_000, 4
SIZES = ((1, 128, 1), (1, 1024, 2), (2, 2048, 4), (4, 8192, 8))


def _hosts() -> list[HostSnapshot]:
    joined = frozenset({CROSS_HOST_SEGMENTS})
    return [
        HostSnapshot(number, f"h{number:04}", 1, "up", True, 64, 131_072, 400, capabilities=joined)
        for number in range(1, HOSTS + 1)
    ]


def _requests(seed: int) -> list[VmRequest]:
    chosen = random.Random(seed)  # noqa: S311 (a workload that can be repeated)
    return [VmRequest(key, *chosen.choice(SIZES)) for key in range(1, VMS + 1)]


def _at_once(seed: int) -> float:
    hosts, requests = _hosts(), _requests(seed)
    started = time.process_time()
    decision = decide(requests, hosts, spread=True)
    took_s = time.process_time() - started
    assert len(decision.assignments) == VMS
    return took_s


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


def run(arguments: Sequence[str]) -> Report:
    parser = argparse.ArgumentParser(prog="placement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slices", action="store_true", help="also 2,500 slices of four, one after the other")
    options = parser.parse_args(arguments)
    report = Report("Placement of 10,000 VMs on 1,000 hosts")
    report.at_most("as one slice over many hosts", 2.0, [_at_once(seed) for seed in range(options.rounds)], " s")
    if options.slices:
        spent = _by_slices(0)
        report.fact("as 2,500 slices of four, all decisions", f"{spent:.1f} s, {spent / 2500 * 1000:.1f} ms each")
    report.note("processor time of the pure decision; rows and reservations are not in it")
    return report
