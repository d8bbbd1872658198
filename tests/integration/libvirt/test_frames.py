"""Raw frames of real guests: what crosses a segment, and that the host's stack gets nothing of it."""

import secrets
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from uuid import uuid4

import pytest

from parcela.hypervisors.libvirt.driver import LibvirtDriver
from parcela.hypervisors.libvirt.names import bridge_name, nat_bridge_name, tap_name
from parcela.hypervisors.spec import ImageSpec, NicSpec, SegmentKind, SegmentSpec, VmSpec
from tests.integration.libvirt.harness import (
    BOOT_TIMEOUT_S,
    Shell,
    clean_up,
    eventually,
    libvirt_uri,
    make_driver,
    make_folder,
    make_image,
    make_mac,
    make_segment,
    make_vm,
    output_of,
    read_line,
    remove_folder,
)
from tests.support.rawframes import (
    EXPERIMENT,
    LACP,
    PAUSE,
    RESERVED,
    STRANGER,
    TAGS,
    Host,
    Witness,
    frames,
    mac_bytes,
    packed,
    sender,
    witness,
)

pytestmark = [pytest.mark.anyio, pytest.mark.libvirt, pytest.mark.guest, pytest.mark.slow]

UPLINK, IPV4, IPV6 = "pcluplink0", "192.0.2.1", "2001:db8:77::1"
LINE_CHARS = 900


@dataclass
class World:
    """Two guests, ``private`` and ``public``, joined by an edge (eth0) and a LAN (eth1); ``public`` has NAT (eth2)."""

    driver: LibvirtDriver
    edge: SegmentSpec
    lan: SegmentSpec
    vms: dict[str, VmSpec] = field(default_factory=dict)
    shells: dict[str, Shell] = field(default_factory=dict)

    def tap(self, guest: str, nic: int) -> str:
        return tap_name(self.vms[guest].uuid, nic)

    def bridge(self, nic: int) -> str:
        installation = self.driver._host.installation
        if nic == 2:
            return nat_bridge_name(installation)
        return bridge_name(installation, (self.edge, self.lan)[nic].uuid)

    async def send(self, guest: str, nic: int, sent: list[bytes]) -> None:
        """Send from a guest; gives when the host's end has had all of it."""
        counter = f"/sys/class/net/{self.tap(guest, nic)}/statistics/rx_packets"
        before, shell = int(read_line(counter)), self.shells[guest]
        text = packed("\n".join(frame.hex() for frame in sent).encode())
        lines = "\n".join(text[at : at + LINE_CHARS] for at in range(0, len(text), LINE_CHARS))
        status, output = await shell.run(
            f"cat > /tmp/sent <<'EOF'\n{lines}\nEOF\nbase64 -d /tmp/sent | gunzip | /run/frames send eth{nic}"
        )
        assert status == 0, output
        assert f"sent {len(sent)}\r" in output, output[-200:]
        await eventually(lambda: int(read_line(counter)) >= before + len(sent))


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def uplink() -> Iterator[None]:
    """A network of the host's own: what guests must not touch."""
    libvirt_uri()
    for command in (
        f"link add {UPLINK} type veth peer name pcluplink1",
        # No link-local addresses: they come and settle at times of their own.
        "link set pcluplink1 addrgenmode none up",
        f"link set {UPLINK} addrgenmode none up",
        f"addr add {IPV4}/24 dev {UPLINK}",
        f"addr add {IPV6}/64 dev {UPLINK} nodad",
        f"neigh replace 192.0.2.77 lladdr 02:00:00:00:00:77 dev {UPLINK} nud permanent",
    ):
        output_of("ip", *command.split())
    yield
    subprocess.run(["ip", "link", "del", UPLINK], check=True)


@pytest.fixture(scope="module")
async def world(uplink: None) -> AsyncIterator[World]:
    folder = make_folder()
    driver = make_driver(folder)
    async with AsyncExitStack() as stack:
        stack.callback(remove_folder, folder)
        await driver.open()
        stack.push_async_callback(driver.aclose)
        stack.push_async_callback(clean_up, driver)
        image = make_image()
        await driver.ensure_image(image)
        made = await _build(driver, image)
        for shell in made.shells.values():
            stack.push_async_callback(shell.stream.aclose)
        yield made


async def _build(driver: LibvirtDriver, image: ImageSpec) -> World:
    world = World(driver, make_segment(), make_segment(SegmentKind.LAN))
    nat = SegmentSpec(uuid4(), None, SegmentKind.NAT, 1)
    for segment in (world.edge, world.lan, nat):
        await driver.ensure_segment(segment)
    script = f"#!/bin/sh\n{sender()}\n"
    for end, guest in enumerate(("private", "public")):
        nics = [NicSpec(make_mac(), world.edge, end), NicSpec(make_mac(), world.lan, end)]
        nics += [NicSpec(make_mac(), nat, end, dhcp=True)] if guest == "public" else []
        world.vms[guest] = make_vm(image, *nics, name=guest, user_data=script)
        await driver.create_vm(world.vms[guest])
        await driver.start_vm(world.vms[guest].uuid)
    for guest, vm in world.vms.items():
        assert await driver.wait_ready(vm.uuid, "PARCELA READY", timeout_s=BOOT_TIMEOUT_S)
        world.shells[guest] = Shell(await driver.open_serial(vm.uuid))
        await world.shells[guest].prompt()
    status, output = await world.shells["public"].run("until ip route | grep -q default; do sleep 1; done")
    assert status == 0, output
    return world


def host_state(but_neighbours_of: str) -> dict[str, list[str]]:
    """Addresses, routes and neighbours of the host; the NAT bridge's own neighbours are its guests."""
    # Without the state, which changes with time.
    neighbours = [" ".join(line.split()[:-1]) for line in output_of("ip", "neigh").splitlines()]
    return {
        "addresses": [line.partition(" valid_lft")[0] for line in output_of("ip", "-o", "addr").splitlines()],
        "routes": output_of("ip", "route", "show", "table", "all").splitlines(),
        "IPv6 routes": output_of("ip", "-6", "route", "show", "table", "all").splitlines(),
        "neighbours": [line for line in neighbours if f"dev {but_neighbours_of}" not in line],
    }


def describe(world: World, guest: str, nic: int, heard: Witness) -> Host:
    """The host as this NIC could know it."""
    names = (world.tap(guest, nic), world.bridge(nic), UPLINK)
    gateway = output_of("ip", "-4", "-o", "addr", "show", "dev", world.bridge(2)).split()[3].partition("/")[0]
    macs = tuple(read_line(f"/sys/class/net/{name}/address") for name in names)
    return Host(macs, (IPV4, gateway), (IPV6,), heard.ports)


@pytest.mark.parametrize(
    ("guest", "nic"), [("private", 0), ("private", 1), ("public", 0), ("public", 1), ("public", 2)]
)
async def test_the_host_gets_no_frame_of_a_guest(world: World, guest: str, nic: int) -> None:
    token = secrets.token_bytes(8)
    before = host_state(world.bridge(2))
    # On the NAT network IPv4 and ARP are for the host, who routes: there the rules of IP and the listeners count.
    with witness(ip_frames=nic != 2) as heard:
        sent = frames(describe(world, guest, nic, heard), world.vms[guest].nics[nic].mac, token)
        await world.send(guest, nic, sent)
        assert heard.heard(token) == []
    assert host_state(world.bridge(2)) == before


async def test_interfaces_of_ours_carry_no_ipv6(world: World) -> None:
    names = [world.tap(guest, nic) for guest, nic in (("private", 0), ("private", 1), ("public", 2))]
    for name in (*names, world.bridge(0), world.bridge(1), world.bridge(2)):
        assert read_line(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6") == "1", name
        assert output_of("ip", "-6", "addr", "show", "dev", name) == ""
    for name in (*names, world.bridge(0), world.bridge(1)):
        assert read_line(f"/proc/sys/net/ipv6/conf/{name}/accept_ra") == "0", name
        assert "NOARP" in output_of("ip", "link", "show", "dev", name)


def crossing(world: World, nic: int, marks: str) -> dict[str, bytes]:
    """Frames from ``private`` to ``public`` by what they are, each with a number in its content."""
    source, target = world.vms["private"].nics[nic].mac, world.vms["public"].nics[nic].mac
    kinds = {f"to {mac}": (mac, b"", EXPERIMENT) for mac in (*RESERVED, STRANGER, target, "ff:ff:ff:ff:ff:ff")}
    kinds |= {f"tagged {name}": (target, tag, EXPERIMENT) for name, tag in TAGS.items()}
    kinds |= {"LACP": (RESERVED[2], b"", LACP), "pause": (RESERVED[1], b"", PAUSE)}
    kinds["slow protocol, tagged"] = (RESERVED[2], TAGS["priority"], LACP)
    return {
        name: mac_bytes(mac) + mac_bytes(source) + tag + kind.to_bytes(2, "big") + f"{marks}{number:04d}".encode()
        for number, (name, (mac, tag, kind)) in enumerate(kinds.items())
    }


async def arrivals(world: World, nic: int) -> set[str]:
    """Names of the frames of ``crossing`` that the other guest saw."""
    marks = secrets.token_hex(8)
    sent, shell = crossing(world, nic, marks), world.shells["public"]
    last = mac_bytes("ff:ff:ff:ff:ff:ff") + mac_bytes(world.vms["private"].nics[nic].mac) + b"\x88\xb5" + b"over" * 12
    await shell.run(f"ip link set eth{nic} promisc on; {{ /run/frames watch eth{nic} > /run/seen & }}")
    await world.send("private", nic, [*sent.values(), last])
    over = (b"over" * 12).hex()
    status, _ = await shell.run(f"until grep -q {over} /run/seen; do sleep 1; done; kill $!")
    assert status == 0
    _, seen = await shell.run(f"grep -o '{marks.encode().hex()}........' /run/seen")
    return {name for name, frame in sent.items() if frame[-20:].hex() in seen}


async def test_every_frame_crosses_an_edge(world: World) -> None:
    assert await arrivals(world, 0) == set(crossing(world, 0, ""))


async def test_all_but_pause_frames_cross_a_lan(world: World) -> None:
    kept_back = {"pause", f"to {RESERVED[1]}"}
    assert await arrivals(world, 1) == set(crossing(world, 1, "")) - kept_back


async def test_an_edge_goes_on_after_one_end_was_switched_off_and_on(world: World) -> None:
    public = world.vms["public"]
    await world.shells["public"].stream.aclose()
    await world.driver.power_off(public.uuid)
    with witness() as heard:
        token = secrets.token_bytes(8)
        sent = frames(describe(world, "private", 0, heard), world.vms["private"].nics[0].mac, token, RESERVED[:3])
        await world.send("private", 0, sent)  # to nobody
        assert heard.heard(token) == []
    await world.driver.start_vm(public.uuid)
    assert await world.driver.wait_ready(public.uuid, "PARCELA READY", timeout_s=BOOT_TIMEOUT_S)
    world.shells["public"] = Shell(await world.driver.open_serial(public.uuid))
    await world.shells["public"].prompt()
    assert await arrivals(world, 0) == set(crossing(world, 0, ""))
