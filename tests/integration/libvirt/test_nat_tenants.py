"""Two tenants on the NAT network against each other and against the host: what they send are frames, not TCP."""

import asyncio
import os
import secrets
import signal
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest

from parcela.hypervisors.libvirt import firewall
from parcela.hypervisors.libvirt.dnsmasq import find_dnsmasq
from parcela.hypervisors.libvirt.driver import LibvirtDriver
from parcela.hypervisors.libvirt.names import nat_bridge_name, nat_network_name, tap_name
from parcela.hypervisors.spec import NicSpec, SegmentKind, SegmentSpec, VmSpec
from tests.integration.libvirt import outside
from tests.integration.libvirt.harness import (
    BOOT_TIMEOUT_S,
    CALL_TIMEOUT_S,
    Shell,
    clean_up,
    eventually,
    libvirt_uri,
    make_folder,
    make_image,
    make_mac,
    make_vm,
    output_of,
    read_line,
    remove_folder,
    virsh,
)
from tests.support.rawframes import (
    BROADCAST,
    GROUPS,
    IPV4,
    IPV6,
    RESERVED,
    TAGS,
    arp,
    checksum,
    ipv4,
    mac_bytes,
    packed,
    router_advertisement,
    sender,
    udp4,
)

pytestmark = [pytest.mark.anyio, pytest.mark.libvirt, pytest.mark.guest, pytest.mark.slow]

ARP = 0x0806
LINE_CHARS = 900
OUTSIDERS = "02:ba:d0:00:00:01"
NOBODY = "0.0.0.0"  # noqa: S104 - the address of those who have none yet


@dataclass
class World:
    """Two guests of two tenants, with one card each."""

    driver: LibvirtDriver
    nat: SegmentSpec
    folder: Path
    vms: dict[str, VmSpec] = field(default_factory=dict)
    shells: dict[str, Shell] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)

    @property
    def bridge(self) -> str:
        return nat_bridge_name(self.driver._host.installation)

    @property
    def gateway(self) -> str:
        return output_of("ip", "-4", "-o", "addr", "show", "dev", self.bridge).split()[3].partition("/")[0]

    @property
    def gateway_mac(self) -> str:
        return read_line(f"/sys/class/net/{self.bridge}/address")

    def mac(self, guest: str) -> str:
        return self.vms[guest].nics[0].mac

    def tap(self, guest: str) -> str:
        return tap_name(self.vms[guest].uuid, 0)

    async def send(self, guest: str, sent: list[bytes]) -> None:
        """Send from a guest; gives when the host's end has had all of it."""
        counter = f"/sys/class/net/{self.tap(guest)}/statistics/rx_packets"
        before, shell = int(read_line(counter)), self.shells[guest]
        text = packed("\n".join(frame.hex() for frame in sent).encode())
        lines = "\n".join(text[at : at + LINE_CHARS] for at in range(0, len(text), LINE_CHARS))
        status, output = await shell.run(
            f"cat > /tmp/sent <<'EOF'\n{lines}\nEOF\nbase64 -d /tmp/sent | gunzip | /run/frames send eth0"
        )
        assert status == 0, output
        assert f"sent {len(sent)}\r" in output, output[-200:]
        await eventually(lambda: int(read_line(counter)) >= before + len(sent))

    async def run(self, guest: str, command: str) -> tuple[int, str]:
        return await self.shells[guest].run(command)

    async def renew(self, guest: str, options: str = "") -> str:
        """Ask DHCP anew; the address it gave."""
        status, output = await self.run(guest, f"udhcpc -i eth0 -n -q -f -t 10 -T 3 {options} 2>&1")
        assert status == 0, output
        return output.split("lease of ")[1].split()[0]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def surroundings() -> Iterator[Path]:
    libvirt_uri()
    folder = make_folder()
    with outside.outside(folder):
        yield folder
    remove_folder(folder)


def make_driver(folder: Path, installation: str = "", prefixes: tuple[str, ...] = ("10.231.0.0/22",)) -> LibvirtDriver:
    return LibvirtDriver(
        "here",
        installation or f"test-{secrets.token_hex(4)}",
        libvirt_uri(),
        folder / "hypervisor",
        acceleration="tcg",
        nat_prefixes=prefixes,
        nat_blocked=("203.0.113.128/25",),
        nat_allowed=(f"{outside.MIRROR}/32", "203.0.113.128/26"),
    )


@pytest.fixture(scope="module")
async def world(surroundings: Path) -> AsyncIterator[World]:
    driver = make_driver(surroundings)
    async with AsyncExitStack() as stack:
        await driver.open()
        stack.push_async_callback(driver.aclose)
        stack.push_async_callback(clean_up, driver)
        # The rules of another installation on this host: they must not keep ours from working.
        await firewall.load(firewall.ruleset("another", nat_bridge_name("another"), None))
        stack.push_async_callback(firewall.remove, "another")
        image = make_image()
        await driver.ensure_image(image)
        made = World(driver, SegmentSpec(uuid4(), None, SegmentKind.NAT, 1), surroundings)
        await driver.ensure_segment(made.nat)
        for guest in ("mallory", "victim"):
            card = NicSpec(make_mac(), made.nat, 0, dhcp=True)
            made.vms[guest] = make_vm(image, card, name=guest, user_data=f"#!/bin/sh\n{sender()}\n")
            await driver.create_vm(made.vms[guest])
            await driver.start_vm(made.vms[guest].uuid)
        for guest, vm in made.vms.items():
            assert await driver.wait_ready(vm.uuid, "PARCELA READY", timeout_s=BOOT_TIMEOUT_S)
            made.shells[guest] = Shell(await driver.open_serial(vm.uuid))
            stack.push_async_callback(made.shells[guest].stream.aclose)
            await made.shells[guest].prompt()
            made.addresses[guest] = await made.renew(guest)
        yield made


class Listener:
    """What the host's stack is handed from the NAT bridge: after its ports and rules, before anything else."""

    def __init__(self, bridge: str) -> None:
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.bind((bridge, 0))
        self.socket.setblocking(False)

    def heard(self, token: bytes) -> list[str]:
        found: list[str] = []
        while True:
            try:
                frame, source = self.socket.recvfrom(4096)
            except BlockingIOError:
                return found
            if token in frame and source[2] != socket.PACKET_OUTGOING:
                found.append(frame.hex())

    def close(self) -> None:
        self.socket.close()


def ethernet(target: str, source: str, kind: int, content: bytes, tag: bytes = b"") -> bytes:
    return mac_bytes(target) + mac_bytes(source) + tag + struct.pack("!H", kind) + content


def dhcp(
    kind: int, chaddr: str, *, client: bytes = b"", wanted: str = "", name: bytes = b"", answer: bool = False
) -> bytes:
    """A message of a client (or of a server) with its options."""
    head = struct.pack("!BBBBIHHIIII", 2 if answer else 1, 1, 6, 0, secrets.randbits(32), 0, 0x8000, 0, 0, 0, 0)
    options = bytes([53, 1, kind])
    for number, value in ((61, client), (12, name), (50, socket.inet_aton(wanted) if wanted else b"")):
        options += bytes([number, len(value)]) + value if value else b""
    return head + mac_bytes(chaddr).ljust(16, b"\0") + bytes(192) + b"\x63\x82\x53\x63" + options + b"\xff"


def client_packet(message: bytes, source: str = NOBODY) -> bytes:
    return udp4(source, "255.255.255.255", (68, 67), message)


async def test_each_card_has_the_reserved_address(world: World) -> None:
    file = world.driver._reservations.path
    lines = dict(line.split(",id:*,") for line in file.read_text(encoding="ascii").splitlines())
    assert lines == {world.mac(guest): world.addresses[guest] for guest in world.vms}


async def test_the_host_hears_a_guest_only_as_itself(world: World) -> None:
    me, mine = world.mac("mallory"), world.addresses["mallory"]
    other, others = world.mac("victim"), world.addresses["victim"]
    gateway, bridge = world.gateway, world.gateway_mac
    token = secrets.token_bytes(8)

    def question(source: str) -> bytes:
        return udp4(source, gateway, (4000, 53), token)

    with closing(Listener(world.bridge)) as listener:
        await world.send("mallory", [ethernet(bridge, me, IPV4, question(mine))])
        assert len(listener.heard(token)) == 1, "as itself it is heard"
        spoofed = [ethernet(bridge, source, IPV4, question(mine)) for source in (other, bridge, OUTSIDERS)]
        spoofed += [ethernet(bridge, me, IPV4, question(ip)) for ip in (others, gateway, "192.0.2.9", NOBODY)]
        spoofed += [ethernet(bridge, other, IPV4, question(others))]
        for operation in (1, 2):
            for target in (bridge, BROADCAST):
                for source, sender_mac, address in (
                    (me, me, others),
                    (me, me, gateway),
                    (me, other, others),
                    (me, other, mine),
                    (other, other, others),
                    (other, me, mine),
                    (me, me, NOBODY),
                ):
                    spoofed.append(ethernet(target, source, ARP, arp(operation, sender_mac, address, gateway) + token))
                spoofed.append(ethernet(target, me, ARP, arp(operation, me, gateway, gateway) + token))
                # Which addresses the host has is nobody's business.
                spoofed.append(ethernet(target, me, ARP, arp(operation, me, mine, outside.HOST) + token))
        for target in (bridge, BROADCAST, other, *RESERVED, *GROUPS):
            spoofed.append(ethernet(target, me, IPV6, router_advertisement("fe80::9", me) + token))
            spoofed += [ethernet(target, me, IPV4, question(mine), tag) for tag in TAGS.values() if tag]
        spoofed += [ethernet(target, me, IPV4, question(mine)) for target in (BROADCAST, other, *RESERVED, *GROUPS)]
        await world.send("mallory", spoofed)
        assert listener.heard(token) == []
    learnt = output_of("bridge", "fdb", "show", "br", world.bridge)
    assert not [line for line in learnt.splitlines() if OUTSIDERS in line]
    assert not [line for line in learnt.splitlines() if other in line and world.tap("mallory") in line]
    neighbours = output_of("ip", "neigh", "show", "dev", world.bridge)
    assert f"{others} lladdr {me}" not in neighbours
    assert gateway not in neighbours
    # The neighbour's traffic still comes and goes.
    status, output = await world.run("victim", f"ping -c 1 -W 60 {outside.FAR}")
    assert status == 0, output


def tell(address: str, token: bytes) -> None:
    """Send a datagram from the host."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as source:
        source.sendto(token, (address, 9))


async def see(world: World, guest: str) -> None:
    """Wait until a guest that watches has seen a packet that was sent now, and so everything before."""
    token = secrets.token_bytes(8)
    async with asyncio.timeout(CALL_TIMEOUT_S):
        while True:
            tell(world.addresses[guest], token)
            status, _ = await world.run(guest, f"grep -q {token.hex()} /run/seen")
            if status == 0:
                return


async def watch(world: World, guest: str) -> None:
    """Have a guest note every frame that reaches it."""
    await world.run(guest, "ip link set eth0 promisc on; /run/frames watch eth0 > /run/seen & echo $! > /run/watcher")
    await see(world, guest)


async def seen(world: World, guest: str, token: bytes) -> str:
    """How many frames with the token a guest has noted; it notes no more."""
    await see(world, guest)
    _, output = await world.run(guest, f"kill $(cat /run/watcher); echo found $(grep -c {token.hex()} /run/seen)")
    return output.split("found ")[-1].split()[0]


async def test_frames_for_a_mac_that_the_bridge_forgot_are_not_shown_to_all(world: World) -> None:
    await watch(world, "mallory")
    token = secrets.token_bytes(8)
    for _ in range(3):
        output_of("ip", "link", "set", "dev", world.bridge, "type", "bridge", "fdb_flush")
        tell(world.addresses["victim"], token)
    assert await seen(world, "mallory", token) == "0"


async def test_a_neighbour_gets_no_frame_of_another_tenant(world: World) -> None:
    me, mine = world.mac("mallory"), world.addresses["mallory"]
    other, others = world.mac("victim"), world.addresses["victim"]
    token = secrets.token_bytes(8)
    await watch(world, "victim")
    echo = struct.pack("!BBHHH", 8, 0, 0, 1, 1)
    echo = echo[:2] + struct.pack("!H", checksum(echo + token)) + echo[4:] + token
    sent = []
    for target in (other, BROADCAST, OUTSIDERS, *GROUPS, *RESERVED):
        sent += [ethernet(target, me, ARP, arp(kind, me, world.gateway, others) + token) for kind in (1, 2)]
        sent.append(ethernet(target, me, IPV4, ipv4(mine, others, 1, echo)))
        sent.append(ethernet(target, me, IPV4, udp4(world.gateway, others, (67, 68), dhcp(2, other) + token)))
        sent.append(ethernet(target, me, IPV4, udp4(mine, "255.255.255.255", (67, 68), dhcp(5, other) + token)))
        sent.append(ethernet(target, me, IPV6, router_advertisement("fe80::9", me) + token))
    # Through the router, too.
    sent.append(ethernet(world.gateway_mac, me, IPV4, ipv4(mine, others, 1, echo)))
    await world.send("mallory", sent)
    assert await seen(world, "victim", token) == "0"


async def test_one_card_has_one_lease_whatever_it_asks(world: World) -> None:
    me, mine = world.mac("mallory"), world.addresses["mallory"]
    with closing(Listener(world.bridge)) as listener:
        token = secrets.token_bytes(8)
        foreign = []
        for _ in range(50):
            chaddr = f"52:54:00:{secrets.token_bytes(3).hex(':')}"
            foreign += [dhcp(kind, chaddr, name=token, wanted="10.231.0.77") for kind in (1, 3)]
        foreign += [
            dhcp(kind, world.mac("victim"), name=token, wanted=world.addresses["victim"]) for kind in (1, 3, 4, 7)
        ]
        sent = [ethernet(BROADCAST, me, IPV4, client_packet(message)) for message in foreign]
        sent += [ethernet(BROADCAST, me, IPV4, client_packet(message, mine)) for message in foreign[:4]]
        await world.send("mallory", sent)
        assert listener.heard(token) == [], "a client is known by its own hardware address"
    own = [
        dhcp(kind, me, client=secrets.token_bytes(7), wanted=f"10.231.0.{n}") for n in range(60, 100) for kind in (1, 3)
    ]
    await world.send("mallory", [ethernet(BROADCAST, me, IPV4, client_packet(message)) for message in own])
    assert await world.renew("mallory") == mine
    network = nat_network_name(world.driver._host.installation)
    leases = [line.split() for line in virsh(libvirt_uri(), "net-dhcp-leases", network).splitlines()]
    found = sorted((line[2], line[4].partition("/")[0]) for line in leases if len(line) > 4 and ":" in line[2])
    assert found == sorted((world.mac(guest), world.addresses[guest]) for guest in world.vms)


@pytest.mark.parametrize("name", ["victim", "localhost", "gateway", "dns", "staffprinter"])
async def test_no_name_is_believed(world: World, name: str) -> None:
    await world.renew("mallory", f"-x hostname:{name} -F {name}")
    _, output = await world.run("victim", f"nslookup {name} {world.gateway}")
    assert world.addresses["mallory"] not in output
    assert "NXDOMAIN" in output, output


async def test_guests_reach_the_outside_and_not_the_hosts_networks(world: World) -> None:
    for address in (outside.FAR, outside.MIRROR):
        status, output = await world.run("victim", f"ping -c 1 -W 60 {address}")
        assert status == 0, output
    own = [
        outside.HOST,
        outside.NEIGHBOUR,
        outside.FORBIDDEN,
        outside.METADATA,
        world.gateway,
        world.addresses["mallory"],
    ]
    for address in own:
        status, output = await world.run("victim", f"ping -c 1 -W 2 {address}")
        assert status != 0, output


async def test_services_of_the_host_are_closed_behind_all_of_its_addresses(world: World) -> None:
    # As a container runtime publishes a port.
    published = f"ip daddr {outside.HOST} tcp dport 8081 dnat to {outside.FAR}:{outside.HTTP_PORT}"
    output_of("nft", "add table ip parcela_test")
    output_of("nft", "add chain ip parcela_test pre { type nat hook prerouting priority -100; }")
    output_of("nft", f"add rule ip parcela_test pre {published}")
    try:
        with closing(socket.create_server(("0.0.0.0", 0))) as server:  # noqa: S104 - a service of the host, in the lab
            port = server.getsockname()[1]
            for address, number in ((outside.HOST, port), (world.gateway, port), (outside.HOST, 8081)):
                status, output = await world.run("victim", f"nc -w 3 {address} {number} < /dev/null")
                assert status != 0, output
    finally:
        output_of("nft", "delete", "table", "ip", "parcela_test")


async def test_a_network_the_host_is_connected_to_later_is_closed_with_the_next_look(world: World) -> None:
    output_of("ip", "addr", "add", "203.0.113.65/26", "dev", outside.UPLINK)
    try:
        world.driver._firewall_checked_s = float("-inf")  # as after half a minute
        await world.driver.probe()
        rules = output_of("nft", "list", "ruleset")
        assert "203.0.113.64/26" in rules
        assert "203.0.113.65" in rules
    finally:
        output_of("ip", "addr", "del", "203.0.113.65/26", "dev", outside.UPLINK)


async def test_a_network_of_an_older_version_is_renewed_under_running_guests(world: World) -> None:
    installation = world.driver._host.installation
    name, uri = nat_network_name(installation), libvirt_uri()
    text = virsh(uri, "net-dumpxml", name)
    options = text[text.index("<dnsmasq:options>") : text.index("</dnsmasq:options>") + len("</dnsmasq:options>")]
    address = text[text.index("<ip ") : text.index("</ip>") + len("</ip>")]
    opening = address.split(">")[0]
    old = text.replace(options, "<dnsmasq:options><dnsmasq:option value='no-ping'/></dnsmasq:options>").replace(
        address, f"{opening}><dhcp><range start='10.231.0.2' end='10.231.3.254'/></dhcp></ip>"
    )
    path = world.folder / "old.xml"
    path.write_text(old, encoding="utf-8")
    virsh(uri, "net-destroy", name)
    virsh(uri, "net-define", str(path))
    virsh(uri, "net-start", name)
    world.driver._reservations.remove()
    for guest in world.vms:
        output_of("ip", "link", "set", world.tap(guest), "master", world.bridge)
        address = world.addresses[guest]
        assert await world.renew(guest, f"-r {address}") == address
    newer = make_driver(world.folder, installation)
    await newer.open()
    try:
        await newer.probe()
    finally:
        await newer.aclose()
    assert "<range" not in virsh(uri, "net-dumpxml", name)
    for guest in world.vms:
        assert read_line(f"/sys/class/net/{world.tap(guest)}/brport/isolated") == "1"
        assert await world.renew(guest) == world.addresses[guest]
        status, output = await world.run(guest, f"ping -c 1 -W 60 {outside.FAR}")
        assert status == 0, output


async def test_a_killed_dhcp_server_comes_back_with_the_next_look(world: World) -> None:
    network = nat_network_name(world.driver._host.installation)
    killed = find_dnsmasq(network)
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    await eventually(lambda: find_dnsmasq(network) is None)
    world.driver._firewall_checked_s = float("-inf")  # as after half a minute
    await world.driver.probe()
    assert find_dnsmasq(network) not in {None, killed}
    assert await world.renew("victim") == world.addresses["victim"]


async def test_guests_stay_connected_when_somebody_restarts_the_network(world: World) -> None:
    name, uri = nat_network_name(world.driver._host.installation), libvirt_uri()
    virsh(uri, "net-destroy", name)
    await world.driver.ensure_segment(world.nat)
    world.driver._firewall_checked_s = float("-inf")  # as after half a minute
    await world.driver.probe()
    status, output = await world.run("victim", f"ping -c 1 -W 60 {outside.FAR}")
    assert status == 0, output


async def test_a_full_network_is_told(surroundings: Path) -> None:
    driver = make_driver(surroundings, prefixes=("10.66.0.0/29",))
    await driver.open()
    try:
        image = make_image()
        await driver.ensure_image(image)
        nat = SegmentSpec(uuid4(), None, SegmentKind.NAT, 1)
        await driver.ensure_segment(nat)
        vms = [make_vm(image, NicSpec(make_mac(), nat, 0, dhcp=True)) for _ in range(6)]
        for vm in vms:
            await driver.create_vm(vm)
        for vm in vms[:5]:
            await driver.start_vm(vm.uuid, paused=True)
        with pytest.raises(Exception, match="no free address"):
            await driver.start_vm(vms[5].uuid, paused=True)
        await driver.remove_vm(vms[0].uuid)
        await driver.start_vm(vms[5].uuid, paused=True)
    finally:
        await clean_up(driver)
        await driver.aclose()
