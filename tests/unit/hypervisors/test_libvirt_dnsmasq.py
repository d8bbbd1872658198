"""The DHCP server of a network is found among the processes, and nothing else is taken for it."""

from pathlib import Path

import pytest

pytest.importorskip("libvirt")

from parcela.hypervisors.errors import RetryableDriverError
from parcela.hypervisors.libvirt import dnsmasq


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(dnsmasq, "PROC", tmp_path / "proc")
    monkeypatch.setattr(dnsmasq, "RUN_FOLDER", tmp_path / "run")
    (tmp_path / "run").mkdir()
    (tmp_path / "proc" / "self").mkdir(parents=True)
    return tmp_path / "proc"


def process(proc: Path, pid: int, command: str, parent: int = 1) -> None:
    (proc / str(pid)).mkdir()
    (proc / str(pid) / "cmdline").write_bytes(command.replace(" ", "\0").encode() + b"\0")
    (proc / str(pid) / "stat").write_text(f"{pid} (a) name) S {parent} 1 1")


def test_by_its_file_or_without(proc: Path, tmp_path: Path) -> None:
    assert dnsmasq.find_dnsmasq("nat") is None
    with pytest.raises(RetryableDriverError):
        dnsmasq.tell_dnsmasq("nat")
    process(proc, 12, "/usr/sbin/dnsmasq --conf-file=/var/lib/libvirt/dnsmasq/nat.conf --leasefile-ro", parent=13)
    process(proc, 13, "/usr/sbin/dnsmasq --conf-file=/var/lib/libvirt/dnsmasq/nat.conf --leasefile-ro")
    process(proc, 14, "/usr/sbin/dnsmasq --conf-file=/var/lib/libvirt/dnsmasq/other-nat.conf --leasefile-ro")
    process(proc, 15, "less /var/lib/libvirt/dnsmasq/nat.conf")
    assert dnsmasq.find_dnsmasq("nat") == 13, "not the child that runs its scripts"
    (tmp_path / "run" / "nat.pid").write_text("15\n")  # of a program that has the number now
    assert dnsmasq.find_dnsmasq("nat") == 13
    (tmp_path / "run" / "nat.pid").write_text("13\n")
    assert dnsmasq.find_dnsmasq("nat") == 13
