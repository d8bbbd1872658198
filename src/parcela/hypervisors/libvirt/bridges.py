"""Private segments of ``qemu:///system``: one Linux bridge each, made through netlink.

All functions block for milliseconds and run on the driver's executor. The IPRoute socket is opened per call: cheap, and
no state is shared between threads.
"""

import contextlib
import errno
import logging
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

from pyroute2 import IPRoute, NetlinkError

from parcela.hypervisors.errors import DriverError, FatalDriverError, RetryableDriverError
from parcela.hypervisors.libvirt.names import BridgeMark, bridge_name
from parcela.hypervisors.spec import SegmentSpec

log = logging.getLogger(__name__)

IFF_UP = 0x1
IFF_NOARP = 0x80
# Everything the kernel lets a bridge forward of the link-local group addresses: LLDP, LACP of labs and the like pass.
# Bits 0 to 2 (STP, pause frames, slow protocols) it never does.
GROUP_FORWARD_MASK = 0xFFF8
_PERMISSION = frozenset({errno.EPERM, errno.EACCES})


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
        with _netlink(f"make the bridge of segment {segment.uuid}") as ip:
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
        self._disable_ipv6(name)
        # No ARP: the kernel answers on any interface for every address of the host, so a guest could find us here.
        ip.link("set", index=found[0], mtu=mtu, flags=IFF_UP | IFF_NOARP, change=IFF_UP | IFF_NOARP)

    @staticmethod
    def _disable_ipv6(name: str) -> None:
        path = Path("/proc/sys/net/ipv6/conf") / name / "disable_ipv6"
        # A kernel without IPv6 has no such file, and nothing to disable.
        with contextlib.suppress(FileNotFoundError):
            path.write_text("1", encoding="ascii")

    def remove(self, mark: BridgeMark) -> None:
        """Remove a bridge; RetryableDriverError while a NIC is plugged in."""
        name = bridge_name(self._installation, mark.segment_uuid)
        with _netlink(f"remove the bridge of segment {mark.segment_uuid}") as ip:
            found = ip.link_lookup(ifname=name)
            if not found:
                return
            if list(ip.get_links(master=found[0])):
                raise RetryableDriverError(f"segment {mark.segment_uuid} still has a NIC plugged in")
            try:
                ip.link("del", index=found[0])
            except NetlinkError as error:
                if error.code != errno.ENODEV:  # removed by somebody else at the same moment
                    raise

    def inventory(self) -> tuple[BridgeMark, ...]:
        """All bridges that carry our mark."""
        with _netlink("list the bridges") as ip:
            marks = (BridgeMark.parse(link.get_attr("IFLA_IFALIAS")) for link in ip.get_links(kind="bridge"))
            return tuple(mark for mark in marks if mark is not None and mark.installation == self._installation)

    def find(self, segment_uuid: object) -> BridgeMark | None:
        """The mark of a segment's bridge; None when there is none of ours."""
        return next((mark for mark in self.inventory() if mark.segment_uuid == segment_uuid), None)

    @staticmethod
    def remove_taps(names: list[str]) -> None:
        """Remove taps that a crashed QEMU left behind; those that are gone are fine."""
        with _netlink("remove taps") as ip:
            for name in names:
                for index in ip.link_lookup(ifname=name):
                    with contextlib.suppress(NetlinkError):
                        ip.link("del", index=index)


def has_ports(bridge: str) -> bool:
    """Whether anything is plugged into a bridge; False when it does not exist."""
    with _netlink("look at a bridge") as ip:
        found = ip.link_lookup(ifname=bridge)
        return bool(found) and bool(list(ip.get_links(master=found[0])))


def remove_leftover(bridge: str) -> None:
    """Remove a bridge by its name, unless something is plugged in; one that does not exist is fine."""
    with _netlink(f"remove the bridge {bridge}") as ip:
        for index in ip.link_lookup(ifname=bridge):
            if not list(ip.get_links(master=index)):
                with contextlib.suppress(NetlinkError):
                    ip.link("del", index=index)


def used_networks() -> tuple[IPv4Network, ...]:
    """Destinations of the machine's IPv4 routes (all tables), but the default route."""
    networks = []
    with _netlink("list the routes") as ip:
        for route in ip.get_routes(family=2):
            destination = route.get_attr("RTA_DST")
            if destination is not None and route["dst_len"] > 0:
                networks.append(IPv4Network((destination, route["dst_len"]), strict=False))
    return tuple(networks)


@contextlib.contextmanager
def _netlink(doing: str) -> Iterator[IPRoute]:
    """Give a netlink socket; its errors become driver errors."""
    try:
        with IPRoute() as ip:
            yield ip
    except NetlinkError as error:
        raise _translate(error, doing) from error


def _translate(error: NetlinkError, doing: str) -> DriverError:
    if error.code in _PERMISSION:
        return FatalDriverError(f"could not {doing}: the right CAP_NET_ADMIN is missing", internal=str(error))
    return RetryableDriverError(f"could not {doing}", internal=str(error))
