"""Another user of the machine reads nothing of a VM, though its paths are in the list of processes; QEMU does."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from parcela.hypervisors.libvirt.driver import LibvirtDriver
from parcela.hypervisors.spec import ImageSpec
from tests.integration.libvirt.harness import BOOT_TIMEOUT_S, make_driver, make_vm, qemu_pid

pytestmark = [pytest.mark.anyio, pytest.mark.libvirt, pytest.mark.guest, pytest.mark.slow]


def as_nobody(*command: str) -> subprocess.CompletedProcess[bytes]:
    switch = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    return subprocess.run([*switch, *command], check=False, capture_output=True)


def paths_in_the_process_list(folder: Path, pid: int) -> list[str]:
    """The files below the folder that everybody sees in QEMU's command line."""
    text = as_nobody("cat", f"/proc/{pid}/cmdline").stdout.decode()
    parts = text.replace("\0", " ").replace('"', " ").replace(",", " ").replace("=", " ").split()
    return sorted({part for part in parts if part.startswith(str(folder)) and Path(part).is_file()})


def files_below(folder: Path) -> Iterator[Path]:
    yield from (path for path in folder.rglob("*") if path.is_file())


async def test_another_user_reads_no_file_and_the_guest_boots_and_is_reset(
    driver: LibvirtDriver, image: ImageSpec, folder: Path
) -> None:
    vm = make_vm(image, user_data="#!/bin/sh\n# the-secret\n")
    await driver.create_vm(vm)
    await driver.start_vm(vm.uuid)
    assert await driver.wait_ready(vm.uuid, "PARCELA READY", timeout_s=BOOT_TIMEOUT_S)
    named = paths_in_the_process_list(folder, qemu_pid(vm.uuid))
    assert len(named) >= 4, "base image, overlay, seed and kernel"
    driver._host.note_reboot(vm.uuid)
    every = [str(path) for path in files_below(folder)]
    assert set(named) <= set(every)
    assert [path for path in every if as_nobody("cat", path).returncode == 0] == []
    await driver.power_off(vm.uuid)
    await driver.reset_disk(vm)
    await driver.start_vm(vm.uuid)
    assert await driver.wait_ready(vm.uuid, "PARCELA READY", timeout_s=BOOT_TIMEOUT_S)


async def test_files_of_an_older_installation_are_closed_when_it_is_opened(
    driver: LibvirtDriver, image: ImageSpec, folder: Path, uri: str
) -> None:
    vm = make_vm(image)
    await driver.create_vm(vm)
    old = [path for path in files_below(folder) if path.name != "disk.qcow2"]
    for path in old:
        await asyncio.to_thread(path.chmod, 0o444)
    newer = make_driver(folder, installation=driver._host.installation, uri=uri)
    await newer.open()
    try:
        await newer.probe()
        assert [path for path in old if as_nobody("cat", str(path)).returncode == 0] == []
        await newer.start_vm(vm.uuid)
        assert await newer.wait_ready(vm.uuid, "PARCELA READY", timeout_s=BOOT_TIMEOUT_S)
    finally:
        await newer.aclose()
