"""libvirtd dies and comes back."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from parcela.hypervisors.errors import HostUnreachableError
from parcela.hypervisors.libvirt.driver import LibvirtDriver
from parcela.hypervisors.spec import ImageSpec, PowerState, VmEventKind
from tests.integration.libvirt.harness import (
    CALL_TIMEOUT_S,
    Recorder,
    eventually,
    make_driver,
    make_vm,
    power,
    qemu_pid,
)

pytestmark = [pytest.mark.anyio, pytest.mark.libvirt, pytest.mark.guest, pytest.mark.slow]

SOCKET = Path("/run/libvirt/libvirt-sock")


def running_libvirtd() -> tuple[int, list[str]]:
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (path / "comm").read_text(encoding="ascii").strip() == "libvirtd":
                command = (path / "cmdline").read_text(encoding="utf-8").rstrip("\0").split("\0")
                if command != [""]:  # a zombie has none
                    return int(path.name), command
        except OSError:
            continue
    pytest.fail("no libvirtd of the lab runs here")


def is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


@pytest.fixture
def kill_libvirtd(uri: str) -> Callable[[], Callable[[], None]]:
    """Kills libvirtd and gives the function that starts it again with the same command line."""
    if os.environ.get("PARCELA_TEST_ISOLATED") != "1":
        pytest.skip("only in the isolated lab: it kills libvirtd")

    # The lab shows a part of the control group trees as the whole, but /proc/<pid>/cgroup still tells the whole path:
    # a restarted libvirtd does not find a guest's group in the version 2 tree and kills the guest.
    subprocess.run(["umount", "--lazy", "/sys/fs/cgroup/unified"], check=False, capture_output=True)

    def kill() -> Callable[[], None]:
        pid, command = running_libvirtd()
        os.kill(pid, signal.SIGKILL)
        deadline_s = time.monotonic() + CALL_TIMEOUT_S
        while not is_gone(pid):
            assert time.monotonic() < deadline_s

        def start() -> None:
            log = subprocess.DEVNULL
            # Left running on purpose: the lab ends it with everything else.
            subprocess.Popen(["setsid", "--fork", *command], stdin=log, stdout=log, stderr=log).wait()

        return start

    return kill


async def test_driver_survives_the_death_of_libvirtd(
    driver: LibvirtDriver, image: ImageSpec, kill_libvirtd: Callable[[], Callable[[], None]]
) -> None:
    recorder = Recorder(driver)
    survivor, victim = make_vm(image), make_vm(image)
    for vm in (survivor, victim):
        await driver.create_vm(vm)
        await driver.start_vm(vm.uuid, paused=True)
    start = kill_libvirtd()
    try:
        await eventually(lambda: recorder.has(VmEventKind.HOST_LOST))
        for call in (driver.inventory(), driver.probe(), driver.start_vm(survivor.uuid), driver.create_vm(survivor)):
            with pytest.raises(HostUnreachableError):
                await call
        # No event tells of this one: the sweep after HOST_BACK must.
        os.kill(qemu_pid(victim.uuid), signal.SIGKILL)
    finally:
        start()
    await eventually(lambda: recorder.has(VmEventKind.HOST_BACK))
    assert await power(driver, survivor.uuid) is PowerState.PAUSED
    assert await power(driver, victim.uuid) in {PowerState.CRASHED, PowerState.STOPPED}
    await driver.start_vm(victim.uuid)
    await eventually(lambda: recorder.has(VmEventKind.STARTED, victim.uuid))


async def test_open_does_not_fail_without_libvirtd(
    folder: Path, uri: str, kill_libvirtd: Callable[[], Callable[[], None]]
) -> None:
    start = kill_libvirtd()
    late = make_driver(folder, uri=uri)
    try:
        await late.open()
        recorder = Recorder(late)
        with pytest.raises(HostUnreachableError):
            await late.probe()
    finally:
        start()
    try:
        await eventually(lambda: recorder.has(VmEventKind.HOST_BACK))
        assert (await late.probe()).vcpus > 0
    finally:
        await late.aclose()
        await late.aclose()
    with pytest.raises(HostUnreachableError):
        await late.inventory()
