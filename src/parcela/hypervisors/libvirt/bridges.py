"""Private segments of ``qemu:///system``: one Linux bridge each, made through netlink."""

import contextlib
import errno
from ipaddress import IPv4Address, IPv4Network, collapse_addresses
from typing import Any

from pyroute2 import IPRoute, NetlinkError

from parcela.hypervisors.errors import FatalDriverError, RetryableDriverError
from parcela.hypervisors.libvirt.names import TAP_PREFIX, BridgeMark, bridge_name
from parcela.hypervisors.libvirt.natguard import HostNetworks
from parcela.hypervisors.libvirt.netlink import IFF_NOARP, IFF_UP, disable_ipv6, find_link, netlink
from parcela.hypervisors.spec import SegmentSpec

# Everything the kernel lets a bridge forward of the link-local group addresses. Our ports forward more (see taps.py);
# this is for ports of others.
GROUP_FORWARD_MASK = 0xFFF8


RT_TABLE_MAIN = 254
RT_SCOPE_LINK = 253
LEAST_PREFIX_LENGTH = 8


class Bridges:
    """The bridges of one installation on this machine."""

    def __init__(self, installation: str) -> None:
        """Take whose bridges are ours."""
        self._installation = installation

    def ensure(self, segment: SegmentSpec) -> None:
        """Make or repair the bridge of a segment.

        Raises:
            FatalDriverError: we may not make bridges, or a stranger's interface has the name.
            RetryableDriverError: the kernel refused for another reason.
        """
        name = bridge_name(self._installation, segment.uuid)
        mark = BridgeMark(self._installation, segment.kind, segment.uuid, segment.slice_uuid)
        with netlink(f"make the bridge of segment {segment.uuid}") as ip:
            self._ensure(ip, name, mark, segment.mtu)

    def _ensure(self, ip: IPRoute, name: str, mark: BridgeMark, mtu: int) -> None:
        found = ip.link_lookup(ifname=name)
        if found:
            known = BridgeMark.parse(ip.get_links(found[0])[0].get_attr("IFLA_IFALIAS"))
            # A kill between making and marking leaves an empty alias on a name only we derive: it is finished here.
            if known is not None and (known.installation, known.segment_uuid) != (mark.installation, mark.segment_uuid):
                raise FatalDriverError(f"interface {name} belongs to somebody else")
        else:
            with contextlib.suppress(NetlinkError):  # made by somebody else at the same moment: looked up below
                ip.link(
                    "add",
                    ifname=name,
                    kind="bridge",
                    br_stp_state=0,
                    br_forward_delay=0,
                    br_group_fwd_mask=GROUP_FORWARD_MASK,
                    br_mcast_snooping=0,
                )
            found = ip.link_lookup(ifname=name)
            if not found:
                raise RetryableDriverError(f"could not make bridge {name}")
        ip.link("set", index=found[0], ifalias=mark.alias())
        # Before it comes up, or the host gets a link-local address that the guests can talk to.
        disable_ipv6(name)
        # No ARP: the kernel answers on any interface for every address of the host, so a guest could find us here.
        ip.link("set", index=found[0], mtu=mtu, flags=IFF_UP | IFF_NOARP, change=IFF_UP | IFF_NOARP)

    def remove(self, mark: BridgeMark) -> None:
        """Remove a bridge; RetryableDriverError while a NIC is plugged in."""
        name = bridge_name(self._installation, mark.segment_uuid)
        with netlink(f"remove the bridge of segment {mark.segment_uuid}") as ip:
            found = ip.link_lookup(ifname=name)
            if not found:
                return
            if any(_is_used(port) for port in ip.get_links(master=found[0])):
                raise RetryableDriverError(f"segment {mark.segment_uuid} still has a NIC plugged in")
            _remove_ports(ip, found[0])
            try:
                ip.link("del", index=found[0])
            except NetlinkError as error:
                if error.code != errno.ENODEV:  # removed by somebody else at the same moment
                    raise

    def inventory(self) -> tuple[BridgeMark, ...]:
        """All bridges that carry our mark."""
        with netlink("list the bridges") as ip:
            marks = (BridgeMark.parse(link.get_attr("IFLA_IFALIAS")) for link in ip.get_links(kind="bridge"))
            return tuple(mark for mark in marks if mark is not None and mark.installation == self._installation)

    def find(self, segment_uuid: object) -> BridgeMark | None:
        """The mark of a segment's bridge; None when there is none of ours."""
        return next((mark for mark in self.inventory() if mark.segment_uuid == segment_uuid), None)


def has_ports(bridge: str) -> bool:
    """Whether a VM that is on is plugged into a bridge; False when the bridge does not exist."""
    with netlink("look at a bridge") as ip:
        index = find_link(ip, bridge)
        return index is not None and any(_is_used(port) for port in ip.get_links(master=index))


def remove_leftover(bridge: str) -> None:
    """Remove a bridge by its name, unless a VM that is on is plugged in; one that does not exist is fine."""
    with netlink(f"remove the bridge {bridge}") as ip:
        index = find_link(ip, bridge)
        if index is not None and not any(_is_used(port) for port in ip.get_links(master=index)):
            _remove_ports(ip, index)
            with contextlib.suppress(NetlinkError):
                ip.link("del", index=index)


def _is_used(port: Any) -> bool:
    """Whether a QEMU has the tap open (or something else is behind a port that is no tap of ours)."""
    return bool(port.get_attr("IFLA_CARRIER"))


def _remove_ports(ip: IPRoute, bridge: int) -> None:
    """Remove the taps of VMs that are off with their bridge: outside of it nothing would hold their frames."""
    for port in ip.get_links(master=bridge):
        if port.get_attr("IFLA_IFNAME").startswith(TAP_PREFIX):
            with contextlib.suppress(NetlinkError):
                ip.link("del", index=port["index"])


def host_networks(without: str) -> HostNetworks:
    """What the machine has and is connected to, without the bridge named ``without`` (the NAT network itself)."""
    addresses, connected = [], []
    with netlink("list the networks of the host") as ip:
        left_out = find_link(ip, without)
        for found in ip.get_addr(family=2):
            own = found.get_attr("IFA_LOCAL") or found.get_attr("IFA_ADDRESS")
            addresses.append(IPv4Address(own))
            if found["index"] != left_out:
                # The other end, where it is a point-to-point link.
                network = IPv4Network((found.get_attr("IFA_ADDRESS") or own, found["prefixlen"]), strict=False)
                connected.append(network)
        for route in ip.get_routes(family=2, table=RT_TABLE_MAIN, scope=RT_SCOPE_LINK):
            destination, interface = route.get_attr("RTA_DST"), route.get_attr("RTA_OIF")
            if destination is not None and interface != left_out and route.get_attr("RTA_GATEWAY") is None:
                connected.append(IPv4Network((destination, route["dst_len"]), strict=False))
    # A tunnel that takes half of the Internet stands for the default route, not for a network of the host.
    useful = collapse_addresses(network for network in connected if network.prefixlen >= LEAST_PREFIX_LENGTH)
    return HostNetworks(tuple(sorted(set(addresses))), tuple(sorted(useful)))


def used_networks() -> tuple[IPv4Network, ...]:
    """Destinations of the machine's IPv4 routes (all tables), but the default route."""
    networks = []
    with netlink("list the routes") as ip:
        for route in ip.get_routes(family=2):
            destination = route.get_attr("RTA_DST")
            if destination is not None and route["dst_len"] > 0:
                networks.append(IPv4Network((destination, route["dst_len"]), strict=False))
    return tuple(networks)
