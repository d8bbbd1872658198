"""The host's one NAT segment (``qemu:///system``): a libvirt network with DHCP plus our firewall."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from uuid import UUID
from xml.etree import ElementTree as ET

import libvirt

from parcela.hypervisors.errors import FatalDriverError, RetryableDriverError
from parcela.hypervisors.libvirt.bridges import has_ports, remove_leftover, used_networks
from parcela.hypervisors.libvirt.dnsmasq import find_dnsmasq
from parcela.hypervisors.libvirt.failures import is_code
from parcela.hypervisors.libvirt.leases import LEASE_TIME
from parcela.hypervisors.libvirt.names import nat_bridge_name, nat_network_name
from parcela.hypervisors.libvirt.taps import Taps
from parcela.hypervisors.libvirt.xml.metadata import Metadata, to_text
from parcela.hypervisors.libvirt.xml.network import NatNetwork, dnsmasq_options
from parcela.hypervisors.spec import SegmentSpec


def choose_subnet(candidates: Iterable[str], used: Sequence[IPv4Network]) -> IPv4Network:
    """First candidate that touches no route of the machine; FatalDriverError when all do."""
    for text in candidates:
        candidate = IPv4Network(text)
        if not any(candidate.overlaps(network) for network in used):
            return candidate
    raise FatalDriverError("no address range is free for the NAT segment: set other ranges for this host")


def _ours(network: libvirt.virNetwork, installation: str) -> bool:
    metadata = Metadata.find(network.XMLDesc(0))
    return metadata is not None and metadata.installation == installation


@dataclass(frozen=True, slots=True)
class NatState:
    """What libvirt knows of our NAT network.

    Attributes:
        uuid: of its segment.
        name: of the network.
        subnet: of host and guests.
        address: the host's.
        active: it runs.
        healthy: it runs as we define networks today, not as an older version did, and its DHCP server is there.
        leases: MAC -> address that DHCP has given away; none when the network does not run.
    """

    uuid: UUID
    name: str
    subnet: IPv4Network
    address: IPv4Address
    active: bool
    healthy: bool
    leases: Mapping[str, str]


def _subnet(definition: ET.Element) -> tuple[IPv4Network, IPv4Address]:
    address = definition.find("ip")
    if address is None:
        raise FatalDriverError("the NAT network has no address")
    own = IPv4Interface(f"{address.get('address')}/{address.get('netmask') or address.get('prefix')}")
    return own.network, own.ip


def _definition(network: libvirt.virNetwork, *, stored: bool = False) -> ET.Element:
    """What it runs as, or what is stored for its next start."""
    flags = libvirt.VIR_NETWORK_XML_INACTIVE if stored else 0
    return ET.fromstring(network.XMLDesc(flags))  # noqa: S314 - written by libvirtd


def _is_current(definition: ET.Element, wanted: NatNetwork) -> bool:
    # An older version had a range, from which a guest could take all addresses.
    return definition.find("ip/dhcp") is None and dnsmasq_options(definition) == frozenset(wanted.options())


def _wanted(installation: str, uuid: UUID, mtu: int, subnet: IPv4Network, hosts_file: Path, mac: str) -> NatNetwork:
    return NatNetwork(
        name=nat_network_name(installation),
        uuid=uuid,
        bridge=nat_bridge_name(installation),
        subnet=subnet,
        mtu=mtu,
        metadata=Metadata(installation),
        hosts_file=str(hosts_file),
        lease_time=LEASE_TIME,
        mac=mac,
    )


def _renewed(installation: str, network: libvirt.virNetwork, definition: ET.Element, hosts_file: Path) -> NatNetwork:
    """How a network that is there would be defined today: with the same addresses, for the sake of running guests."""
    mtu, mac = definition.find("mtu"), definition.find("mac")
    return _wanted(
        installation,
        UUID(network.UUIDString()),
        1500 if mtu is None else int(mtu.get("size", "1500")),
        _subnet(definition)[0],
        hosts_file,
        "" if mac is None else mac.get("address", ""),
    )


def _is_healthy(installation: str, network: libvirt.virNetwork, definition: ET.Element, hosts_file: Path) -> bool:
    wanted = _renewed(installation, network, definition, hosts_file)
    return _is_current(definition, wanted) and find_dnsmasq(network.name()) is not None


def find(connection: libvirt.virConnect, installation: str) -> libvirt.virNetwork | None:
    """Our NAT network, or None."""
    try:
        network = connection.networkLookupByName(nat_network_name(installation))
        return network if _ours(network, installation) else None
    except libvirt.libvirtError as error:
        # Also when it is removed between the two calls: a destroyed slice and the orphan sweep met here once.
        if is_code(error, libvirt.VIR_ERR_NO_NETWORK):
            return None
        raise


def read(connection: libvirt.virConnect, installation: str, hosts_file: Path) -> NatState | None:
    """Our NAT network; None when there is none."""
    network = find(connection, installation)
    if network is None:
        return None
    try:
        definition = _definition(network)
        subnet, address = _subnet(definition)
        active = bool(network.isActive())
        healthy = active and _is_healthy(installation, network, definition, hosts_file)
        uuid = UUID(network.UUIDString())
        return NatState(uuid, network.name(), subnet, address, active, healthy, leases(network))
    except libvirt.libvirtError as error:
        if is_code(error, libvirt.VIR_ERR_NO_NETWORK):  # removed since the lines above
            return None
        raise


def define(
    connection: libvirt.virConnect,
    installation: str,
    segment: SegmentSpec,
    candidates: Iterable[str],
    hosts_file: Path,
) -> None:
    """Define the network unless it is; it does not run yet, because the firewall must be there first.

    A definition of an older version is replaced; what runs of it goes on until ``start``.
    """
    network = find(connection, installation)
    if network is None:
        subnet = choose_subnet(candidates, used_networks())
        wanted = _wanted(installation, segment.uuid, segment.mtu, subnet, hosts_file, "")
    else:
        stored = _definition(network, stored=True)
        wanted = _renewed(installation, network, stored, hosts_file)
        if _is_current(stored, wanted):
            return
    connection.networkDefineXML(to_text(wanted.element()))


def start(connection: libvirt.virConnect, installation: str, hosts_file: Path, taps: Taps) -> None:
    """Start the defined network; it is never started by libvirtd itself, which knows nothing of our firewall.

    One that still runs as an older version defined it, or whose DHCP server was killed, is started anew: its guests
    keep their cards, addresses and connections, and miss what is sent in less than a second.
    """
    network = connection.networkLookupByName(nat_network_name(installation))
    bridge = nat_bridge_name(installation)
    macs: frozenset[str] = frozenset()
    if network.isActive():
        if _is_healthy(installation, network, _definition(network), hosts_file):
            return
        macs = frozenset(port.mac for port in taps.nat_ports(bridge))
        with contextlib.suppress(libvirt.libvirtError):  # stopped by somebody else since the question
            network.destroy()
    # The kernel kept it and libvirt forgot it (its files below /run were lost with a container): it would be "in use".
    remove_leftover(bridge)
    try:
        network.create()
    except libvirt.libvirtError as error:
        # Somebody else started it between the question and the call.
        if not (is_code(error, libvirt.VIR_ERR_OPERATION_INVALID) and network.isActive()):
            raise
    finally:
        taps.plug_again(bridge, macs)


def remove(connection: libvirt.virConnect, installation: str, segment_uuid: UUID) -> bool:
    """Stop and undefine the network when it is this segment's.

    Returns:
        Whether there was one.

    Raises:
        RetryableDriverError: a NIC is still plugged in.
    """
    network = find(connection, installation)
    if network is None or UUID(network.UUIDString()) != segment_uuid:
        return False
    if has_ports(nat_bridge_name(installation)):
        raise RetryableDriverError(f"segment {segment_uuid} still has a NIC plugged in")
    with contextlib.suppress(libvirt.libvirtError):  # it may be stopped already
        network.destroy()
    try:
        network.undefine()
    except libvirt.libvirtError as error:
        if not is_code(error, libvirt.VIR_ERR_NO_NETWORK):
            raise
    return True


def leases(network: libvirt.virNetwork) -> dict[str, str]:
    """MAC -> IPv4 address of the living DHCP leases; none when the network does not run (any more)."""
    found: dict[str, str] = {}
    try:
        rows = network.DHCPLeases()
    except libvirt.libvirtError as error:
        if is_code(error, libvirt.VIR_ERR_NO_NETWORK, libvirt.VIR_ERR_OPERATION_INVALID):
            return found
        raise
    for lease in rows:
        if lease.get("mac") and lease.get("type") == libvirt.VIR_IP_ADDR_TYPE_IPV4:
            found[lease["mac"].lower()] = lease["ipaddr"]
    return found
