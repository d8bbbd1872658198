"""The doctor never crashes, and says how to mend things."""

import hashlib
import importlib.util
import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from parcela.cli.doctor import basics, virtualisation
from parcela.cli.doctor.basics import BASICS
from parcela.cli.doctor.command import patient
from parcela.cli.doctor.report import Check, Finding, Patient, Verdict, fail, ok, run, warn, worst
from parcela.cli.doctor.virtualisation import VIRTUALISATION
from parcela.core.settings import Settings, env_name
from parcela.db.database import ProcessLock
from parcela.db.migrate import upgrade
from parcela.db.schema import newest_revision
from tests.lab.service import free_port
from tests.unit.cli import support

CHECKS = {check.name: check for check in (*BASICS, *VIRTUALISATION)}


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Settings that touch nothing outside; the data folder is not made yet."""
    for name in Settings.model_fields:
        monkeypatch.delenv(env_name(name), raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PARCELA_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("PARCELA_GUEST_DIR", str(tmp_path / "guest"))
    monkeypatch.setenv("PARCELA_PORT", str(free_port()))
    return tmp_path / "data"


def examine(name: str) -> Finding:
    finding = CHECKS[name].examine(patient(tries=False))
    assert finding is not None
    return finding


def test_a_check_that_crashes_is_a_finding(folder: Path) -> None:
    def crash(_patient: Patient) -> Finding:
        raise ZeroDivisionError("oops")

    findings = run(
        [Check("a", crash), Check("b", lambda _p: None), Check("c", lambda _p: ok("fine"))], patient(tries=False)
    )
    assert [(item["name"], item["verdict"]) for item in findings] == [("a", "warn"), ("c", "ok")]
    assert "ZeroDivisionError" in findings[0]["text"]


@pytest.mark.parametrize(
    ("findings", "verdict"),
    [
        ([], Verdict.OK),
        ([ok("")], Verdict.OK),
        ([ok(""), warn("")], Verdict.WARN),
        ([fail("", ""), warn("")], Verdict.FAIL),
    ],
)
def test_the_worst_counts(folder: Path, findings: list[Finding], verdict: Verdict) -> None:
    left = iter(findings)
    checks = [Check("x", lambda _patient: next(left)) for _ in findings]
    assert worst(run(checks, patient(tries=False))) is verdict


def test_a_machine_without_anything(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_args, **_more: None)
    monkeypatch.setattr(virtualisation, "KVM", folder / "kvm")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr(virtualisation, "may_make_bridges", lambda: False)
    monkeypatch.setattr(virtualisation, "read_capabilities", lambda _uri: None)
    monkeypatch.setenv("PARCELA_LIBVIRT_URI", "qemu:///system")
    shown = support.run("doctor", "--json")
    found = {item["name"]: item for item in shown.json["checks"]}
    assert shown.code == 1
    assert shown.json["verdict"] == "fail"
    assert {name for name, item in found.items() if item["verdict"] == "fail"} == {
        "qemu",
        "qemu-img",
        "libvirt binding",
        "bridges",
    }
    assert all(item["mend"] for item in found.values() if item["verdict"] != "ok")
    assert "libvirt" not in found
    people = support.run("doctor")
    assert people.code == 1
    assert "How to mend it:" in people.out


def test_the_simulated_hypervisor_needs_no_machine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARCELA_HYPERVISOR", "simulated")
    shown = support.run("doctor", "--json")
    assert shown.code == 0
    assert [item["name"] for item in shown.json["checks"]] == [*(check.name for check in BASICS), "hypervisor"]
    assert not folder.exists()


def test_bad_settings_are_one_finding(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARCELA_HYPERVISOR", "simulated")
    monkeypatch.setenv("PARCELA_LOG_LEVEL", "loud")
    monkeypatch.setenv("PARCELA_LEASE_TTL_S", "0")
    shown = support.run("doctor", "--json")
    assert shown.code == 1
    [settings] = [item for item in shown.json["checks"] if item["verdict"] == "fail"]
    assert settings["name"] == "settings"
    assert "PARCELA_LOG_LEVEL" in settings["text"]
    assert "PARCELA_LEASE_TTL_S" in settings["text"]


def test_the_database(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "will be made" in examine("database").text
    upgrade(f"sqlite:///{folder / 'parcela.db'}")
    assert f"up to date ({newest_revision()})" in examine("database").text
    monkeypatch.setattr(basics, "newest_revision", lambda: "9999")
    assert (examine("database").verdict, "migrate" in examine("database").mend) == (Verdict.WARN, True)
    monkeypatch.setattr(basics, "known_revisions", frozenset)
    assert examine("database").verdict is Verdict.FAIL


@pytest.mark.parametrize("url", ["postgresql://nobody@127.0.0.1:9/x", "mysql://nobody@127.0.0.1:9/x"])
def test_a_database_that_does_not_answer(folder: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    assert examine("database").verdict is Verdict.FAIL


def test_the_port(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert examine("port").verdict is Verdict.OK
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("PARCELA_PORT", str(server.getsockname()[1]))
        assert examine("port").verdict is Verdict.FAIL
        lock = ProcessLock(folder)
        lock.acquire()
        assert examine("port").verdict is Verdict.OK
        lock.release()
        assert examine("port").verdict is Verdict.FAIL


def test_the_data_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "will be made" in examine("data folder").text
    folder.mkdir()
    assert "is writable" in examine("data folder").text
    (folder / "file").touch()
    monkeypatch.setenv("PARCELA_DATA_DIR", str(folder / "file" / "below"))
    assert examine("data folder").verdict is Verdict.FAIL


@pytest.mark.parametrize(("most", "verdict"), [(1024, Verdict.WARN), (65536, Verdict.OK)])
def test_open_files(folder: Path, monkeypatch: pytest.MonkeyPatch, most: int, verdict: Verdict) -> None:
    monkeypatch.setattr("parcela.cli.doctor.basics.hard_limit", lambda: most)
    found = examine("open files")
    assert found.verdict is verdict
    assert str(most) in found.text


@pytest.mark.parametrize(("free", "verdict"), [(100, Verdict.OK), (10, Verdict.WARN), (1, Verdict.FAIL)])
def test_room(folder: Path, monkeypatch: pytest.MonkeyPatch, free: int, verdict: Verdict) -> None:
    usage = shutil.disk_usage("/")._replace(free=free * 1024**3)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    assert examine("disk").verdict is verdict


def test_the_guest(folder: Path) -> None:
    guest = folder.parent / "guest"
    assert examine("guest").verdict is Verdict.WARN
    guest.mkdir()
    (guest / "disk.qcow2").write_bytes(b"disk")
    part = {"file": "disk.qcow2", "sha256": hashlib.sha256(b"disk").hexdigest(), "size_bytes": 4}
    (guest / "manifest.json").write_text(json.dumps({"name": "tiny", "version": "1", "disk": part}))
    assert examine("guest").verdict is Verdict.OK
    (guest / "disk.qcow2").write_bytes(b"other")
    assert examine("guest").verdict is Verdict.FAIL


def remember(folder: Path, text: str) -> None:
    (folder / "hypervisor").mkdir(parents=True)
    (folder / "hypervisor" / "acceleration.json").write_text(text)


def is_there(_path: object, _mode: int) -> bool:
    return True


@pytest.mark.parametrize(
    ("stored", "verdict", "text"),
    [
        ('{"acceleration": "kvm", "reason": "a guest booted under KVM"}', Verdict.OK, "KVM: a guest booted"),
        ('{"acceleration": "tcg", "reason": "it hung"}', Verdict.WARN, "Emulation (TCG), VMs are slow: it hung."),
        ("{", Verdict.WARN, "no proof"),
    ],
)
def test_a_device_is_no_proof(
    folder: Path, monkeypatch: pytest.MonkeyPatch, stored: str, verdict: Verdict, text: str
) -> None:
    remember(folder, stored)
    monkeypatch.setattr(os, "access", is_there)
    finding = examine("acceleration")
    assert finding.verdict is verdict
    assert text in finding.text


def test_a_guest_that_hung_is_not_the_fault_of_the_device(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remember(folder, '{"acceleration": "tcg", "reason": "a guest did not boot"}')
    monkeypatch.setattr(os, "access", is_there)
    assert "nested" in examine("acceleration").mend


@pytest.mark.parametrize(("choice", "verdict"), [("tcg", Verdict.WARN), ("kvm", Verdict.FAIL), ("auto", Verdict.WARN)])
def test_without_a_device(folder: Path, monkeypatch: pytest.MonkeyPatch, choice: str, verdict: Verdict) -> None:
    monkeypatch.setattr(virtualisation, "KVM", folder / "kvm")
    monkeypatch.setenv("PARCELA_ACCELERATION", choice)
    assert examine("acceleration").verdict is verdict


@pytest.mark.parametrize(
    ("uri", "able", "verdict"),
    [
        ("qemu:///session", True, Verdict.WARN),
        ("qemu:///system", False, Verdict.FAIL),
        ("qemu:///system", True, Verdict.OK),
    ],
)
def test_bridges(folder: Path, monkeypatch: pytest.MonkeyPatch, uri: str, able: bool, verdict: Verdict) -> None:
    can: Callable[[], bool] = lambda: able  # noqa: E731
    monkeypatch.setattr(virtualisation, "may_make_bridges", can)
    monkeypatch.setenv("PARCELA_LIBVIRT_URI", uri)
    assert examine("bridges").verdict is verdict


@pytest.mark.parametrize(("obstacle", "verdict"), [("", Verdict.OK), ("no cls_u32", Verdict.WARN)])
def test_edges(folder: Path, monkeypatch: pytest.MonkeyPatch, obstacle: str, verdict: Verdict) -> None:
    monkeypatch.setattr(virtualisation, "may_make_bridges", lambda: True)
    monkeypatch.setattr(virtualisation, "try_redirect", lambda: obstacle)
    monkeypatch.setenv("PARCELA_LIBVIRT_URI", "qemu:///system")
    found = examine("edges")
    assert found.verdict is verdict
    assert obstacle in found.text
    monkeypatch.setattr(virtualisation, "may_make_bridges", lambda: False)
    assert CHECKS["edges"].examine(patient(tries=False)) is None


def test_a_session_needs_no_root_tools(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARCELA_LIBVIRT_URI", "qemu:///session")
    assert all(CHECKS[name].examine(patient(tries=False)) is None for name in ("nft", "dnsmasq", "qemu user"))


def dac(label: str) -> str:
    model = f"<secmodel><model>dac</model><baselabel>{label}</baselabel></secmodel>"
    return f"<capabilities><host>{model}</host></capabilities>"


@pytest.mark.parametrize(
    ("capabilities", "verdict"),
    [
        (dac("+4000000:+4000000"), Verdict.FAIL),
        (dac("+0:+0"), Verdict.OK),  # as root: with which privileges is not known
        ("<capabilities><host/></capabilities>", Verdict.OK),
        (None, None),
    ],
)
def test_the_way_of_qemus_user_to_the_disks(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capabilities: str | None, verdict: Verdict | None
) -> None:
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("PARCELA_LIBVIRT_URI", "qemu:///system")
    monkeypatch.setattr(virtualisation, "read_capabilities", lambda _uri: capabilities)
    finding = CHECKS["qemu user"].examine(patient(tries=False))
    assert (finding.verdict if finding else None) is verdict
    if finding and verdict is Verdict.FAIL:
        assert "the user 4000000, who may not enter /" in finding.text
        assert "chmod o+x /" in finding.mend
