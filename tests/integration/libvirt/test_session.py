"""Without root rights: ``qemu:///session``."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from parcela.hypervisors.errors import UnsupportedError
from parcela.hypervisors.libvirt.driver import LibvirtDriver
from parcela.hypervisors.spec import Capability, Inventory, NicSpec, PowerState, SegmentKind, SegmentSpec
from tests.integration.libvirt.harness import (
    BOOT_TIMEOUT_S,
    CALL_TIMEOUT_S,
    Shell,
    clean_up,
    make_driver,
    make_image,
    make_mac,
    make_segment,
    make_vm,
    power,
    require,
)

pytestmark = [pytest.mark.anyio, pytest.mark.libvirt, pytest.mark.guest, pytest.mark.slow]


@pytest.fixture
async def session(folder: Path) -> AsyncIterator[LibvirtDriver]:
    made = make_driver(folder, uri=require("PARCELA_TEST_LIBVIRT_SESSION_URI", "PARCELA_TEST_SESSION_SKIP"))
    await made.open()
    try:
        yield made
    finally:
        await clean_up(made)
        await made.aclose()


async def test_two_vms_talk_over_udp_and_reach_the_way_out(session: LibvirtDriver) -> None:
    image = make_image()
    await session.ensure_image(image)
    segment, nat = make_segment(mtu=1400), SegmentSpec(uuid4(), None, SegmentKind.NAT, 1)
    for each in (segment, nat):
        await session.ensure_segment(each)
    with pytest.raises(UnsupportedError):
        await session.ensure_segment(make_segment(SegmentKind.LAN))
    facts = await session.probe()
    assert Capability.LAN_SEGMENTS not in facts.capabilities
    assert Capability.RESOURCE_LIMITS not in facts.capabilities

    vms = [
        make_vm(
            image,
            NicSpec(make_mac(), segment, end, f"10.8.0.{end + 1}/24", mtu=1400),
            NicSpec(make_mac(), nat, dhcp=True),
            NicSpec(make_mac(), None),
        )
        for end in (0, 1)
    ]
    for vm in vms:
        await session.create_vm(vm)
        await session.start_vm(vm.uuid)
    for vm in vms:
        assert await session.wait_ready(vm.uuid, "PARCELA READY", timeout_s=BOOT_TIMEOUT_S)
    console = Shell(await session.open_serial(vms[0].uuid))
    await console.prompt()
    status, output = await console.run("ping -c 2 10.8.0.2")
    assert status == 0, output
    _, output = await console.run(
        "cat /sys/class/net/eth0/mtu; cat /sys/class/net/eth2/carrier; ip -4 addr show dev eth1"
    )
    assert "1400" in output
    assert "10.0.2.15" in output
    await console.stream.aclose()
    screen = await session.open_vnc(vms[0].uuid)
    assert (await screen.read()).startswith(b"RFB 003.")
    await screen.aclose()
    assert await session.shut_down(vms[0].uuid, timeout_s=CALL_TIMEOUT_S)
    assert await power(session, vms[0].uuid) is PowerState.STOPPED
    for vm in vms:
        await session.remove_vm(vm.uuid)
    assert await session.inventory() == Inventory()
