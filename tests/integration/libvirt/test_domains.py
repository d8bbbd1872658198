"""Everything that needs QEMU but no booted guest."""

import asyncio
import dataclasses
import hashlib
import os
import signal
from pathlib import Path
from uuid import uuid4

import pytest

from parcela.hypervisors.driver import Driver, Lifetime, ReadySignals, SerialConsoles, VmEvents, VncConsoles
from parcela.hypervisors.errors import FatalDriverError, RetryableDriverError
from parcela.hypervisors.libvirt.driver import LibvirtDriver
from parcela.hypervisors.libvirt.names import bridge_name, tap_name
from parcela.hypervisors.spec import (
    Acceleration,
    Capability,
    ImageFormat,
    ImageSpec,
    NicSpec,
    PowerState,
    SegmentKind,
    VmEventKind,
)
from tests.integration.libvirt.harness import (
    Recorder,
    eventually,
    links,
    make_driver,
    make_mac,
    make_segment,
    make_vm,
    output_of,
    power,
    qemu_pid,
    read_line,
    virsh,
)

pytestmark = [pytest.mark.anyio, pytest.mark.libvirt, pytest.mark.guest]


async def test_probe_tells_what_the_host_is(driver: LibvirtDriver) -> None:
    facts = await driver.probe()
    assert facts.hypervisor.startswith("QEMU ")
    assert facts.acceleration is Acceleration.TCG
    assert facts.vcpus == os.cpu_count()
    assert facts.memory_mib > 1024
    assert facts.disk_gib > 1
    assert Capability.LAN_SEGMENTS in facts.capabilities
    checked: Driver = driver
    assert checked is driver
    for protocol in (Lifetime, VmEvents, ReadySignals, SerialConsoles, VncConsoles):
        assert isinstance(driver, protocol)


async def test_a_killed_qemu_is_a_crash(driver: LibvirtDriver, image: ImageSpec) -> None:
    vm = make_vm(image)
    recorder = Recorder(driver)
    await driver.create_vm(vm)
    await driver.start_vm(vm.uuid, paused=True)
    assert await power(driver, vm.uuid) is PowerState.PAUSED
    os.kill(qemu_pid(vm.uuid), signal.SIGKILL)
    await eventually(lambda: recorder.has(VmEventKind.CRASHED, vm.uuid))
    assert await power(driver, vm.uuid) is PowerState.CRASHED
    await driver.start_vm(vm.uuid)
    assert await power(driver, vm.uuid) is PowerState.RUNNING


async def test_a_hung_qemu_does_not_block_the_inventory(driver: LibvirtDriver, image: ImageSpec) -> None:
    vm = make_vm(image)
    await driver.create_vm(vm)
    await driver.start_vm(vm.uuid, paused=True)
    pid = qemu_pid(vm.uuid)
    os.kill(pid, signal.SIGSTOP)
    try:
        assert await power(driver, vm.uuid) is PowerState.PAUSED
        # Nor its own removal: libvirtd kills what does not answer.
        await driver.remove_vm(vm.uuid)
    except BaseException:
        os.kill(pid, signal.SIGCONT)
        raise
    assert await power(driver, vm.uuid) is None


async def test_the_processor_limit_is_set(driver: LibvirtDriver, image: ImageSpec, uri: str) -> None:
    if Capability.RESOURCE_LIMITS not in (await driver.probe()).capabilities:
        pytest.skip("this kernel has no CPU quotas")
    vm = make_vm(image)
    await driver.create_vm(vm)
    await driver.start_vm(vm.uuid, paused=True)
    values = dict(line.split(":") for line in virsh(uri, "schedinfo", str(vm.uuid)).splitlines() if ":" in line)
    assert {key.strip(): value.strip() for key, value in values.items()}["global_quota"] == "100000"


@pytest.mark.parametrize("delay_s", [0.0, 0.01, 0.02, 0.03, 0.05, 0.08])
async def test_a_call_that_was_cut_off_may_be_repeated(driver: LibvirtDriver, image: ImageSpec, delay_s: float) -> None:
    vm = make_vm(image)

    async def build() -> None:
        await driver.create_vm(vm)
        await driver.start_vm(vm.uuid, paused=True)

    task = asyncio.create_task(build())
    await asyncio.wait([task], timeout=delay_s)
    task.cancel()
    await asyncio.wait([task])
    await build()
    assert await power(driver, vm.uuid) is PowerState.PAUSED
    await driver.remove_vm(vm.uuid)
    assert (await driver.inventory()).vms == ()


async def test_every_call_may_be_repeated(driver: LibvirtDriver, image: ImageSpec) -> None:
    segment = make_segment(SegmentKind.LAN, slice_uuid=uuid4())
    vm = make_vm(image, NicSpec(make_mac(), segment), NicSpec(make_mac(), None))
    for _ in range(2):
        await driver.ensure_image(image)
        await driver.ensure_segment(segment)
        await driver.create_vm(vm)
    before = await driver.inventory()
    assert [(v.uuid, v.slice_uuid, v.power, v.defined) for v in before.vms] == [
        (vm.uuid, vm.slice_uuid, PowerState.STOPPED, True)
    ]
    assert [(s.uuid, s.slice_uuid, s.kind) for s in before.segments] == [
        (segment.uuid, segment.slice_uuid, SegmentKind.LAN)
    ]
    for _ in range(2):
        await driver.start_vm(vm.uuid, paused=True)
    await driver.create_vm(vm)
    assert await power(driver, vm.uuid) is PowerState.PAUSED
    with pytest.raises(RetryableDriverError):
        await driver.remove_segment(segment.uuid)
    for _ in range(2):
        await driver.power_off(vm.uuid)
    larger = dataclasses.replace(vm, vcpus=2, memory_mib=160, disk_gib=2, name="renamed")
    for _ in range(2):
        await driver.update_vm(larger)
        await driver.reset_disk(larger)
    with pytest.raises(FatalDriverError):
        await driver.update_vm(vm)  # a smaller disk
    for _ in range(2):
        await driver.remove_vm(vm.uuid)
        await driver.remove_segment(segment.uuid)
    assert await driver.inventory() == type(before)()


async def test_removing_leaves_nothing(driver: LibvirtDriver, image: ImageSpec, folder: Path, uri: str) -> None:
    links_before, domains_before = links(), virsh(uri, "list", "--all")
    segment = make_segment()
    vm = make_vm(image, NicSpec(make_mac(), segment))
    await driver.ensure_segment(segment)
    await driver.create_vm(vm)
    await driver.start_vm(vm.uuid, paused=True)
    bridge = bridge_name(driver._host.installation, segment.uuid)
    assert {bridge, tap_name(vm.uuid, 0)} <= links()
    assert read_line(f"/sys/class/net/{bridge}/bridge/stp_state") == "0"
    assert read_line(f"/sys/class/net/{bridge}/bridge/group_fwd_mask") == "0xfff8"
    await driver.remove_vm(vm.uuid)
    await driver.remove_segment(segment.uuid)
    assert links() == links_before
    assert virsh(uri, "list", "--all") == domains_before
    assert list((folder / "hypervisor" / "vms").iterdir()) == []
    assert "parcela_" not in output_of("nft", "list", "tables")


async def test_flushed_firewall_rules_come_back_with_the_next_look(driver: LibvirtDriver) -> None:
    segment = make_segment()
    await driver.ensure_segment(segment)
    output_of("nft", "flush", "ruleset")
    assert "parcela_" not in output_of("nft", "list", "tables")
    driver._firewall_checked_s = float("-inf")  # as after half a minute
    await driver.probe()
    assert "parcela_" in output_of("nft", "list", "tables")
    await driver.remove_segment(segment.uuid)
    driver._firewall_checked_s = float("-inf")
    await driver.probe()
    assert "parcela_" not in output_of("nft", "list", "tables"), "no segment, no table"


async def test_images_stay_roots_while_a_guest_uses_them(driver: LibvirtDriver, image: ImageSpec, folder: Path) -> None:
    vm = make_vm(image)
    await driver.create_vm(vm)
    await driver.start_vm(vm.uuid, paused=True)
    files = list((folder / "hypervisor" / "images").iterdir())
    assert len(files) == 3
    for path in files:
        assert path.stat().st_mode & 0o777 == 0o440
        assert path.stat().st_uid == os.geteuid(), path


async def test_strangers_are_not_seen_and_not_touched(
    driver: LibvirtDriver, image: ImageSpec, folder: Path, uri: str
) -> None:
    vm, segment = make_vm(image), make_segment()
    other = make_driver(folder / "other", uri=uri)
    await other.open()
    try:
        await other.ensure_image(image)
        await other.ensure_segment(segment)
        await other.create_vm(vm)
        await other.start_vm(vm.uuid, paused=True)
        found = await driver.inventory()
        assert found.vms == ()
        assert found.segments == ()
        await driver.remove_vm(vm.uuid)
        await driver.power_off(vm.uuid)
        await driver.remove_segment(segment.uuid)
        for refused in (driver.create_vm(vm), driver.start_vm(vm.uuid), driver.suspend(vm.uuid)):
            with pytest.raises(FatalDriverError):
                await refused
        assert await power(other, vm.uuid) is PowerState.PAUSED
        assert len((await other.inventory()).segments) == 1
    finally:
        await other.remove_vm(vm.uuid)
        await other.remove_segment(segment.uuid)
        await other.aclose()


async def test_calls_on_a_missing_vm_are_fatal(driver: LibvirtDriver, image: ImageSpec) -> None:
    vm = make_vm(image)
    await driver.remove_vm(vm.uuid)
    await driver.power_off(vm.uuid)
    calls = (
        driver.start_vm(vm.uuid),
        driver.shut_down(vm.uuid, timeout_s=1),
        driver.reboot(vm.uuid),
        driver.suspend(vm.uuid),
        driver.resume(vm.uuid),
        driver.update_vm(vm),
        driver.reset_disk(vm),
        driver.open_serial(vm.uuid),
        driver.open_vnc(vm.uuid),
        driver.wait_ready(vm.uuid, "x", timeout_s=1),
    )
    for call in calls:
        with pytest.raises(FatalDriverError):
            await call


async def test_calls_on_a_vm_that_is_off_are_fatal(driver: LibvirtDriver, image: ImageSpec) -> None:
    vm = make_vm(image)
    await driver.create_vm(vm)
    calls = (
        driver.reboot(vm.uuid),
        driver.suspend(vm.uuid),
        driver.resume(vm.uuid),
        driver.open_serial(vm.uuid),
        driver.open_vnc(vm.uuid),
    )
    for call in calls:
        with pytest.raises(FatalDriverError):
            await call


async def test_leftovers_of_a_killed_call_are_shown_and_removed(
    driver: LibvirtDriver, image: ImageSpec, uri: str
) -> None:
    vm = make_vm(image)
    await driver.create_vm(vm)
    virsh(uri, "undefine", str(vm.uuid))
    (found,) = (await driver.inventory()).vms
    assert (found.uuid, found.slice_uuid, found.defined) == (vm.uuid, vm.slice_uuid, False)
    await driver.create_vm(vm)
    (found,) = (await driver.inventory()).vms
    assert found.defined
    virsh(uri, "undefine", str(vm.uuid))
    await driver.remove_vm(vm.uuid)
    assert (await driver.inventory()).vms == ()


async def test_a_wrong_image_is_refused(driver: LibvirtDriver, image: ImageSpec, folder: Path) -> None:
    images = folder / "hypervisor" / "images"
    before = set(images.iterdir())
    with pytest.raises(FatalDriverError):
        await driver.ensure_image(dataclasses.replace(image, sha256="0" * 64))
    # An overlay of a file of the host: QEMU would show that file to the guest.
    base, overlay = folder / "secret.raw", folder / "evil.qcow2"
    base.write_bytes(b"s" * 65536)
    output_of("qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", "raw", str(overlay))
    evil = ImageSpec(hashlib.sha256(overlay.read_bytes()).hexdigest(), ImageFormat.QCOW2, str(overlay), 65536)
    with pytest.raises(FatalDriverError):
        await driver.ensure_image(evil)
    assert set(images.iterdir()) == before
    with pytest.raises(FatalDriverError):
        await driver.create_vm(make_vm(evil))


async def test_iso_images_boot_as_a_cd_with_an_empty_disk(driver: LibvirtDriver, folder: Path, uri: str) -> None:
    path = folder / "some.iso"
    path.write_bytes(bytes(65536))
    image = ImageSpec(hashlib.sha256(path.read_bytes()).hexdigest(), ImageFormat.ISO, str(path), 65536)
    await driver.ensure_image(image)
    vm = make_vm(image)
    await driver.create_vm(vm)
    await driver.start_vm(vm.uuid, paused=True)
    text = virsh(uri, "dumpxml", str(vm.uuid))
    assert "device='cdrom'" in text
    assert "device='disk'" in text
