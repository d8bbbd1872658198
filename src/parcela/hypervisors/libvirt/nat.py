"""The host's one NAT segment (``qemu:///system``): a libvirt network with DHCP plus our firewall."""

import contextlib
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network
from uuid import UUID
from xml.etree import ElementTree as ET

import libvirt

from parcela.hypervisors.errors import FatalDriverError, RetryableDriverError
from parcela.hypervisors.libvirt.bridges import has_ports, remove_leftover, used_networks
from parcela.hypervisors.libvirt.failures import is_code
from parcela.hypervisors.libvirt.names import nat_bridge_name, nat_network_name
from parcela.hypervisors.libvirt.xml.metadata import Metadata, to_text
from parcela.hypervisors.libvirt.xml.network import NatNetwork
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


def host_address(network: libvirt.virNetwork) -> IPv4Address | None:
    """The host's address on a network, from its definition."""
    address = ET.fromstring(network.XMLDesc(0)).find("ip")  # noqa: S314 - written by libvirtd
    return None if address is None else IPv4Address(address.get("address", ""))


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


def find_host_address(connection: libvirt.virConnect, installation: str) -> IPv4Address | None:
    """The host's address on our NAT network; None when there is no such network."""
    network = find(connection, installation)
    if network is None:
        return None
    try:
        return host_address(network)
    except libvirt.libvirtError as error:
        if is_code(error, libvirt.VIR_ERR_NO_NETWORK):  # removed since the line above
            return None
        raise


def define(
    connection: libvirt.virConnect, installation: str, segment: SegmentSpec, candidates: Iterable[str]
) -> IPv4Address:
    """Define the network unless it is; it does not run yet, because the firewall must be there first.

    Returns:
        The host's address on it.
    """
    network = find(connection, installation)
    if network is None:
        definition = NatNetwork(
            name=nat_network_name(installation),
            uuid=segment.uuid,
            bridge=nat_bridge_name(installation),
            subnet=choose_subnet(candidates, used_networks()),
            mtu=segment.mtu,
            metadata=Metadata(installation),
        )
        network = connection.networkDefineXML(to_text(definition.element()))
    address = host_address(network)
    if address is None:
        raise FatalDriverError("the NAT network has no address")
    return address


def start(connection: libvirt.virConnect, installation: str) -> None:
    """Start the defined network; it is never started by libvirtd itself, which knows nothing of our firewall."""
    network = connection.networkLookupByName(nat_network_name(installation))
    if network.isActive():
        return
    # The kernel kept it and libvirt forgot it (its files below /run were lost with a container): it would be "in use".
    remove_leftover(nat_bridge_name(installation))
    try:
        network.create()
    except libvirt.libvirtError as error:
        # Somebody else started it between the question and the call.
        if not (is_code(error, libvirt.VIR_ERR_OPERATION_INVALID) and network.isActive()):
            raise


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
