"""Taps of ``qemu:///system``: the host side of each network card, made by us before libvirt starts the VM.

libvirt's own taps come up with IPv6 on, so that a guest's router advertisement reached the host. Ours have IPv6, router
advertisements and ARP switched off before they come up, are ports of their bridge from then on, and stay when the VM
stops, with everything that is set on them. An unplugged card's tap never comes up.
"""

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pyroute2 import IPRoute, NetlinkError

from parcela.hypervisors.errors import RetryableDriverError
from parcela.hypervisors.libvirt.edges import Edges
from parcela.hypervisors.libvirt.names import TAP_PREFIX, BridgeMark, TapMark
from parcela.hypervisors.libvirt.natguard import NatPort
from parcela.hypervisors.libvirt.netlink import IFF_NOARP, IFF_UP, disable_ipv6, find_link, netlink
from parcela.hypervisors.spec import SegmentKind

# Group addresses that a port hands on to the other ports instead of to the host's stack: all that the kernel lets a
# port forward, LACP (bit 2) included, which it refuses for a whole bridge. Pause frames (bit 1) are always dropped.
PORT_GROUP_FORWARD_MASK = 0xFFFD


@dataclass(frozen=True, slots=True)
class Port:
    """What a network card is plugged into.

    Attributes:
        tap: name of the tap.
        mac: of the guest's card, lower-case, colon-separated.
        bridge: name of the bridge; "" for an unplugged card.
        mtu: bytes.
        isolated: the port does not see other isolated ports of its bridge.
    """

    tap: str
    mac: str
    bridge: str = ""
    mtu: int = 1500
    isolated: bool = False


class Taps:
    """The taps of one installation on this machine."""

    def __init__(self, installation: str) -> None:
        """Take whose taps are ours."""
        self._installation = installation
        self.edges = Edges()

    def ensure(self, vm_uuid: UUID, ports: Sequence[Port]) -> None:
        """Make or repair the taps of a VM that is switched off, plug them in and join those of edges.

        Raises:
            RetryableDriverError: a bridge is missing, or the kernel refused something.
            FatalDriverError: we may not make taps.
        """
        if not ports:
            return
        with netlink(f"make the taps of VM {vm_uuid}") as ip:
            edges = set()
            for port in ports:
                bridge, kind = (None, None) if not port.bridge else _bridge(ip, port.bridge)
                self._ensure(ip, TapMark(self._installation, vm_uuid, port.mac), port, bridge)
                if bridge is not None and kind is SegmentKind.EDGE:
                    edges.add(bridge)
            for bridge in edges:
                self.edges.join(ip, bridge)

    def _ensure(self, ip: IPRoute, mark: TapMark, port: Port, bridge: int | None) -> None:
        index = find_link(ip, port.tap)
        if index is not None and not _is_as_wanted(ip.get_links(index)[0], mark, bridge):
            # A redirect of another tap to the old one ends with it: a card that moves takes nobody's frames along.
            ip.link("del", index=index)
            index = None
        if index is None:
            ip.link("add", ifname=port.tap, kind="tuntap", mode="tap")
            index = find_link(ip, port.tap)
            if index is None:
                raise RetryableDriverError(f"could not make tap {port.tap}")
        disable_ipv6(port.tap)
        # The MAC is the guest's with another first byte, as libvirt does it: high, so that no bridge takes it over.
        address = f"fe{port.mac[2:]}"
        ip.link(
            "set", index=index, mtu=port.mtu, address=address, ifalias=mark.alias(), flags=IFF_NOARP, change=IFF_NOARP
        )
        if bridge is None:
            return
        ip.link("set", index=index, master=bridge)
        _secure_port(ip, index, isolated=port.isolated)
        ip.link("set", index=index, flags=IFF_UP, change=IFF_UP)

    def remove(self, vm_uuid: UUID, names: Sequence[str] = ()) -> None:
        """Remove the taps of a VM; those that are gone are fine.

        Args:
            vm_uuid: whose taps; found by their mark.
            names: further ones, of VMs that were started before taps carried a mark.
        """
        with netlink(f"remove the taps of VM {vm_uuid}") as ip:
            found = {int(link["index"]) for mark, link in self._marked(ip) if mark.vm_uuid == vm_uuid}
            found |= {index for name in names if (index := find_link(ip, name)) is not None}
            for index in found:
                with contextlib.suppress(NetlinkError):
                    ip.link("del", index=index)

    def owners(self) -> frozenset[UUID]:
        """The VMs that taps of ours belong to."""
        with netlink("list the taps") as ip:
            return frozenset(mark.vm_uuid for mark, _ in self._marked(ip))

    def nat_ports(self, bridge: str) -> tuple[NatPort, ...]:
        """The taps plugged into the NAT bridge, in the order of their names; none when there is no such bridge."""
        with netlink("list the ports of the NAT bridge") as ip:
            index = find_link(ip, bridge)
            links = () if index is None else tuple(_taps_of(ip, index))
        found = [NatPort(link.get_attr("IFLA_IFNAME"), _guest_mac(link)) for link in links]
        return tuple(sorted(found, key=lambda port: port.tap))

    def plug_again(self, bridge: str, macs: Collection[str]) -> None:
        """Plug taps into the NAT bridge that lost them, because somebody stopped and started the network.

        Args:
            bridge: name of the NAT bridge; nothing happens when there is none.
            macs: of the guests' cards on the NAT network. Taps that are plugged in elsewhere are left alone.
        """
        if not macs:
            return
        with netlink("plug in taps of the NAT network") as ip:
            index = find_link(ip, bridge)
            for link in () if index is None else _loose_taps(ip):
                if _guest_mac(link) in macs:
                    with contextlib.suppress(NetlinkError):  # the VM is removed at this moment
                        ip.link("set", index=link["index"], master=index)
                        _secure_port(ip, link["index"], isolated=True)
                        ip.link("set", index=link["index"], flags=IFF_UP, change=IFF_UP)

    def secure_old(self, bridges: Sequence[str]) -> None:
        """Take IPv6 and ARP from taps that libvirt made for VMs which run since before we made them ourselves.

        Args:
            bridges: names of our bridges.
        """
        with netlink("secure the taps of running VMs") as ip:
            for name in bridges:
                bridge = find_link(ip, name)
                for link in () if bridge is None else _taps_of(ip, bridge):
                    if TapMark.parse(link.get_attr("IFLA_IFALIAS")) is None:
                        with contextlib.suppress(NetlinkError):  # the VM stops at this moment
                            disable_ipv6(link.get_attr("IFLA_IFNAME"))
                            ip.link("set", index=link["index"], flags=IFF_NOARP, change=IFF_NOARP)
                            ip.brport("set", index=link["index"], group_fwd_mask=PORT_GROUP_FORWARD_MASK)

    def _marked(self, ip: IPRoute) -> list[tuple[TapMark, Any]]:
        found = ((TapMark.parse(link.get_attr("IFLA_IFALIAS")), link) for link in ip.get_links(kind="tun"))
        return [(mark, link) for mark, link in found if mark is not None and mark.installation == self._installation]


def _is_as_wanted(link: Any, mark: TapMark, bridge: int | None) -> bool:
    return TapMark.parse(link.get_attr("IFLA_IFALIAS")) == mark and link.get_attr("IFLA_MASTER") == bridge


def _bridge(ip: IPRoute, name: str) -> tuple[int, SegmentKind | None]:
    """Index and kind of a bridge; the NAT network's, which libvirt makes, has no mark and no kind."""
    index = find_link(ip, name)
    if index is None:
        raise RetryableDriverError(f"the segment of bridge {name} does not exist on this host (any more)")
    mark = BridgeMark.parse(ip.get_links(index)[0].get_attr("IFLA_IFALIAS"))
    return index, None if mark is None else mark.kind


def _secure_port(ip: IPRoute, index: int, *, isolated: bool) -> None:
    ip.brport("set", index=index, group_fwd_mask=PORT_GROUP_FORWARD_MASK, isolated=int(isolated))


def _taps_of(ip: IPRoute, bridge: int) -> list[Any]:
    return [link for link in ip.get_links(master=bridge) if link.get_attr("IFLA_IFNAME").startswith(TAP_PREFIX)]


def _loose_taps(ip: IPRoute) -> list[Any]:
    links = ip.get_links(kind="tun")
    return [
        link
        for link in links
        if link.get_attr("IFLA_IFNAME").startswith(TAP_PREFIX) and link.get_attr("IFLA_MASTER") is None
    ]


def _guest_mac(link: Any) -> str:
    mark = TapMark.parse(link.get_attr("IFLA_IFALIAS"))
    # libvirt's own taps carry the guest's MAC with another first byte; all our guests' begin with 52.
    return mark.mac if mark is not None else f"52{link.get_attr('IFLA_ADDRESS')[2:]}"
