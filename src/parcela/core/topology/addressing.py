"""Rules about addresses, gateways and routes of a template."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from parcela.core.errors import Problem
from parcela.core.topology.addresses import is_host_of, read_address, read_interface, read_network
from parcela.core.topology.document import TemplateVm, TopologyDocument
from parcela.core.topology.wiring import wires

_NAT_REASON = (
    ", a range that VMs with public access get their addresses from. Take another subnet, e.g. of 192.168.0.0/16."
)


def address_problems(document: TopologyDocument) -> Iterator[Problem]:
    """Find bad addresses, two NICs with one address on a segment, and one address on two NICs of a VM."""
    on_segment: dict[tuple[str, IPv4Address], str] = {}
    on_vm: dict[tuple[str, IPv4Address], str] = {}
    for wire in wires(document):
        if wire.address is None:
            continue
        where = f"{wire.where}.address"
        try:
            address = read_interface(wire.address).ip
        except ValueError as error:
            yield Problem(where, str(error), "invalid_address")
            continue
        other = on_segment.setdefault((wire.segment, address), where)
        own = on_vm.setdefault((wire.vm, address), where)
        # A VM that is twice on one network breaks both rules; one sentence is enough.
        if other != where:
            yield Problem(where, f"{address} is already the address of {other} on this segment.", "duplicate_address")
        elif own != where:
            yield Problem(where, f"{address} is already the address of {own}, on the same VM.", "address_reused")


def route_problems(document: TopologyDocument) -> Iterator[Problem]:
    """Find bad gateways, routes and resolvers of all VMs."""
    interfaces: dict[str, list[IPv4Interface]] = {}
    for wire in wires(document):
        try:
            interface = read_interface(wire.address or "")
        except ValueError:
            continue  # said by address_problems
        interfaces.setdefault(wire.vm, []).append(interface)
    for index, vm in enumerate(document.vms):
        yield from _vm_route_problems(f"vms[{index}]", vm, interfaces.get(vm.name, []))


def nat_problems(document: TopologyDocument, nat_networks: Sequence[IPv4Network]) -> Iterator[Problem]:
    """Find NICs and routes whose addresses overlap the network of VMs with public access."""
    public = any(vm.public_access for vm in document.vms)
    for wire in wires(document):
        what = nat_overlap(wire.address, nat_networks, public=public)
        if what is not None:
            yield Problem(f"{wire.where}.address", what, "overlaps_nat_network")
    for index, vm in enumerate(document.vms):
        for number, route in enumerate(vm.routes):
            with suppress(ValueError):  # said by route_problems
                target = read_network(route.to)
                nat = next((nat for nat in nat_networks if target.subnet_of(nat)), None)
                if nat is not None:
                    where = f"vms[{index}].routes[{number}].to"
                    yield Problem(where, f"{target} is part of {nat}{_NAT_REASON}", "overlaps_nat_network")


def nat_overlap(address: str | None, nat_networks: Sequence[IPv4Network], *, public: bool) -> str | None:
    """Why a NIC cannot have an address, as a sentence; None when it can, or when it is none.

    Args:
        address: with its prefix.
        nat_networks: ranges of the NAT network.
        public: a VM of the slice has public access, so that a subnet around a range is in the way too.
    """
    try:
        interface = read_interface(address or "")
    except ValueError:
        return None
    for nat in nat_networks:
        if interface.ip in nat or (public and interface.network.overlaps(nat)):
            return f"{interface} overlaps {nat}{_NAT_REASON}"
    return None


def _vm_route_problems(where: str, vm: TemplateVm, interfaces: list[IPv4Interface]) -> Iterator[Problem]:
    targets: dict[IPv4Network, str] = {}
    if vm.gateway is not None:
        yield from _next_hop_problems(f"{where}.gateway", vm.gateway, interfaces)
        targets[IPv4Network("0.0.0.0/0")] = f"{where}.gateway"
    for number, route in enumerate(vm.routes):
        place = f"{where}.routes[{number}]"
        try:
            target = read_network(route.to)
        except ValueError as error:
            yield Problem(f"{place}.to", str(error), "invalid_cidr")
        else:
            before = targets.setdefault(target, place)
            if before != place:
                yield Problem(f"{place}.to", f"{before} already routes {target}.", "duplicate_route")
        yield from _next_hop_problems(f"{place}.via", route.via, interfaces)
    for number, resolver in enumerate(vm.dns):
        try:
            read_address(resolver)
        except ValueError as error:
            yield Problem(f"{where}.dns[{number}]", str(error), "invalid_address")


def _next_hop_problems(where: str, text: str, interfaces: list[IPv4Interface]) -> Iterator[Problem]:
    try:
        hop = read_address(text)
    except ValueError as error:
        yield Problem(where, str(error), "invalid_address")
        return
    if any(hop == interface.ip for interface in interfaces):
        yield Problem(where, f"{hop} is an address of this VM itself.", "next_hop_is_self")
    elif not any(is_host_of(hop, interface.network) for interface in interfaces):
        what = f"{hop} is no host of a subnet that this VM is connected to; give its NIC an address of that subnet."
        yield Problem(where, what, "next_hop_unreachable")
