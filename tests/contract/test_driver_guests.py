"""Contract: what needs a booted guest. A boot costs seconds on a real host, so each test checks all it can with one."""

import asyncio
import re
from collections.abc import Callable

import pytest

from parcela.core.topology.validate import MAX_NICS
from parcela.hypervisors.driver import ConsoleStream
from parcela.hypervisors.spec import PowerState, VmEventKind
from tests.contract.labs import BOOT_TIMEOUT_S, Lab, nic
from tests.contract.watching import TIMEOUT_S, read_to_end, shell, watching

pytestmark = pytest.mark.anyio


async def test_ready_and_then_shut_down(lab: Lab) -> None:
    spec = await lab.running()
    assert await lab.driver.wait_ready(spec.uuid, lab.marker, timeout_s=BOOT_TIMEOUT_S)
    assert await lab.driver.wait_ready(spec.uuid, lab.marker, timeout_s=0.001), "at once when it already did"
    with watching(lab.driver) as watcher:
        assert await lab.driver.shut_down(spec.uuid, timeout_s=TIMEOUT_S)
        await watcher.wait_for(VmEventKind.STOPPED, spec.uuid)
    assert await lab.power(spec.uuid) is PowerState.STOPPED
    assert not await lab.driver.wait_ready(spec.uuid, lab.marker, timeout_s=30), "only since it was last started"


async def test_a_guest_with_the_most_cards(lab: Lab) -> None:
    spec = await lab.ready(*(nic(None) for _ in range(MAX_NICS)))
    async with shell(lab.driver, spec.uuid, "web") as there:
        seen = re.findall(r"link/ether (\S+)", await there.run("ip link"))
    assert seen == [card.mac for card in spec.nics], "all of them, in their order"


async def test_waiting_ends_when_the_vm_stops(lab: Lab) -> None:
    spec = await lab.running()
    waiting = asyncio.create_task(lab.driver.wait_ready(spec.uuid, "no guest prints this", timeout_s=600))
    # Give it its turn, so that it really waits when the plug is pulled; correct in any order.
    await asyncio.sleep(0)
    await lab.driver.power_off(spec.uuid)
    async with asyncio.timeout(TIMEOUT_S):
        assert not await waiting


async def test_a_reboot_boots_again(lab: Lab) -> None:
    spec = await lab.ready()
    with watching(lab.driver) as watcher:
        await lab.driver.reboot(spec.uuid)
        await watcher.wait_for(VmEventKind.REBOOTED, spec.uuid)
    assert await lab.power(spec.uuid) is PowerState.RUNNING
    assert await lab.driver.wait_ready(spec.uuid, lab.marker, timeout_s=BOOT_TIMEOUT_S)


async def test_the_serial_line(lab: Lab) -> None:
    spec = await lab.ready()
    async with shell(lab.driver, spec.uuid, "web") as first:
        assert "web" in (await first.run("hostname")).splitlines()[1]
        second = await lab.driver.open_serial(spec.uuid)
        history = await second.read()
        while lab.marker.encode() not in history:
            history += await second.read()
        # Both see what the newest types; what the other one types is dropped.
        await first.stream.write(b"echo dropped\n")
        await second.write(b"echo seen\n")
        for stream in (first.stream, second):
            assert "dropped" not in await _until(stream, "\nseen")
        assert second.has_keyboard
        await second.aclose()
        await second.aclose()
        async with shell(lab.driver, spec.uuid, "web") as third:
            await third.run("true")
            await lab.driver.power_off(spec.uuid)
            for stream in (first.stream, third.stream):
                await read_to_end(stream)
                with pytest.raises(ConnectionError):
                    await stream.write(b"hostname\n")


async def test_the_keyboard_of_a_serial_line(lab: Lab) -> None:
    spec = await lab.ready()
    first = await lab.driver.open_serial(spec.uuid)
    second = await lab.driver.open_serial(spec.uuid)
    await _eventually(lambda: not first.has_keyboard)
    assert not await first.take_keyboard(force=False)
    assert second.has_keyboard
    assert await first.take_keyboard(force=True)
    await _eventually(lambda: not second.has_keyboard)
    await first.write(b"echo again\n")
    for stream in (first, second):
        await _until(stream, "\nagain")
    await first.aclose()
    assert await second.take_keyboard(force=False)
    await second.write(b"echo here\n")
    await _until(second, "\nhere")
    await second.aclose()


async def _eventually(true: Callable[[], bool]) -> None:
    """A line that another took says so a moment later."""
    async with asyncio.timeout(TIMEOUT_S):
        while not true():  # noqa: ASYNC110 (libvirt tells by a callback that no event shows)
            await asyncio.sleep(0)


async def _until(stream: ConsoleStream, wanted: str) -> str:
    """What the guest writes until then."""
    text = ""
    async with asyncio.timeout(TIMEOUT_S):
        while wanted not in text:
            data = await stream.read()
            assert data, "the console has ended"
            text += data.decode(errors="replace")
    return text


async def test_a_reset_disk_forgets_and_the_machine_stays_the_same(lab: Lab) -> None:
    segment = await lab.segment()
    card = nic(segment, 0, "10.0.7.1/24")
    spec = await lab.ready(card)
    async with shell(lab.driver, spec.uuid, "web") as before:
        await before.run("echo kept > /data/mark")
        await before.run("sync")
        assert "kept" in (await before.run("cat /data/mark")).splitlines()[1]
    await lab.driver.power_off(spec.uuid)
    await lab.driver.create_vm(spec)
    await lab.driver.start_vm(spec.uuid)
    assert await lab.driver.wait_ready(spec.uuid, lab.marker, timeout_s=BOOT_TIMEOUT_S)
    async with shell(lab.driver, spec.uuid, "web") as again:
        assert "kept" in (await again.run("cat /data/mark")).splitlines()[1], "a repeated creation keeps the disk"
    await lab.driver.power_off(spec.uuid)
    await lab.driver.reset_disk(spec)
    await lab.driver.start_vm(spec.uuid)
    assert await lab.driver.wait_ready(spec.uuid, lab.marker, timeout_s=BOOT_TIMEOUT_S)
    async with shell(lab.driver, spec.uuid, "web") as after:
        assert "No such file" in await after.run("cat /data/mark")
        cards = await after.run("ip addr")
        assert card.mac in cards
        assert "10.0.7.1/24" in cards


async def test_two_guests_of_an_edge_reach_each_other(lab: Lab) -> None:
    segment = await lab.segment()
    one = await lab.running(nic(segment, 0, "10.0.8.1/24"), name="one")
    two = await lab.running(nic(segment, 1, "10.0.8.2/24"), name="two")
    for spec in (one, two):
        assert await lab.driver.wait_ready(spec.uuid, lab.marker, timeout_s=BOOT_TIMEOUT_S)
    async with shell(lab.driver, one.uuid, "one") as line:
        assert await line.pings("10.0.8.2")
        assert await line.pings_in_vain("10.0.8.3")
        await lab.driver.suspend(two.uuid)
        assert await line.pings_in_vain("10.0.8.2")
        await lab.driver.resume(two.uuid)
        assert await line.pings("10.0.8.2")


async def test_the_screen_speaks_rfb(lab: Lab) -> None:
    spec = await lab.running()
    stream = await lab.driver.open_vnc(spec.uuid)
    greeting = b""
    while len(greeting) < 12:
        greeting += await stream.read()
    assert greeting == b"RFB 003.008\n"
    await stream.write(greeting)
    kinds = b""
    while len(kinds) < 2:
        kinds += await stream.read()
    assert 1 in kinds[1:], "no authentication"
    await stream.write(b"\x01")
    result = b""
    while len(result) < 4:
        result += await stream.read()
    assert result == bytes(4)
    await lab.driver.power_off(spec.uuid)
    await read_to_end(stream)
    await stream.aclose()
    await stream.aclose()
