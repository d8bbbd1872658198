"""Taps, edges and rules of the kernel, without guests: the test holds the taps open as a QEMU would."""

import asyncio
import contextlib
import fcntl
import os
import secrets
import select
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from parcela.hypervisors.errors import RetryableDriverError
from parcela.hypervisors.libvirt import firewall
from parcela.hypervisors.libvirt.bridges import Bridges
from parcela.hypervisors.libvirt.edges import IFF_TAP_NO_PI, TUN_DEVICE, TUNSETIFF
from parcela.hypervisors.libvirt.names import bridge_name, tap_name
from parcela.hypervisors.libvirt.taps import Port, Taps
from parcela.hypervisors.spec import SegmentKind, SegmentSpec
from tests.integration.libvirt.harness import (
    CALL_TIMEOUT_S,
    libvirt_uri,
    links,
    make_mac,
    make_segment,
    output_of,
    read_line,
)
from tests.support.rawframes import BROADCAST, RESERVED, STRANGER, Host, frames, mac_bytes, witness

pytestmark = pytest.mark.libvirt

IPV4, IPV6 = "192.0.2.9", "2001:db8:79::9"
PAUSE_ADDRESS = RESERVED[1]
FORWARDING = "3"
NO_TC = "this kernel has no tc redirect"


@dataclass
class Card:
    """A network card whose QEMU is this test."""

    vm_uuid: UUID
    port: Port
    fd: int = -1

    @property
    def mac(self) -> str:
        return self.port.mac

    def switch_on(self) -> None:
        self.fd = open_tap(self.port.tap)
        state = Path(f"/sys/class/net/{self.port.tap}/brport/state")
        deadline_s = time.monotonic() + CALL_TIMEOUT_S
        # The kernel tells a bridge of a new carrier a little later; a guest that boots does not notice.
        while state.exists() and read_line(str(state)) != FORWARDING:
            assert time.monotonic() < deadline_s, f"{self.port.tap} forwards nothing"
            time.sleep(0.01)  # between two looks

    def switch_off(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1

    def send(self, *sent: bytes) -> None:
        for frame in sent:
            # A tap that is down takes nothing: the card is unplugged.
            with contextlib.suppress(OSError):
                os.write(self.fd, frame)

    def received(self) -> list[bytes]:
        """All that waits; the kernel has handed over in the call of the sender."""
        found = []
        while select.select([self.fd], [], [], 0)[0]:
            found.append(os.read(self.fd, 65536))
        return found


def open_tap(name: str) -> int:
    fd = os.open(TUN_DEVICE, os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP_NO_PI))
    return fd


class Wiring:
    """Segments and cards of one installation."""

    def __init__(self) -> None:
        self.installation = f"test-{secrets.token_hex(4)}"
        self.bridges = Bridges(self.installation)
        self.taps = Taps(self.installation)
        self.cards: list[Card] = []
        self.segments: list[SegmentSpec] = []

    def segment(self, kind: SegmentKind = SegmentKind.EDGE) -> SegmentSpec:
        made = make_segment(kind)
        self.bridges.ensure(made)
        self.segments.append(made)
        return made

    def card(self, segment: SegmentSpec | None, *, on: bool = True) -> Card:
        uuid = uuid4()
        bridge = "" if segment is None else bridge_name(self.installation, segment.uuid)
        made = Card(uuid, Port(tap_name(uuid, 0), make_mac(), bridge))
        self.cards.append(made)
        self.plug(made)
        if on:
            made.switch_on()
        return made

    def plug(self, card: Card) -> None:
        self.taps.ensure(card.vm_uuid, [card.port])

    def load(self) -> None:
        asyncio.run(firewall.load(firewall.ruleset(self.installation, "pcnx", None)))

    def clean_up(self) -> None:
        for card in self.cards:
            card.switch_off()
            self.taps.remove(card.vm_uuid, [card.port.tap])
        for mark in self.bridges.inventory():
            self.bridges.remove(mark)


@pytest.fixture
def wiring() -> Iterator[Wiring]:
    libvirt_uri()
    before = links()
    output_of("ip", "link", "add", "pcltest0", "type", "veth", "peer", "name", "pcltest1")
    for name in ("pcltest0", "pcltest1"):
        # No link-local addresses: they come and settle at times of their own.
        output_of("ip", "link", "set", name, "addrgenmode", "none", "up")
    for command in (f"addr add {IPV4}/24 dev pcltest0", f"addr add {IPV6}/64 dev pcltest0 nodad"):
        output_of("ip", *command.split())
    made = Wiring()
    made.load()
    try:
        yield made
    finally:
        made.clean_up()
        asyncio.run(firewall.remove(made.installation))
        output_of("ip", "link", "del", "pcltest0")
    assert links() == before


@contextlib.contextmanager
def no_frame_for_the_host(*cards: Card) -> Iterator[None]:
    """Attack from these cards; what else the block does may change nothing of the host."""

    def state() -> list[str]:
        return [output_of("ip", *words.split()) for words in ("-6 route show table all", "-o addr", "neigh")]

    before = state()
    yield
    token = secrets.token_bytes(8)
    with witness() as heard:
        for card in cards:
            macs = [read_line(f"/sys/class/net/{name}/address") for name in (card.port.tap, "pcltest0")]
            if card.port.bridge:
                macs.append(read_line(f"/sys/class/net/{card.port.bridge}/address"))
            card.send(*frames(Host(tuple(macs), (IPV4,), (IPV6,), heard.ports), card.mac, token))
        assert heard.heard(token) == []
    assert state() == before


def crossed(source: Card, target: Card) -> set[str]:
    """To which of these addresses frames go through."""
    token = secrets.token_bytes(8)
    addresses = (*RESERVED, BROADCAST, STRANGER, target.mac)
    for number, address in enumerate(addresses):
        source.send(mac_bytes(address) + mac_bytes(source.mac) + b"\x88\xb5" + token + bytes([number]))
    seen = {frame[-1] for frame in target.received() if frame[-9:-1] == token}
    return {address for number, address in enumerate(addresses) if number in seen}


def all_of(target: Card) -> set[str]:
    return {*RESERVED, BROADCAST, STRANGER, target.mac}


def test_every_frame_crosses_an_edge_and_none_reaches_the_host(wiring: Wiring) -> None:
    assert wiring.taps.edges.obstacle() == ""
    edge = wiring.segment()
    left, right = wiring.card(edge), wiring.card(edge)
    with no_frame_for_the_host(left, right):
        assert crossed(left, right) == all_of(right)
        assert crossed(right, left) == all_of(left)


def test_without_tc_an_edge_is_its_bridge(wiring: Wiring) -> None:
    wiring.taps.edges._obstacle = NO_TC
    edge = wiring.segment()
    left, right = wiring.card(edge), wiring.card(edge)
    assert "redirect" not in output_of("tc", "filter", "show", "dev", left.port.tap, "ingress")
    with no_frame_for_the_host(left, right):
        assert crossed(left, right) == all_of(right) - {PAUSE_ADDRESS}


def test_frames_of_a_lan_pass_between_guests_only(wiring: Wiring) -> None:
    lan = wiring.segment(SegmentKind.LAN)
    one, two, three = (wiring.card(lan) for _ in range(3))
    with no_frame_for_the_host(one, two, three):
        assert crossed(one, two) == all_of(two) - {PAUSE_ADDRESS}


def test_frames_to_nobody_go_nowhere(wiring: Wiring) -> None:
    edge = wiring.segment()
    alone, unplugged = wiring.card(edge), wiring.card(None)
    with no_frame_for_the_host(alone, unplugged):
        pass
    peer = wiring.card(edge)
    peer.switch_off()
    with no_frame_for_the_host(alone):
        pass
    wiring.taps.remove(peer.vm_uuid)
    with no_frame_for_the_host(alone):
        pass


def test_a_card_that_moves_takes_nobodys_frames_along(wiring: Wiring) -> None:
    first, second = wiring.segment(), wiring.segment()
    stays, moves, other = wiring.card(first), wiring.card(first), wiring.card(second)
    moves.switch_off()
    moves.port = Port(moves.port.tap, moves.mac, other.port.bridge)
    wiring.plug(moves)
    moves.switch_on()
    assert crossed(stays, moves) == set()
    assert crossed(moves, stays) == set()
    assert crossed(moves, other) == all_of(other)
    with no_frame_for_the_host(stays, moves, other):
        pass


def test_a_second_start_changes_nothing(wiring: Wiring) -> None:
    edge = wiring.segment()
    left, right = wiring.card(edge), wiring.card(edge)
    index = read_line(f"/sys/class/net/{left.port.tap}/ifindex")
    left.switch_off()
    wiring.plug(left)
    left.switch_on()
    assert read_line(f"/sys/class/net/{left.port.tap}/ifindex") == index
    assert crossed(left, right) == all_of(right)
    for card in (left, right):
        assert output_of("tc", "filter", "show", "dev", card.port.tap, "ingress").count("mirred") == 1


def test_taps_of_running_vms_are_secured_at_an_upgrade(wiring: Wiring) -> None:
    """As libvirt made them for an older version: IPv6 on, and a mask that hands LLDP and LACP to the tap."""
    edge = wiring.segment()
    old = Card(uuid4(), Port(tap_name(uuid4(), 0), make_mac(), bridge_name(wiring.installation, edge.uuid)))
    wiring.cards.append(old)
    name = old.port.tap
    for command in (
        f"tuntap add dev {name} mode tap",
        f"link set {name} address fe{old.mac[2:]} master {old.port.bridge}",
        f"link set {name} up",
    ):
        output_of("ip", *command.split())
    old.switch_on()
    wiring.load()
    wiring.taps.secure_old([old.port.bridge, "pcb-is-not-there"])
    assert output_of("ip", "-6", "addr", "show", "dev", name) == ""
    with no_frame_for_the_host(old):
        pass
    # The other end starts in the new version: the edge is joined with the old tap too.
    new = wiring.card(edge)
    assert crossed(old, new) == all_of(new)
    assert crossed(new, old) == all_of(old)
    with no_frame_for_the_host(old, new):
        pass


def test_a_segment_goes_with_the_taps_of_vms_that_are_off(wiring: Wiring) -> None:
    edge = wiring.segment()
    card = wiring.card(edge)
    (mark,) = wiring.bridges.inventory()
    with pytest.raises(RetryableDriverError):
        wiring.bridges.remove(mark)
    card.switch_off()
    assert wiring.taps.owners() == {card.vm_uuid}
    wiring.bridges.remove(mark)
    assert wiring.taps.owners() == frozenset()
    with pytest.raises(RetryableDriverError):
        wiring.plug(card)  # its bridge is gone: the start fails
