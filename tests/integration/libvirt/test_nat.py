"""The way out: addresses by DHCP, and no way to the host or to each other."""

import asyncio
import socket
import subprocess
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from parcela.hypervisors.libvirt.driver import LibvirtDriver
from parcela.hypervisors.libvirt.names import bridge_name, nat_bridge_name, nat_network_name
from parcela.hypervisors.spec import ImageSpec, NicSpec, SegmentKind, SegmentSpec, VmSpec
from tests.integration.libvirt.harness import (
    BOOT_TIMEOUT_S,
    CALL_TIMEOUT_S,
    Shell,
    make_mac,
    make_segment,
    make_vm,
    virsh,
)

pytestmark = [pytest.mark.anyio, pytest.mark.libvirt, pytest.mark.guest, pytest.mark.slow]


def nat_segment() -> SegmentSpec:
    return SegmentSpec(uuid4(), None, SegmentKind.NAT, 1)


def links(*arguments: str) -> int:
    """Exit code of ``ip link``."""
    return subprocess.run(["ip", "link", *arguments], check=False, capture_output=True).returncode


async def test_nat_segment_can_be_made_and_removed_again(driver: LibvirtDriver, uri: str) -> None:
    before = virsh(uri, "net-list", "--all")
    segment = nat_segment()
    for _ in range(2):
        await driver.ensure_segment(segment)
    (found,) = (await driver.inventory()).segments
    assert (found.uuid, found.kind) == (segment.uuid, SegmentKind.NAT)
    for _ in range(2):
        await driver.remove_segment(segment.uuid)
    assert (await driver.inventory()).segments == ()
    assert virsh(uri, "net-list", "--all") == before


async def test_a_bridge_that_libvirt_forgot_is_in_nobodys_way(driver: LibvirtDriver, uri: str) -> None:
    name, segment = nat_bridge_name(driver._host.installation), nat_segment()
    assert links("add", name, "type", "bridge") == 0
    await driver.ensure_segment(segment)
    assert name in virsh(uri, "net-dumpxml", nat_network_name(driver._host.installation))
    await driver.remove_segment(segment.uuid)
    assert links("show", name) == 1


async def test_public_vms_get_addresses_and_reach_neither_host_nor_each_other(
    driver: LibvirtDriver, image: ImageSpec
) -> None:
    nat, edge = nat_segment(), make_segment()
    await driver.ensure_segment(nat)
    await driver.ensure_segment(edge)
    vms = [
        make_vm(image, NicSpec(make_mac(), nat, i, dhcp=True), NicSpec(make_mac(), edge, i, f"10.9.0.{i + 1}/24"))
        for i in (0, 1)
    ]
    for vm in vms:
        await driver.create_vm(vm)
        await driver.start_vm(vm.uuid)
    for vm in vms:
        assert await driver.wait_ready(vm.uuid, "PARCELA READY", timeout_s=BOOT_TIMEOUT_S)
    console = Shell(await driver.open_serial(vms[0].uuid))
    await console.prompt()
    waited, output = await console.run("until ip route | grep -q default; do sleep 1; done")
    assert waited == 0, output

    mine = await _lease(driver, vms[0])
    _, output = await console.run("ip -4 addr show dev eth0")
    assert mine in output
    gateway = ".".join([*mine.split(".")[:2], "0", "1"])

    with closing(socket.create_server(("0.0.0.0", 0))) as server:  # noqa: S104 - a service of the host, in the lab
        port = server.getsockname()[1]
        # By its address on the NAT bridge, and over the private bridge, where the host has no address but a MAC.
        for target in (gateway, "10.9.0.250"):
            status, output = await console.run(f"nc -w 3 {target} {port} < /dev/null")
            assert status != 0, output
        bridge_mac = _host_mac(driver, edge)
        command = f"ip route add {gateway}/32 via 10.9.0.250 dev eth1; arp -s 10.9.0.250 {bridge_mac}"
        await console.run(command)
        status, output = await console.run(f"nc -w 3 {gateway} {port} < /dev/null")
        assert status != 0, output
        await console.run(f"ip route del {gateway}/32")
    status, output = await console.run(f"ping -c 1 -W 2 {gateway}")
    assert status != 0, output
    # DNS of the host answers (refused or not found is an answer too: only a timeout is none).
    _, output = await console.run(f"nslookup localhost {gateway}")
    assert "timed out" not in output
    other = await _lease(driver, vms[1])
    status, output = await console.run(f"ping -c 1 -W 2 {other}")
    assert status != 0, output
    # Over their own edge they do see each other.
    status, output = await console.run("ping -c 1 -W 60 10.9.0.2")
    assert status == 0, output
    await console.stream.aclose()


async def _lease(driver: LibvirtDriver, vm: VmSpec) -> str:
    """The address that a VM got; dnsmasq tells libvirt of it after it told the guest."""
    async with asyncio.timeout(CALL_TIMEOUT_S):
        while True:
            found = next(seen for seen in (await driver.inventory()).vms if seen.uuid == vm.uuid)
            if address := dict(found.addresses).get(vm.nics[0].mac):
                return address
            await asyncio.sleep(0.1)  # between two looks


def _host_mac(driver: LibvirtDriver, segment: SegmentSpec) -> str:
    name = bridge_name(driver._host.installation, segment.uuid)
    return Path(f"/sys/class/net/{name}/address").read_text(encoding="ascii").strip()
