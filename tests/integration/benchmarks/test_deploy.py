"""Deployments of forty: what panics or never comes is counted, and ends by itself. libvirt is played here."""

from collections.abc import Callable
from pathlib import Path

import libvirt
import pytest
from benchmarks.bare import MARKER, PANIC, BareLab, Times
from benchmarks.deploy import document, judge, short_of_memory
from benchmarks.report import Report


class Domain:
    def __init__(self, boot: Callable[[], None]) -> None:
        self._boot = boot

    def createWithFlags(self, flags: int) -> None:  # noqa: N802 (libvirt's name)
        if not flags:
            self._boot()


class Connection:
    """Takes documents that are names of logs and what the guest writes there; "refused" is refused."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def defineXML(self, document: str) -> Domain:  # noqa: N802 (as above)
        log, _, said = document.partition(" ")
        if said == "refused":
            raise libvirt.libvirtError("monitor socket did not show up")

        def boot() -> None:
            self._folder.joinpath(log).write_text(said)

        return Domain(boot)

    def listAllDomains(self) -> list[Domain]:  # noqa: N802 (as above)
        return []


@pytest.fixture
def lab(tmp_path: Path) -> BareLab:
    made = BareLab(Connection(tmp_path), tmp_path / "bare", patience_s=0.0)
    said = [MARKER.decode(), f"{PANIC.decode()} {MARKER.decode()}", PANIC.decode(), "refused"]
    made._documents = [f"bare/{index} {words}" for index, words in enumerate(said)]
    made._logs = [tmp_path / "bare" / str(index) for index in range(len(said))]
    return made


@pytest.mark.parametrize("staged", [True, False])
def test_guests_that_never_come_are_counted(lab: BareLab, staged: bool) -> None:
    times = lab.run(4, paused=False, staged=staged)
    assert (len(times.ready), times.lost, times.panics) == (4, 2, 2)
    assert times.problems == ("monitor socket did not show up",)
    assert times.last < float("inf")


def test_paused_guests_are_not_waited_for(lab: BareLab) -> None:
    times = lab.run(4, paused=True)
    assert (times.ready, times.lost) == ((), 1)


def test_the_report_tells_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    fine, worse = Times(1.0, (1.0, 2.0)), Times(1.0, (1.0, 600.0), lost=1, panics=3, problems=("too many",))
    report = Report("Deploying 2 VMs")
    judge(report, 2, [(fine, fine)], [(fine, fine, worse)])
    report.print()
    printed = " ".join(capsys.readouterr().out.split())
    assert "guests never ready, of 2 0 / 0 / 1" in printed
    assert "panics: loop / unlimited 0 / 3" in printed
    assert "libvirt: too many" in printed


def test_forty_are_a_chain() -> None:
    made = document(40)
    assert (len(made["vms"]), len(made["edges"])) == (40, 39)


def test_too_little_memory_is_told() -> None:
    assert not short_of_memory(40, "MemTotal: 1 kB\nMemAvailable: 16000000 kB\n")
    assert "40 guests may take 12000 MiB, and 9765 MiB are free" in short_of_memory(40, "MemAvailable: 10000000 kB\n")
