"""The NAT network element."""

from dataclasses import dataclass
from ipaddress import IPv4Network
from uuid import UUID
from xml.etree import ElementTree as ET

from parcela.hypervisors.libvirt.xml.metadata import Metadata, leaf

DNSMASQ_NAMESPACE = "http://libvirt.org/schemas/network/dnsmasq/1.0"

ET.register_namespace("dnsmasq", DNSMASQ_NAMESPACE)


@dataclass(frozen=True, slots=True)
class NatNetwork:
    """A libvirt network with NAT and DHCP.

    Attributes:
        name: libvirt's name.
        uuid: id of the segment.
        bridge: name of the bridge libvirt makes.
        subnet: addresses of host (the first one) and guests.
        mtu: bytes.
        metadata: whose it is.
    """

    name: str
    uuid: UUID
    bridge: str
    subnet: IPv4Network
    mtu: int
    metadata: Metadata

    def element(self) -> ET.Element:
        """``<network>``."""
        network = ET.Element("network")
        # dnsmasq pings an address for 3 s before it offers it; leases are remembered, so that only delays every boot.
        options = leaf(network, f"{{{DNSMASQ_NAMESPACE}}}options")
        leaf(options, f"{{{DNSMASQ_NAMESPACE}}}option", value="no-ping")
        leaf(network, "name", self.name)
        leaf(network, "uuid", str(self.uuid))
        leaf(network, "metadata").append(self.metadata.element())
        leaf(network, "forward", mode="nat")
        leaf(network, "bridge", name=self.bridge, stp="off", delay="0")
        leaf(network, "mtu", size=str(self.mtu))
        address = leaf(network, "ip", address=str(self.subnet[1]), netmask=str(self.subnet.netmask))
        leaf(leaf(address, "dhcp"), "range", start=str(self.subnet[2]), end=str(self.subnet[-2]))
        return network
