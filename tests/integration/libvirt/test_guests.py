"""Guests that really boot."""

from pathlib import Path

import pytest

from parcela.hypervisors.errors import FatalDriverError
from parcela.hypervisors.libvirt.driver import LibvirtDriver
from parcela.hypervisors.spec import ImageSpec, NicSpec, PowerState, VmEventKind, VmSpec
from tests.integration.libvirt.harness import (
    BOOT_TIMEOUT_S,
    CALL_TIMEOUT_S,
    Recorder,
    Shell,
    eventually,
    make_mac,
    make_segment,
    make_vm,
    power,
)

pytestmark = [pytest.mark.anyio, pytest.mark.libvirt, pytest.mark.guest, pytest.mark.slow]


async def boot(driver: LibvirtDriver, *specs: VmSpec) -> None:
    for spec in specs:
        await driver.create_vm(spec)
        await driver.start_vm(spec.uuid)
    for spec in specs:
        marker = spec.image.ready_marker or ""
        assert await driver.wait_ready(spec.uuid, marker, timeout_s=BOOT_TIMEOUT_S)


async def shell(driver: LibvirtDriver, spec: VmSpec) -> Shell:
    opened = Shell(await driver.open_serial(spec.uuid))
    await opened.prompt()
    return opened


async def test_two_vms_talk_over_an_edge(driver: LibvirtDriver, image: ImageSpec) -> None:
    segment = make_segment(mtu=1400)
    await driver.ensure_segment(segment)
    left, right = (
        make_vm(image, NicSpec(make_mac(), segment, end, f"10.7.0.{end + 1}/24", mtu=1400), name=f"end{end}")
        for end in (0, 1)
    )
    await boot(driver, left, right)

    console = await shell(driver, left)
    status, output = await console.run("ping -c 2 10.7.0.2")
    assert status == 0, output
    status, output = await console.run("cat /sys/class/net/eth0/mtu; hostname")
    assert "1400" in output
    assert "end0" in output
    # Larger than the MTU and unfragmented: must not pass.
    status, _ = await console.run("ping -c 1 -s 1372 10.7.0.2")
    assert status == 0

    # The second opening sees the history and takes the keyboard; the first goes on reading.
    second = Shell(await driver.open_serial(left.uuid))
    await second.expect(b"PARCELA READY")
    await second.prompt()
    assert (await second.run("echo se''en by both"))[0] == 0
    await console.expect(b"seen by both")
    await console.stream.aclose()

    screen = await driver.open_vnc(left.uuid)
    assert (await screen.read()).startswith(b"RFB 003.")
    await screen.aclose()

    # A long paste arrives whole: what the guest cannot take yet waits.
    lines = "".join(f"{number:05d} the quick brown fox jumps over the lazy dog\n" for number in range(150))
    status, output = await second.run(
        f"cat > /tmp/paste <<'EOF'\n{lines}EOF\ntest $(wc -c < /tmp/paste) = {len(lines)}"
    )
    assert status == 0, output[-500:]

    # Nobody but the two ends is on the segment, and the host has no address there.
    status, _ = await second.run("ping -c 1 -W 2 10.7.0.254")
    assert status != 0
    await second.stream.aclose()
    await second.stream.aclose()


async def test_a_vm_keeps_its_disk_until_it_is_reset(driver: LibvirtDriver, image: ImageSpec) -> None:
    vm = make_vm(image, name="keeper")
    recorder = Recorder(driver)
    await boot(driver, vm)
    await driver.start_vm(vm.uuid)  # a repeat: nothing happens
    console = await shell(driver, vm)
    assert (await console.run("echo mine > /data/mark && sync"))[0] == 0

    await driver.suspend(vm.uuid)
    await driver.suspend(vm.uuid)
    assert await power(driver, vm.uuid) is PowerState.PAUSED
    await driver.resume(vm.uuid)
    await driver.resume(vm.uuid)
    assert await power(driver, vm.uuid) is PowerState.RUNNING
    assert (await console.run("true"))[0] == 0

    for refused in (driver.reset_disk(vm), driver.update_vm(vm)):
        with pytest.raises(FatalDriverError):
            await refused
    assert await driver.shut_down(vm.uuid, timeout_s=CALL_TIMEOUT_S)
    assert await driver.shut_down(vm.uuid, timeout_s=1)
    assert await power(driver, vm.uuid) is PowerState.STOPPED
    assert await console.stream.read() is not None
    await console.stream.aclose()
    await eventually(lambda: recorder.has(VmEventKind.STOPPED, vm.uuid))
    for kind in (VmEventKind.STARTED, VmEventKind.PAUSED, VmEventKind.RESUMED):
        assert recorder.has(kind, vm.uuid)
    assert not await driver.wait_ready(vm.uuid, "PARCELA READY", timeout_s=5)

    await boot(driver, vm)
    console = await shell(driver, vm)
    assert (await console.run("grep mine /data/mark"))[0] == 0
    await console.stream.aclose()
    await driver.power_off(vm.uuid)
    await driver.power_off(vm.uuid)

    await driver.reset_disk(vm)
    await boot(driver, vm)
    console = await shell(driver, vm)
    assert (await console.run("test ! -e /data/mark"))[0] == 0
    await console.stream.aclose()


async def test_reboot_is_ready_only_when_the_guest_is_up_again(
    driver: LibvirtDriver, image: ImageSpec, folder: Path
) -> None:
    vm = make_vm(image, name="again")
    recorder = Recorder(driver)
    await boot(driver, vm)
    await driver.reboot(vm.uuid)
    assert not await driver.wait_ready(vm.uuid, "PARCELA READY", timeout_s=0.2)
    assert await driver.wait_ready(vm.uuid, "PARCELA READY", timeout_s=BOOT_TIMEOUT_S)
    assert recorder.has(VmEventKind.REBOOTED, vm.uuid)
    log = folder / "hypervisor" / "vms" / str(vm.uuid) / "serial.log"
    assert log.read_bytes().count(b"PARCELA READY") == 2
