"""Ethernet frames as a hostile guest writes them, and witnesses of what the host's stack got of them."""

import base64
import contextlib
import gzip
import socket
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

BROADCAST = "ff:ff:ff:ff:ff:ff"
RESERVED = tuple(f"01:80:c2:00:00:{last:02x}" for last in range(16))
GROUPS = (BROADCAST, "01:00:5e:00:00:01", "33:33:00:00:00:01", "01:80:c2:00:00:20", "01:00:0c:cc:cc:cc")
STRANGER = "02:ba:d0:00:00:01"
# What stands between the addresses and the type.
TAGS = {
    "untagged": b"",
    "priority": struct.pack("!HH", 0x8100, 7 << 13),
    "vlan 1": struct.pack("!HH", 0x8100, 1),
    "vlan 100": struct.pack("!HH", 0x8100, 100),
    "802.1ad 0": struct.pack("!HH", 0x88A8, 0),
    "QinQ 0/0": struct.pack("!HHHH", 0x88A8, 0, 0x8100, 0),
    "QinQ 5/6": struct.pack("!HHHH", 0x88A8, 5, 0x8100, 6),
}
IPV4, ARP, IPV6, LACP, PAUSE, EAPOL, LLDP = 0x0800, 0x0806, 0x86DD, 0x8809, 0x8808, 0x888E, 0x88CC
PPPOE_DISCOVERY, PPPOE_SESSION, MPLS, TIPC, PTP, LOOPBACK, EXPERIMENT = (
    0x8863,
    0x8864,
    0x8847,
    0x88CA,
    0x88F7,
    0x9000,
    0x88B5,
)
OTHER_TYPES = (LACP, PAUSE, EAPOL, LLDP, PPPOE_DISCOVERY, PPPOE_SESSION, MPLS, TIPC, PTP, LOOPBACK, EXPERIMENT)
ETH_P_802_2 = 0x0004
SOL_SOCKET_BUFFER = 4 << 20


def mac_bytes(mac: str) -> bytes:
    """Six bytes of a colon-separated address."""
    return bytes.fromhex(mac.replace(":", ""))


def checksum(data: bytes) -> int:
    """The Internet checksum."""
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(source: str, target: str, protocol: int, body: bytes) -> bytes:
    """A packet."""
    ends = IPv4Address(source).packed + IPv4Address(target).packed
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 7, 0, 64, protocol, 0) + ends
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def udp4(source: str, target: str, ports: tuple[int, int], data: bytes) -> bytes:
    """A datagram (source and destination port); without a checksum, which IPv4 allows."""
    return ipv4(source, target, 17, struct.pack("!HHHH", *ports, 8 + len(data), 0) + data)


def ipv6(source: str, target: str, protocol: int, body: bytes, checksum_at: int) -> bytes:
    """A packet whose upper checksum lies at ``checksum_at`` of the body."""
    ends = IPv6Address(source).packed + IPv6Address(target).packed
    total = checksum(ends + struct.pack("!II", len(body), protocol) + body) or 0xFFFF
    body = body[:checksum_at] + struct.pack("!H", total) + body[checksum_at + 2 :]
    return struct.pack("!IHBB", 6 << 28, len(body), protocol, 255) + ends + body


def udp6(source: str, target: str, ports: tuple[int, int], data: bytes) -> bytes:
    """A datagram."""
    return ipv6(source, target, 17, struct.pack("!HHHH", *ports, 8 + len(data), 0) + data, 6)


def router_advertisement(source: str, mac: str) -> bytes:
    """One that offers a default route and a prefix."""
    link = struct.pack("!BB", 1, 1) + mac_bytes(mac)
    prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 86400, 86400, 0) + IPv6Address("2001:db8:bad::").packed
    body = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 9000, 0, 0) + link + prefix
    return ipv6(source, "ff02::1", 58, body, 2)


def neighbour(kind: int, source: str, target: str, about: str, mac: str) -> bytes:
    """A solicitation (135) or an overriding advertisement (136)."""
    flags = 0x60000000 if kind == 136 else 0
    link = struct.pack("!BB", 2 if kind == 136 else 1, 1) + mac_bytes(mac)
    return ipv6(source, target, 58, struct.pack("!BBHI", kind, 0, 0, flags) + IPv6Address(about).packed + link, 2)


def arp(operation: int, mac: str, source: str, target: str) -> bytes:
    """A request (1) or reply (2) of ``source`` for ``target``."""
    ends = mac_bytes(mac) + IPv4Address(source).packed + b"\0" * 6 + IPv4Address(target).packed
    return struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + ends


@dataclass(frozen=True)
class Host:
    """What a guest may have found out about its host.

    Attributes:
        macs: of its interfaces, of the tap and of the bridge.
        ipv4: its addresses.
        ipv6: its addresses.
        ports: of a UDP listener on IPv4 and one on IPv6.
    """

    macs: tuple[str, ...]
    ipv4: tuple[str, ...]
    ipv6: tuple[str, ...]
    ports: tuple[int, int]


def packets(host: Host, mac: str, token: bytes) -> Iterator[tuple[int, bytes]]:
    """Pairs (type, content) for every kind of packet; ``token`` tells them from others'."""
    own4, own6 = f"{host.ipv4[0].rpartition('.')[0]}.99", "fe80::5054:ff:fe00:99"
    for address in (*host.ipv4, "255.255.255.255", "224.0.0.1"):
        yield IPV4, udp4(own4, address, (4000, host.ports[0]), token)
    for address in (*host.ipv6, "ff02::1", "fe80::1"):
        yield IPV6, udp6(own6, address, (4000, host.ports[1]), token)
    for address in host.ipv4:
        yield ARP, arp(1, mac, own4, address)
        yield ARP, arp(2, mac, address, address)  # gratuitous: "I have the host's address"
        yield IPV4, ipv4(own4, address, 1, struct.pack("!BBHHH", 8, 0, 0xF7FF, 0, 0))
    for address in host.ipv6:
        yield IPV6, neighbour(135, own6, address, address, mac)
        yield IPV6, neighbour(136, address, "ff02::1", address, mac)
    yield IPV6, router_advertisement(own6, mac)
    offer = struct.pack("!BBBBI", 2, 1, 6, 0, 1).ljust(236, b"\0") + b"\x63\x82\x53\x63\x35\x01\x02\xff"
    yield IPV4, udp4(own4, "255.255.255.255", (67, 68), offer)
    yield IPV6, udp6(own6, "ff02::1", (547, 546), b"\2\0\0\1" + token)
    for kind in OTHER_TYPES:
        yield kind, bytes(4)
    yield len(token) + 3, b"\x42\x42\3"  # a length, not a type: spanning tree


def frames(host: Host, mac: str, token: bytes, macs: Sequence[str] = ()) -> list[bytes]:
    """Every packet in every kind of tag to every kind of address.

    Args:
        host: whom to attack.
        mac: the guest's.
        token: ends each frame.
        macs: destinations; all kinds by default.
    """
    targets = macs or (*RESERVED, *GROUPS, *host.macs, STRANGER)
    contents = list(packets(host, mac, token))
    return [
        mac_bytes(target) + mac_bytes(mac) + tag + struct.pack("!H", kind) + content + token
        for target in targets
        for tag in TAGS.values()
        for kind, content in contents
    ]


def sender() -> str:
    """A line for a guest's shell that makes ``/run/frames``, our sender and watcher of frames."""
    source = Path(__file__).parent / "guest" / "frames.c"
    with tempfile.TemporaryDirectory() as folder:
        flags = "-O1 -static -nostdlib -ffreestanding -fno-stack-protector -fno-pie -no-pie -s -Wl,--build-id=none"
        options = [*flags.split(), "-Wl,-z,noseparate-code"]
        subprocess.run(["gcc", *options, "-o", f"{folder}/frames", source], check=True)
        text = packed((Path(folder) / "frames").read_bytes())
    return f"echo {text} | base64 -d | gunzip > /run/frames; chmod +x /run/frames"


def packed(data: bytes) -> str:
    """For ``base64 -d | gunzip``."""
    return base64.b64encode(gzip.compress(data, mtime=0)).decode()


@dataclass
class Witness:
    """Sockets of the host: programs that would hear a guest if the host's stack handed its frames on.

    Attributes:
        ports: UDP ports on all IPv4 and on all IPv6 addresses.
    """

    datagrams: list[socket.socket] = field(default_factory=list)
    stack: list[socket.socket] = field(default_factory=list)
    ports: tuple[int, int] = (0, 0)

    def heard(self, token: bytes) -> list[str]:
        """What has come in with the token since the last look: one line per message."""
        lines = []
        for listener in (*self.datagrams, *self.stack):
            with contextlib.suppress(BlockingIOError):
                while True:
                    data, source = listener.recvfrom(65536)
                    if token in data:
                        lines.append(f"{source[:4]}: {data[:60].hex()}")
        return lines


@contextlib.contextmanager
def witness(*, ip_frames: bool = True) -> Iterator[Witness]:
    """Listen on everything that is not the whole link: UDP, and the stack's own types of frames.

    Args:
        ip_frames: also hear IPv4 and ARP frames, which a guest of the NAT network may send to its router.
    """
    heard = Witness()
    with contextlib.ExitStack() as stack:
        for family, everywhere in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104 - in the lab
            listener = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((everywhere, 0))
            heard.datagrams.append(listener)
        # Sockets of one type get a frame after bridges and rules have had it, like any part of the stack.
        kinds = {*OTHER_TYPES, IPV6, ETH_P_802_2, 0x8100, 0x88A8} | ({IPV4, ARP} if ip_frames else set())
        for kind in kinds:
            listener = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind)))
            heard.stack.append(listener)
        for listener in (*heard.datagrams, *heard.stack):
            listener.setblocking(False)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOL_SOCKET_BUFFER)
        heard.ports = (heard.datagrams[0].getsockname()[1], heard.datagrams[1].getsockname()[1])
        yield heard
