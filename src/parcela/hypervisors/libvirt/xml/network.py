"""The NAT network element."""

from dataclasses import dataclass
from ipaddress import IPv4Network
from uuid import UUID
from xml.etree import ElementTree as ET

from parcela.hypervisors.libvirt.xml.metadata import Metadata, leaf

DNSMASQ_NAMESPACE = "http://libvirt.org/schemas/network/dnsmasq/1.0"

STANDARD_MTU = 1500

ET.register_namespace("dnsmasq", DNSMASQ_NAMESPACE)


@dataclass(frozen=True, slots=True)
class NatNetwork:
    """A libvirt network with NAT, DHCP and DNS.

    Attributes:
        name: libvirt's name.
        uuid: id of the segment.
        bridge: name of the bridge libvirt makes.
        subnet: addresses of host (the first one) and guests.
        mtu: bytes.
        metadata: whose it is.
        hosts_file: dnsmasq's ``dhcp-hostsfile``: the cards it answers, and their addresses.
        lease_time: of DHCP, in dnsmasq's notation.
        mac: of the bridge; "" lets libvirt choose one.
    """

    name: str
    uuid: UUID
    bridge: str
    subnet: IPv4Network
    mtu: int
    metadata: Metadata
    hosts_file: str
    lease_time: str
    mac: str = ""

    def element(self) -> ET.Element:
        """``<network>``."""
        network = ET.Element("network")
        options = leaf(network, f"{{{DNSMASQ_NAMESPACE}}}options")
        for value in self.options():
            leaf(options, f"{{{DNSMASQ_NAMESPACE}}}option", value=value)
        leaf(network, "name", self.name)
        leaf(network, "uuid", str(self.uuid))
        leaf(network, "metadata").append(self.metadata.element())
        leaf(network, "forward", mode="nat")
        leaf(network, "bridge", name=self.bridge, stp="off", delay="0")
        if self.mac:
            leaf(network, "mac", address=self.mac)
        leaf(network, "mtu", size=str(self.mtu))
        # A name without a dot is somebody's machine, which nobody here shall be told of: it is not asked for upstream.
        leaf(network, "dns", forwardPlainNames="no")
        leaf(network, "ip", address=str(self.subnet[1]), netmask=str(self.subnet.netmask))
        return network

    def options(self) -> tuple[str, ...]:
        """Lines of dnsmasq's configuration that libvirt has no element for."""
        zones = "/".join(reverse_zones(self.subnet))
        return (
            # dnsmasq pings an address for 3 s before it offers it; leases are remembered: that only delays every boot.
            "no-ping",
            # Neither the host's /etc/hosts nor what guests call themselves: a VM could take the name of another's.
            "no-hosts",
            "dhcp-ignore-names",
            f"local=/localhost/{zones}/",
            # Addresses for reserved cards only, where libvirt's <range> would give any number to anyone.
            f"dhcp-range={self.subnet[0]},static,{self.subnet.netmask},{self.lease_time}",
            f"dhcp-hostsfile={self.hosts_file}",
            f"dhcp-lease-max={self.subnet.num_addresses}",
            "dhcp-authoritative",
            "dhcp-no-override",
            *(() if self.mtu == STANDARD_MTU else (f"dhcp-option=option:mtu,{self.mtu}",)),
        )


def reverse_zones(subnet: IPv4Network) -> list[str]:
    """The zones below ``in-addr.arpa`` that hold a subnet, at most 128; the whole of the last one may be wider."""
    octets = next((count for count in (1, 2, 3) if subnet.prefixlen <= 8 * count), 3)
    parts = subnet.subnets(new_prefix=8 * octets) if subnet.prefixlen < 8 * octets else [subnet]
    return [".".join(reversed(str(part.network_address).split(".")[:octets])) + ".in-addr.arpa" for part in parts]


def dnsmasq_options(network: ET.Element) -> frozenset[str]:
    """The options for dnsmasq in a network's XML as libvirtd wrote it."""
    found = network.iterfind(f"{{{DNSMASQ_NAMESPACE}}}options/{{{DNSMASQ_NAMESPACE}}}option")
    return frozenset(option.get("value", "") for option in found)
