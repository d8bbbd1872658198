"""A real guest on a host whose VM folder is full: why it is paused, what helps, and what frees space needs none."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from parcela.core.power import PowerReason
from parcela.hypervisors.errors import NoSpaceError, VmPausedError
from parcela.hypervisors.libvirt.driver import LibvirtDriver
from parcela.hypervisors.spec import ImageSpec, PowerState, VmObservation, VmSpec
from tests.integration.libvirt.harness import (
    BOOT_TIMEOUT_S,
    CALL_TIMEOUT_S,
    Shell,
    clean_up,
    eventually,
    make_driver,
    make_image,
    make_vm,
    virsh,
)
from tests.support.filesystems import MIB, SmallDisk, small_disk

pytestmark = [pytest.mark.anyio, pytest.mark.libvirt, pytest.mark.guest, pytest.mark.slow]
MARKER = "PARCELA READY"


@pytest.fixture
def disk(folder: Path) -> Iterator[SmallDisk]:
    with small_disk(folder / "hypervisor", size_mib=64) as made:
        yield made


@pytest.fixture
async def driver(disk: SmallDisk, folder: Path, uri: str) -> AsyncIterator[LibvirtDriver]:
    made = make_driver(folder, uri=uri)
    await made.open()
    try:
        yield made
    finally:
        disk.free()
        await clean_up(made)
        await made.aclose()


async def _seen(driver: LibvirtDriver, vm: VmSpec) -> VmObservation:
    return next(found for found in (await driver.inventory()).vms if found.uuid == vm.uuid)


async def _paused_for_space(driver: LibvirtDriver, vm: VmSpec) -> None:
    with driver._host.events.watching(vm.uuid) as watch:
        async with asyncio.timeout(CALL_TIMEOUT_S):
            while (await _seen(driver, vm)).power is not PowerState.PAUSED:
                await watch.news(1)
    assert (await _seen(driver, vm)).reason is PowerReason.NO_SPACE


async def _filling_guest(driver: LibvirtDriver, disk: SmallDisk, image: ImageSpec) -> tuple[VmSpec, Shell]:
    """A guest that writes until its host's disk is full."""
    vm = make_vm(image, name="writer")
    await driver.create_vm(vm)
    await driver.start_vm(vm.uuid)
    assert await driver.wait_ready(vm.uuid, MARKER, timeout_s=BOOT_TIMEOUT_S)
    shell = Shell(await driver.open_serial(vm.uuid))
    await shell.prompt()
    disk.fill(leave_bytes=2 * MIB)
    await shell.stream.write(b"dd if=/dev/urandom of=/data/big bs=1M count=24; sync; echo W''RITTEN\n")
    await _paused_for_space(driver, vm)
    return vm, shell


async def test_a_guest_that_fills_the_disk_goes_on_when_there_is_space(
    driver: LibvirtDriver, disk: SmallDisk, image: ImageSpec, folder: Path, uri: str
) -> None:
    vm, shell = await _filling_guest(driver, disk, image)
    assert "I/O error" in virsh(uri, "domstate", "--reason", str(vm.uuid))
    for call in (driver.resume, driver.start_vm):
        with pytest.raises(VmPausedError, match="the disk of its host is full") as refused:
            await call(vm.uuid)
        assert refused.value.reason is PowerReason.NO_SPACE
    # Another process of ours that did not hear the event says the same.
    later = make_driver(folder, installation=driver._host.installation, uri=uri)
    await later.open()
    try:
        assert (await _seen(later, vm)).reason is PowerReason.NO_SPACE
        assert (
            await later.shut_down(vm.uuid, timeout_s=CALL_TIMEOUT_S) is False
        )  # at once: it would not hear the button
    finally:
        await later.aclose()

    disk.free()
    await driver.resume(vm.uuid)
    await shell.expect(b"WRITTEN")
    status, output = await shell.run("test $(wc -c < /data/big) = 25165824 && ! dmesg | grep -i 'i/o error'")
    assert status == 0, output
    found = await _seen(driver, vm)
    assert (found.power, found.reason) == (PowerState.RUNNING, None)
    await shell.stream.aclose()


async def test_what_frees_space_needs_none(driver: LibvirtDriver, disk: SmallDisk, image: ImageSpec) -> None:
    vm, shell = await _filling_guest(driver, disk, image)
    await shell.stream.aclose()
    disk.fill()
    with pytest.raises(NoSpaceError, match="host here has no space left in its VM folder"):
        await driver.create_vm(make_vm(image, name="more"))
    other = make_image()
    bigger = ImageSpec(other.kernel_sha256, other.format, str(other.kernel_path), other.virtual_size_bytes)
    with pytest.raises(NoSpaceError, match="could not copy image"):
        await driver.ensure_image(bigger)
    assert [path.name for path in (disk.folder / "images").iterdir() if path.name.startswith(".")] == []

    await driver.power_off(vm.uuid)
    path = disk.folder / "vms" / str(vm.uuid) / "disk.qcow2"
    before = path.stat().st_size
    await driver.reset_disk(vm)
    assert path.stat().st_size < before / 2
    await driver.start_vm(vm.uuid)
    assert await driver.wait_ready(vm.uuid, MARKER, timeout_s=BOOT_TIMEOUT_S)
    await driver.remove_vm(vm.uuid)
    assert not path.parent.exists()


async def test_a_boot_that_runs_out_of_space_says_so(driver: LibvirtDriver, disk: SmallDisk, image: ImageSpec) -> None:
    vm = make_vm(image, name="late", user_data="#!/bin/sh\ndd if=/dev/urandom of=/data/big bs=1M count=24; sync\n")
    await driver.create_vm(vm)
    disk.fill(leave_bytes=2 * MIB)
    await driver.start_vm(vm.uuid)
    with pytest.raises(VmPausedError):
        await driver.wait_ready(vm.uuid, "this never comes", timeout_s=BOOT_TIMEOUT_S)
    await driver.power_off(vm.uuid)


async def test_other_hands_are_told_apart(driver: LibvirtDriver, image: ImageSpec, uri: str) -> None:
    vm = make_vm(image, name="handled")
    await driver.create_vm(vm)
    await driver.start_vm(vm.uuid)
    virsh(uri, "suspend", str(vm.uuid))
    assert (await _seen(driver, vm)).reason is PowerReason.BY_HAND
    await driver.resume(vm.uuid)  # nothing was wrong, so nothing is waited for
    assert (await _seen(driver, vm)).reason is None
    virsh(uri, "destroy", str(vm.uuid))
    assert (await _seen(driver, vm)).reason is PowerReason.BY_HAND
    await eventually(lambda: vm.uuid not in driver._host.events.io_errors)
