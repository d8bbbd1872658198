"""Deploying N VMs, against a bare libvirt-python loop that starts the same domains. Needs the lab's libvirt.

The loop is given more than it deserves: its disks, seeds and bridges exist before its clock starts; Parcela's clock
starts at the request, so image check, bridges, overlays, seeds, journal and events are inside.

With many guests some of those that start all at once panic or never come. That is reported, and ends by itself.
"""

import argparse
import math
import os
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import libvirt
from tests.integration.real.harness import ENDED, Server, installation

from benchmarks.bare import PATIENCE_S, BareLab, Times
from benchmarks.report import Report
from parcela.core.topology.sample import sample_topology

SAMPLE = 4
POLL_S = 0.5
"""How often we ask for the operation: rarely, because moments come from what the server wrote down."""
MIB_PER_VM = 300
"""What a guest of 128 MiB takes of the machine, with its QEMU; more than was seen."""


class BrokenOffError(Exception):
    """Parcela's side did not come to its end."""


def document(count: int) -> dict[str, Any]:
    """The sample for four (its fourth VM without the NAT card, which the loop has no network for); else a chain."""
    if count == SAMPLE:
        sample: dict[str, Any] = sample_topology().model_dump(mode="json")
        for vm in sample["vms"]:
            vm["public_access"] = False
        return sample
    vms = [{"name": f"vm{index}", "image": "tiny", "flavour": "tiny"} for index in range(count)]
    edges = [
        {
            "a": {"vm": f"vm{index}", "address": f"10.{index}.0.1/24"},
            "b": {"vm": f"vm{index + 1}", "address": f"10.{index}.0.2/24"},
        }
        for index in range(count - 1)
    ]
    return {"vms": vms, "networks": [], "edges": edges}


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def deploy(server: Server, template: int, *, paused: bool, look: Callable[[list[str]], None] | None = None) -> Times:
    """Deploy a new slice, measure, and destroy it; ``look`` sees the uuids of its domains while they live."""
    slice_id = server.post("/slices/", {"template_id": template})["id"]
    started = time.time()
    operation = _succeeded(server, server.post(f"/slices/{slice_id}/deploy", {"paused": paused}))
    created = _seconds(operation["finished_at"]) - started
    vms = server.get(f"/slices/{slice_id}/vms")
    moments = [_seconds(vm["ready_at"]) if vm["ready_at"] else math.inf for vm in vms]
    never = max(PATIENCE_S, time.time() - started)
    ready = () if paused else tuple(min(moment - started, never) for moment in moments)
    lost = 0 if paused else moments.count(math.inf)
    if look:
        look([vm["uuid"] for vm in vms])
    _succeeded(server, server.api.delete(f"/slices/{slice_id}").raise_for_status().json())
    return Times(created, ready, lost)


def _succeeded(server: Server, operation: dict[str, Any]) -> dict[str, Any]:
    """The operation at its end. All guests in turn have less patience than the last one of them alone."""
    end = time.monotonic() + 3 * PATIENCE_S
    while operation["state"] not in ENDED and time.monotonic() < end:
        time.sleep(POLL_S)
        operation = dict(server.get(f"/operations/{operation['id']}"))
    if operation["state"] != "succeeded":
        raise BrokenOffError(f"operation {operation['kind']} is {operation['state']}: {operation['error']}")
    return operation


def _make_room(server: Server, count: int) -> None:
    """A machine promises eight vCPUs for each of its processors; the guests of a benchmark may be more."""
    host = server.get("/hosts/")["items"][0]
    more = math.ceil(2 * count / host["vcpus"])
    server.api.patch(f"/hosts/{host['id']}", json={"cpu_overcommit": max(8, more)}).raise_for_status()


def _measure(server: Server, bare: BareLab, options: argparse.Namespace, report: Report) -> None:
    width = (os.cpu_count() or 1) + 1
    _make_room(server, options.n)
    template = server.template(document(options.n), f"bench{options.n}")
    deploy(server, template, paused=True, look=bare.copy)  # warms up both: images, page cache, the QEMU binary
    bare.run(width, paused=True)
    booted: list[tuple[Times, Times, Times]] = []

    def ours_paused() -> Times:
        return deploy(server, template, paused=True)

    def theirs_paused() -> Times:
        return bare.run(width, paused=True)

    paused: list[tuple[Times, Times]] = []
    try:
        for number in range(options.rounds * 2):
            paused.append(_in_turn(number, ours_paused, theirs_paused))  # noqa: PERF401 (kept when the next breaks off)
        for number in range(options.rounds if not options.paused_only else 0):
            ours, loop = _in_turn(
                number, lambda: deploy(server, template, paused=False), lambda: bare.run(width, paused=False)
            )
            booted.append((ours, loop, bare.run(options.n, paused=False, staged=False)))
    except BrokenOffError as exc:
        report.missed += 1
        report.note(f"broken off: {exc}")
    if paused:
        judge(report, options.n, paused, booted)


def _in_turn(number: int, ours: Callable[[], Times], theirs: Callable[[], Times]) -> tuple[Times, Times]:
    """A then B in even rounds, B then A in odd ones; always (ours, theirs)."""
    if number % 2 == 0:
        first = ours()
        return first, theirs()
    first = theirs()
    return ours(), first


def judge(
    report: Report, count: int, paused: list[tuple[Times, Times]], booted: list[tuple[Times, Times, Times]]
) -> None:
    ratios = [ours.created / loop.created for ours, loop in paused]
    report.at_most(f"{count} VMs: all created paused, against the loop", 1.15, ratios)
    ours_s = statistics.median(ours.created for ours, _ in paused)
    loop_s = statistics.median(loop.created for _, loop in paused)
    report.fact("  Parcela / loop", f"{ours_s:.2f} s / {loop_s:.2f} s")
    report.fact("  Parcela above the loop", f"{(ours_s - loop_s) / count * 1000:.0f} ms per VM")
    for problem in sorted({problem for turn in [*paused, *booted] for times in turn for problem in times.problems}):
        report.note(f"libvirt: {problem}")
    if not booted:
        return
    report.at_most(
        f"{count} VMs: last guest ready, against the loop", 1.05, [ours.last / loop.last for ours, loop, _ in booted]
    )
    report.at_most(
        f"{count} VMs: median guest ready, against unlimited",
        0.7,
        [ours.median / all_.median for ours, _, all_ in booted],
    )
    last = statistics.median(ours.last for ours, _, _ in booted)
    loop_last = statistics.median(loop.last for _, loop, _ in booted)
    all_last = statistics.median(all_.last for _, _, all_ in booted)
    report.fact("  last ready: Parcela / loop / unlimited", f"{last:.1f} s / {loop_last:.1f} s / {all_last:.1f} s")
    sides = list(zip(*booted, strict=True))
    lost = " / ".join(str(sum(times.lost for times in side)) for side in sides)
    report.fact(f"  guests never ready, of {count * len(booted)}", lost)
    report.fact(
        "  panics: loop / unlimited", " / ".join(str(sum(times.panics for times in side)) for side in sides[1:])
    )


def short_of_memory(count: int, meminfo: str) -> str:
    """Why so many guests are not tried here; "" when there is room."""
    available = next(int(line.split()[1]) // 1024 for line in meminfo.splitlines() if line.startswith("MemAvailable"))
    needed = count * MIB_PER_VM
    return f"{count} guests may take {needed} MiB, and {available} MiB are free" if available < needed else ""


def run(arguments: Sequence[str]) -> Report:
    parser = argparse.ArgumentParser(prog="deploy")
    parser.add_argument("n", type=int, nargs="?", default=SAMPLE, help="VMs: 4 is the sample; 10, 20, 40")
    parser.add_argument("--rounds", type=int, default=3, help="rounds with booting guests; twice as many paused")
    parser.add_argument("--paused-only", action="store_true")
    options = parser.parse_args(arguments)
    report = Report(f"Deploying {options.n} VMs")
    uri = os.environ.get("PARCELA_TEST_LIBVIRT_URI")
    if not uri:
        report.note(f"not measured: {os.environ.get('PARCELA_TEST_LIBVIRT_SKIP', 'no libvirt of the test lab')}")
        return report
    if why := short_of_memory(options.n, Path("/proc/meminfo").read_text()):
        report.note(f"not measured: {why}")
        return report
    with installation(PARCELA_SWEEP_INTERVAL_S="10", PARCELA_BOOT_TIMEOUT_S=str(round(PATIENCE_S))) as server:
        server.start()
        folder = Path(server.folder).parent / "bare"
        bare = BareLab(libvirt.open(uri), folder)
        try:
            _measure(server, bare, options, report)
        finally:
            bare.close()
    width = (os.cpu_count() or 1) + 1
    report.note(f"emulated guests (TCG), {width} at once in both; the loop's disks and bridges were made beforehand")
    return report
