"""Who can reach whom: a walk over the simulated layer 2 and layer 3.

Layer 2: running, booted VMs with a NIC in the same segment; on another host only when both hosts join segments across
hosts. Ports of a NAT segment do not see each other, only the host's gateway. Layer 3: connected subnets, static routes
(longest prefix first), the default gateway, and guests that forward. An answer needs a way back.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, ip_address, ip_interface, ip_network

from parcela.hypervisors.simulated.host import NAT_GATEWAY, SimHost
from parcela.hypervisors.simulated.machine import Cables, SimVm
from parcela.hypervisors.spec import Capability, PowerState, SegmentKind, SegmentSpec

MAX_HOPS = 64


@dataclass(frozen=True, slots=True)
class Port:
    """A NIC with an address and a segment that exists."""

    host: SimHost
    vm: SimVm
    segment: SegmentSpec
    interface: IPv4Interface


class Network:
    """The network as it is at this moment; made for one question and thrown away.

    Only the VMs on the way are looked at: with 10,000 VMs, looking at all of them took a second for one ping.
    """

    def __init__(self, hosts: Mapping[str, SimHost], cables: Cables) -> None:
        """Take the hosts by name, and which VM is plugged in where."""
        self._hosts = hosts
        self._cables = cables
        self._known: dict[SimVm, list[Port]] = {}

    def _ports(self, vm: SimVm) -> list[Port]:
        """Ports of a booted, running VM; none otherwise."""
        if vm not in self._known:
            host = self._hosts[vm.host]
            host.advance(vm)
            awake = vm.power is PowerState.RUNNING and vm.guest is not None and vm.guest.ready
            self._known[vm] = list(_find_ports(host, vm)) if awake else []
        return self._known[vm]

    def answers(self, vm: SimVm, address: str) -> bool:
        """Whether a ping from the VM to an IPv4 address comes back."""
        try:
            wanted = ip_address(address)
        except ValueError:
            return False
        if not isinstance(wanted, IPv4Address):
            return False
        if wanted.is_loopback or any(port.interface.ip == wanted for port in self._ports(vm)):
            return True
        way = self._way(vm, wanted)
        if way is None:
            return False
        first_port, end = way
        return end is None or self._way(end, first_port.interface.ip) is not None

    def _way(self, vm: SimVm, wanted: IPv4Address) -> tuple[Port, SimVm | None] | None:
        """First port and last VM of the way to an address; the VM is None for the NAT gateway; None without a way."""
        first: Port | None = None
        here = vm
        for _hop in range(MAX_HOPS):
            port, hop = self._next(here, wanted)
            if port is None or hop is None:
                return None
            first = first or port
            if port.segment.kind is SegmentKind.NAT:
                return (first, None) if wanted == NAT_GATEWAY else None
            there = self._neighbour(port, hop)
            if there is None:
                return None
            if hop == wanted or any(p.interface.ip == wanted for p in self._ports(there)):
                return first, there
            if not there.spec.guest.forward:
                return None
            here = there
        return None

    def _next(self, vm: SimVm, wanted: IPv4Address) -> tuple[Port | None, IPv4Address | None]:
        """Port to send from, and the address to ask for on its segment."""
        ports = self._ports(vm)
        for port in ports:
            if wanted in port.interface.network:
                return port, wanted
        guest = vm.spec.guest
        routes = [(ip_network(prefix, strict=False), hop) for prefix, hop in guest.routes]
        fitting = sorted((r for r in routes if wanted in r[0]), key=lambda r: r[0].prefixlen, reverse=True)
        hops = [IPv4Address(hop) for _prefix, hop in fitting]
        if guest.gateway:
            hops.append(IPv4Address(guest.gateway))
        for hop in hops:
            for port in ports:
                if hop in port.interface.network:
                    return port, hop
        return None, None

    def _neighbour(self, port: Port, address: IPv4Address) -> SimVm | None:
        """The VM that has the address on the same segment."""
        for vm in self._cables.of(port.vm.installation or "", port.segment.uuid):
            for other in self._ports(vm):
                same = other.segment.uuid == port.segment.uuid and other.interface.ip == address
                if same and _joined(port.host, other.host):
                    return vm
        return None


def _find_ports(host: SimHost, vm: SimVm) -> Iterator[Port]:
    addresses = vm.guest.addresses if vm.guest is not None else {}
    for nic in vm.spec.nics:
        segment = nic.segment
        if segment is None or nic.mac not in addresses or (vm.installation or "", segment.uuid) not in host.segments:
            continue
        interface = ip_interface(addresses[nic.mac])
        if isinstance(interface, IPv4Interface):
            yield Port(host, vm, segment, interface)


def _joined(one: SimHost, other: SimHost) -> bool:
    return one is other or all(Capability.CROSS_HOST_SEGMENTS in host.size.capabilities for host in (one, other))
