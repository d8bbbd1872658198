import struct
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from uuid import UUID, uuid4

import pytest

pytest.importorskip("libvirt")

import libvirt

from parcela.hypervisors.errors import FatalDriverError, HostUnreachableError, RetryableDriverError
from parcela.hypervisors.libvirt import firewall
from parcela.hypervisors.libvirt.accel import Accelerator, Verdict
from parcela.hypervisors.libvirt.cpulimits import cpu_controller_exists
from parcela.hypervisors.libvirt.disks import check_self_contained, qcow2_size_bytes
from parcela.hypervisors.libvirt.events import EventHub, lifecycle_kind
from parcela.hypervisors.libvirt.failures import reason_of, refused, translate
from parcela.hypervisors.libvirt.layout import Layout, Owner, replacing
from parcela.hypervisors.libvirt.nat import choose_subnet
from parcela.hypervisors.libvirt.natguard import NatRules
from parcela.hypervisors.libvirt.power import power_state
from parcela.hypervisors.libvirt.ready import MarkerScan
from parcela.hypervisors.libvirt.serial import LogTail
from parcela.hypervisors.libvirt.vms import udp_ports
from parcela.hypervisors.spec import Acceleration, DriverEvent, PowerState, SegmentKind, SegmentSpec, VmEventKind


class StubError(libvirt.libvirtError):  # type: ignore[misc]
    def __init__(self, code: int, domain: int) -> None:
        Exception.__init__(self, f"stub {code}")
        self.err = (code, domain, "stub", 2, "", "", "", -1, -1)


@pytest.mark.parametrize(
    ("code", "domain", "kind"),
    [
        (libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_FROM_RPC, HostUnreachableError),
        (libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_FROM_RPC, HostUnreachableError),
        (libvirt.VIR_ERR_RPC, libvirt.VIR_FROM_RPC, HostUnreachableError),
        (libvirt.VIR_ERR_INVALID_CONN, libvirt.VIR_FROM_NONE, HostUnreachableError),
        (libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_FROM_QEMU, RetryableDriverError),
        (libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_FROM_QEMU, RetryableDriverError),
        (libvirt.VIR_ERR_OPERATION_TIMEOUT, libvirt.VIR_FROM_QEMU, RetryableDriverError),
        (libvirt.VIR_ERR_OPERATION_FAILED, libvirt.VIR_FROM_QEMU, RetryableDriverError),
        (libvirt.VIR_ERR_CONFIG_UNSUPPORTED, libvirt.VIR_FROM_QEMU, FatalDriverError),
        (libvirt.VIR_ERR_XML_ERROR, libvirt.VIR_FROM_DOMAIN, FatalDriverError),
        (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_FROM_QEMU, FatalDriverError),
    ],
)
def test_error_translation(code: int, domain: int, kind: type[Exception]) -> None:
    error = translate(StubError(code, domain), "start VM web", "rack1")
    assert type(error) is kind
    assert "stub" in error.internal
    assert "stub" not in error.message


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            "Cannot access storage file '/root/x/disk.qcow2' (as uid:64055, gid:106): Permission denied",
            "'parcela doctor'",
        ),
        (
            "process exited while connecting to monitor: qemu: Could not open '/root/disk.qcow2': Permission denied",
            "'parcela doctor'",
        ),
        ("unable to write to '/srv/x': No space left on device", "disk is full"),
        ("cannot set up guest memory 'pc.ram': Cannot allocate memory", "out of memory"),
        ("Could not access KVM kernel module: Permission denied", "KVM cannot be used"),
        ('Failed to get "write" lock. Is another process using the image [/x]?', "another process"),
        ("Cannot access storage file '/srv/x': No such file or directory", "files is missing"),
        ("Cannot get interface MTU on 'br7': No such device", "network is not there"),
        ("process exited while connecting to monitor", "as soon as it was started"),
        ("the moon is full", "the server's log"),
    ],
)
def test_what_is_said_in_words_becomes_a_sentence_without_paths(said: str, shown: str) -> None:
    reason = reason_of(libvirt.VIR_ERR_INTERNAL_ERROR, said)
    assert shown in reason
    assert "/" not in reason
    assert reason_of(libvirt.VIR_ERR_RESOURCE_BUSY, said) == "it is in use"


@pytest.mark.parametrize(
    ("said", "stays"),
    [
        ("Cannot access storage file '/srv/x' (as uid:64055, gid:106): Permission denied", True),
        ("Could not access KVM kernel module: Permission denied", True),
        ("process exited while connecting to monitor: Could not open '/srv/x': No such file or directory", True),
        ("process exited while connecting to monitor", False),
        ("failed to connect to monitor socket: No such file or directory", False),
        ("cannot set up guest memory 'pc.ram': Cannot allocate memory", False),
        ('Failed to get "write" lock. Is another process using the image [/x]?', False),
        ("the moon is full", False),
    ],
)
def test_a_start_that_would_be_refused_again_is_not_repeated(said: str, *, stays: bool) -> None:
    error = StubError(libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_FROM_QEMU)
    error.args = (said,)
    fatal = refused(error, "start VM web")
    assert (fatal is not None) == stays
    if fatal is not None:
        assert fatal.message == f"could not start VM web: {reason_of(libvirt.VIR_ERR_INTERNAL_ERROR, said)}"
        assert said in fatal.internal


def test_a_start_that_lost_its_connection_is_no_refusal() -> None:
    error = StubError(libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_FROM_RPC)
    error.args = ("Could not open '/run/x': No such file or directory",)
    assert refused(error, "start VM web") is None


@pytest.mark.parametrize(
    ("state", "reason", "power"),
    [
        (libvirt.VIR_DOMAIN_RUNNING, 1, PowerState.RUNNING),
        (libvirt.VIR_DOMAIN_SHUTDOWN, 1, PowerState.RUNNING),
        (libvirt.VIR_DOMAIN_PAUSED, 1, PowerState.PAUSED),
        (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED, PowerState.STOPPED),
        (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED, PowerState.CRASHED),
        (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_FAILED, PowerState.CRASHED),
        (libvirt.VIR_DOMAIN_CRASHED, 0, PowerState.CRASHED),
    ],
)
def test_power_state(state: int, reason: int, power: PowerState) -> None:
    assert power_state(state, reason) is power


def test_lifecycle_kinds() -> None:
    stopped = libvirt.VIR_DOMAIN_EVENT_STOPPED
    assert lifecycle_kind(stopped, libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED) is VmEventKind.CRASHED
    assert lifecycle_kind(stopped, libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN) is VmEventKind.STOPPED
    assert lifecycle_kind(libvirt.VIR_DOMAIN_EVENT_DEFINED, 0) is None


@pytest.mark.anyio
async def test_events_of_strangers_are_dropped_and_a_bad_subscriber_costs_nothing() -> None:
    ours, seen = uuid4(), list[DriverEvent]()
    reboots: list[UUID] = []
    hub = EventHub(lambda uuid: uuid == ours, reboots.append)

    def bad(_event: DriverEvent) -> None:
        raise ZeroDivisionError

    hub.subscribe(bad)
    unsubscribe = hub.subscribe(seen.append)
    with hub.watching(ours) as watch:
        hub._vm_event(VmEventKind.STARTED, uuid4())
        assert not await watch.news(0.01)
        hub._vm_event(VmEventKind.STARTED, ours)
        assert await watch.news(0.01)
    for _ in range(3):
        hub._vm_event(VmEventKind.REBOOTED, ours)
    unsubscribe()
    hub.host_changed(up=False)
    assert [event.kind for event in seen] == [VmEventKind.STARTED, VmEventKind.REBOOTED]
    assert reboots == [ours]


def test_marker_is_found_across_reads_and_only_after_the_offset(tmp_path: Path) -> None:
    log = tmp_path / "serial.log"
    scan = MarkerScan(log, b"READY", 0)
    assert not scan.found()
    log.write_bytes(b"boot REA")
    assert not scan.found()
    with log.open("ab") as file:
        file.write(b"DY\n")
    assert scan.found()
    again = MarkerScan(log, b"READY", log.stat().st_size)
    assert not again.found()
    log.write_bytes(b"READY")  # switched on again: the log is shorter than the offset
    assert again.found()


def test_log_tail_follows_truncation_and_rotation(tmp_path: Path) -> None:
    log = tmp_path / "serial.log"
    log.write_bytes(b"x" * 100_000 + b"end")
    tail = LogTail(log)
    first = tail.read()
    assert len(first) == 64 * 1024
    assert first.endswith(b"end")
    assert tail.read() == b""
    log.write_bytes(b"new")
    assert tail.read() == b"new"
    log.rename(tmp_path / "serial.log.0")
    log.write_bytes(b"rotated")
    assert tail.read() == b"rotated"
    tail.close()
    tail.close()


def test_owner_round_trip_and_leftovers(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "state")
    owner, vm = Owner("inst", uuid4(), ("52:54:00:00:00:01",), 2), uuid4()
    for _ in range(2):
        layout.make_vm_folder(vm, owner)
    assert layout.owners() == {vm: owner}
    (layout.vm(vm) / "disk.qcow2").write_bytes(b"")
    # A folder that a kill left without its owner, and a stranger's.
    (layout.vms / str(uuid4())).mkdir()
    (layout.vms / "lost+found").mkdir()
    assert layout.owners() == {vm: owner}
    for _ in range(2):
        layout.remove_vm_folder(vm)
    assert layout.owners() == {}


def test_what_a_killed_process_left_of_a_folder_goes_with_the_next_attempt_or_removal(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "state")
    owner, vm, other = Owner("inst", uuid4(), (), 1), uuid4(), uuid4()
    layout.make_folders()
    for uuid in (vm, other):
        rest = layout.vms / f".tmp-{uuid}-0123456789abcdef"
        rest.mkdir()
        (rest / "owner.json").write_bytes(owner.to_json())
    layout.make_vm_folder(vm, owner)
    assert {path.name for path in layout.vms.iterdir()} == {str(vm), f".tmp-{other}-0123456789abcdef"}
    layout.remove_vm_folder(other)
    layout.remove_vm_folder(vm)
    assert list(layout.vms.iterdir()) == []


def test_replacing_leaves_the_old_file_when_the_work_fails(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail() -> None:
        with replacing(path, mode=0o600) as temporary:
            temporary.write_bytes(b"new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def qcow2(*, version: int = 3, backing_offset: int = 0, features: int = 0, size: int = 1 << 30) -> bytes:
    return struct.pack(">4sIQIIQ", b"QFI\xfb", version, backing_offset, 0, 16, size).ljust(72, b"\0") + struct.pack(
        ">Q", features
    ).ljust(32, b"\0")


@pytest.mark.parametrize(
    "data", [qcow2(backing_offset=512), qcow2(features=4), qcow2(version=2, backing_offset=9), b"x" * 200]
)
def test_images_that_name_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "image"
    path.write_bytes(data)
    with pytest.raises(FatalDriverError):
        check_self_contained(path)


def test_self_contained_images_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(qcow2(features=1))
    check_self_contained(path)
    assert qcow2_size_bytes(path) == 1 << 30


def test_nat_subnet_avoids_the_routes_of_the_machine() -> None:
    used = [IPv4Network("10.231.4.0/24"), IPv4Network("192.168.0.0/16")]
    assert choose_subnet(("10.231.0.0/20", "10.231.16.0/20"), used) == IPv4Network("10.231.16.0/20")
    with pytest.raises(FatalDriverError):
        choose_subnet(("192.168.1.0/24",), used)


def test_the_firewall_lets_guests_reach_only_dhcp_and_dns() -> None:
    text = firewall.ruleset("inst", "pcn1", NatRules("pcn1", IPv4Address("10.231.0.1")))
    packets = text.split("\ntable bridge ")[0]
    rules = [line.strip() for line in packets.splitlines() if "iifname" in line]
    accepted = [rule for rule in rules if rule.endswith("accept")]
    assert all('iifname "pcn1"' in rule for rule in accepted)
    assert {rule.split("dport ")[1].split()[0] for rule in accepted if "dport" in rule} == {"53", "67"}
    assert 'iifname "pcn1" drop' in rules
    assert 'iifname "pcb*" drop' in rules
    without = firewall.ruleset("inst", "pcn1", None)
    assert "accept" not in without.replace("policy accept", "")


@pytest.mark.parametrize("tag", [1, 6383, 6384, 16_000_000])
def test_udp_ports_of_the_two_ends_cross(tag: int) -> None:
    segment = SegmentSpec(uuid4(), None, SegmentKind.EDGE, tag)
    assert udp_ports(segment, 0) == tuple(reversed(udp_ports(segment, 1)))
    assert all(20_000 <= port < 32_768 for port in udp_ports(segment, 0))


def test_cpu_controller_of_both_versions(tmp_path: Path) -> None:
    assert not cpu_controller_exists(tmp_path)
    (tmp_path / "cgroup.controllers").write_text("memory cpu io", encoding="ascii")
    assert cpu_controller_exists(tmp_path)
    (tmp_path / "cgroup.controllers").unlink()
    (tmp_path / "cpu").mkdir()
    assert cpu_controller_exists(tmp_path)


@pytest.mark.anyio
async def test_acceleration_is_emulation_when_a_guest_does_not_boot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, qemu = tmp_path / "kvm", tmp_path / "qemu"
    device.touch(mode=0o660)
    qemu.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "QEMU 1" && exit\nexec sleep 600\n')
    qemu.chmod(0o755)
    monkeypatch.setattr("parcela.hypervisors.libvirt.accel.KVM_DEVICE", device)
    monkeypatch.setattr("parcela.hypervisors.libvirt.accel._QEMU", str(qemu))
    monkeypatch.setattr("parcela.hypervisors.libvirt.accel.TRIAL_TIMEOUT_S", 0.3)
    trials, try_kvm = [], Accelerator._try_kvm

    async def counted(accelerator: Accelerator, kernel: tuple[str, str]) -> Verdict:
        trials.append(kernel)
        return await try_kvm(accelerator, kernel)

    monkeypatch.setattr(Accelerator, "_try_kvm", counted)
    memory = tmp_path / "acceleration.json"
    for _ in range(2):  # the second object remembers
        verdict = await Accelerator("auto", ("k", "i"), memory, switches_user=False).decide()
        assert verdict.acceleration is Acceleration.TCG
        assert "did not boot" in verdict.reason
    assert trials == [("k", "i")]
    monkeypatch.setattr("parcela.hypervisors.libvirt.accel.TRIAL_TIMEOUT_S", 300)
    qemu.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo "QEMU 2" && exit\necho PARCELA READY host=x\nexec sleep 600\n'
    )
    verdict = await Accelerator("auto", ("k", "i"), memory, switches_user=False).decide()
    assert verdict.acceleration is Acceleration.KVM
    assert (await Accelerator("auto", None, memory).decide()).acceleration is Acceleration.TCG
    assert (await Accelerator("kvm", None, memory).decide()).acceleration is Acceleration.KVM
    with pytest.raises(ValueError, match="auto"):
        Accelerator("fast", None, memory)
