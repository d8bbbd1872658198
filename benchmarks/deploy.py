"""Deploying N VMs, against a bare libvirt-python loop that starts the same domains. Needs the lab's libvirt.

The loop is given more than it deserves: its disks, seeds and bridges exist before its clock starts; Parcela's clock
starts at the request, so image check, bridges, overlays, seeds, journal and events are inside.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.integration.real.harness import ENDED, Server, installation

from benchmarks.bare import BareLab, Times
from benchmarks.report import Report
from parcela.core.topology.sample import sample_topology

SAMPLE = 4
POLL_S = 0.5
"""How often we ask for the operation: rarely, because moments come from what the server wrote down."""


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
    operation = server.post(f"/slices/{slice_id}/deploy", {"paused": paused})
    while operation["state"] not in ENDED:
        time.sleep(POLL_S)
        operation = server.get(f"/operations/{operation['id']}")
    assert operation["state"] == "succeeded", operation
    created = _seconds(operation["finished_at"]) - started
    vms = server.get(f"/slices/{slice_id}/vms")
    ready = () if paused else tuple(_seconds(vm["ready_at"]) - started for vm in vms)
    if look:
        look([vm["uuid"] for vm in vms])
    server.delete(f"/slices/{slice_id}")
    return Times(created, ready)


def _measure(server: Server, bare: BareLab, options: argparse.Namespace, report: Report) -> None:
    width = (os.cpu_count() or 1) + 1
    template = server.template(document(options.n), f"bench{options.n}")
    deploy(server, template, paused=True, look=bare.copy)  # warms up both: images, page cache, the QEMU binary
    bare.run(width, paused=True)
    booted: list[tuple[Times, Times, Times]] = []

    def ours_paused() -> Times:
        return deploy(server, template, paused=True)

    def theirs_paused() -> Times:
        return bare.run(width, paused=True)

    paused = [_in_turn(number, ours_paused, theirs_paused) for number in range(options.rounds * 2)]
    for number in range(options.rounds if not options.paused_only else 0):
        ours, loop = _in_turn(
            number, lambda: deploy(server, template, paused=False), lambda: bare.run(width, paused=False)
        )
        booted.append((ours, loop, bare.run(options.n, paused=False, staged=False)))
    _judge(report, options.n, paused, booted)


def _in_turn(number: int, ours: Callable[[], Times], theirs: Callable[[], Times]) -> tuple[Times, Times]:
    """A then B in even rounds, B then A in odd ones; always (ours, theirs)."""
    if number % 2 == 0:
        first = ours()
        return first, theirs()
    first = theirs()
    return ours(), first


def _judge(
    report: Report, count: int, paused: list[tuple[Times, Times]], booted: list[tuple[Times, Times, Times]]
) -> None:
    ratios = [ours.created / loop.created for ours, loop in paused]
    report.at_most(f"{count} VMs: all created paused, against the loop", 1.15, ratios)
    ours_s = statistics.median(ours.created for ours, _ in paused)
    loop_s = statistics.median(loop.created for _, loop in paused)
    report.fact("  Parcela / loop", f"{ours_s:.2f} s / {loop_s:.2f} s")
    report.fact("  Parcela above the loop", f"{(ours_s - loop_s) / count * 1000:.0f} ms per VM")
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
    with installation(PARCELA_SWEEP_INTERVAL_S="10", PARCELA_BOOT_TIMEOUT_S="900") as server:
        server.start()
        folder = Path(server.folder).parent / "bare"
        bare = BareLab(uri, folder)
        try:
            _measure(server, bare, options, report)
        finally:
            bare.close()
    width = (os.cpu_count() or 1) + 1
    report.note(f"emulated guests (TCG), {width} at once in both; the loop's disks and bridges were made beforehand")
    return report
