"""From a template to what is to be built: VMs with their NICs in guest order, and the segments they hang on.

The order of the NICs of a VM is that of the edges in the document; the public NIC comes last, so that granting public
access later does not renumber the others.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from parcela.core.labels import one_line
from parcela.core.topology.addresses import read_address, read_interface, read_network
from parcela.core.topology.catalogue import Catalogue
from parcela.core.topology.document import DEFAULT_MTU, TemplateVm, TopologyDocument, VmEnd, template_invalid
from parcela.core.topology.names import claim
from parcela.core.topology.sizes import size_of
from parcela.core.topology.validate import is_blank_user_data, validate
from parcela.core.topology.wiring import edge_key, edge_mtu, lan_key, wires


class PlannedKind(StrEnum):
    """Kind of a planned segment; the values are those of the drivers' SegmentKind."""

    EDGE = "edge"  # exactly two NICs
    LAN = "lan"  # one or more NICs


@dataclass(frozen=True, slots=True)
class PlannedNic:
    """A NIC to be made.

    Attributes:
        segment: key of its segment in the plan; None for the public NIC.
        is_public: it joins the NAT network and asks for its address by DHCP.
        end: 0 or 1 on an EDGE (end ``a`` or ``b``), index of the port on a LAN, 0 for the public NIC.
        address: IPv4 address with prefix, e.g. ``10.0.1.2/24``, or None.
        mtu: bytes, 576..9000.
    """

    segment: str | None
    is_public: bool
    end: int
    address: str | None
    mtu: int


@dataclass(frozen=True, slots=True)
class PlannedSegment:
    """A layer-2 segment to be made.

    Attributes:
        key: ``edge:<index of the edge>`` or ``lan:<name of the network>``; unique in the plan.
        name: for people, 1..63 characters, unique in the plan without regard to case.
        kind: EDGE or LAN.
        mtu: bytes, 576..9000.
    """

    key: str
    name: str
    kind: PlannedKind
    mtu: int


@dataclass(frozen=True, slots=True)
class PlannedVm:
    """A VM to be made.

    Attributes:
        name: RFC 1123 label, unique in the plan.
        label: what to show instead, one line of at most 100 characters; "" for the name.
        image_id: id of the image in the catalogue.
        flavour_id: id of the flavour the template names, also when sizes override it; None without one.
        vcpus: 1..128.
        memory_mib: 64..1048576 MiB.
        disk_gib: 1..16384 GiB, at least what the image needs.
        user_data: ``#!`` or ``#cloud-config`` text, or None.
        ssh_keys: authorised keys, one line each.
        gateway: IPv4 address of the default route, or None.
        routes: pairs (destination prefix, next hop).
        dns: IPv4 addresses of resolvers.
        forward: the guest forwards IPv4 packets.
        nics: in guest order.
    """

    name: str
    label: str
    image_id: int
    flavour_id: int | None
    vcpus: int
    memory_mib: int
    disk_gib: int
    user_data: str | None
    ssh_keys: tuple[str, ...]
    gateway: str | None
    routes: tuple[tuple[str, str], ...]
    dns: tuple[str, ...]
    forward: bool
    nics: tuple[PlannedNic, ...]


@dataclass(frozen=True, slots=True)
class SlicePlan:
    """Everything a slice needs, in document order."""

    vms: tuple[PlannedVm, ...]
    segments: tuple[PlannedSegment, ...]

    @property
    def vcpus(self) -> int:
        """Sum over all VMs."""
        return sum(vm.vcpus for vm in self.vms)

    @property
    def memory_mib(self) -> int:
        """Sum over all VMs, in MiB."""
        return sum(vm.memory_mib for vm in self.vms)

    @property
    def disk_gib(self) -> int:
        """Sum over all VMs, in GiB."""
        return sum(vm.disk_gib for vm in self.vms)


def expand(document: TopologyDocument, catalogue: Catalogue) -> SlicePlan:
    """Plan a slice.

    Addresses and prefixes come out in canonical form. A network gives one LAN segment when an edge goes there.

    Raises:
        ParcelaError: INVALID ``template_invalid`` with everything ``validate`` finds: no plan is ever made of a
            document that it objects to.
    """
    problems = validate(document, catalogue)
    if problems:
        raise template_invalid(problems)
    nics = _nics(document)
    return SlicePlan(
        vms=tuple(_vm(vm, catalogue, nics.get(vm.name, [])) for vm in document.vms),
        segments=tuple(_segments(document)),
    )


def _nics(document: TopologyDocument) -> dict[str, list[PlannedNic]]:
    nics: dict[str, list[PlannedNic]] = {}
    ports: Counter[str] = Counter()
    for wire in wires(document):
        is_lan = wire.segment.startswith(lan_key(""))
        end = ports[wire.segment] if is_lan else wire.side
        ports[wire.segment] += 1
        address = None if wire.address is None else str(read_interface(wire.address))
        nics.setdefault(wire.vm, []).append(
            PlannedNic(wire.segment, is_public=False, end=end, address=address, mtu=wire.mtu)
        )
    for vm in document.vms:
        if vm.public_access:
            public = PlannedNic(None, is_public=True, end=0, address=None, mtu=DEFAULT_MTU)
            nics.setdefault(vm.name, []).append(public)
    return nics


def _vm(vm: TemplateVm, catalogue: Catalogue, nics: list[PlannedNic]) -> PlannedVm:
    size = size_of(vm, catalogue)
    # validate() has said that none is missing; this tells mypy, and would stop a rule that was dropped there.
    if size.vcpus is None or size.memory_mib is None or size.disk_gib is None:
        raise AssertionError(f"{vm.name} has no size after validation")
    return PlannedVm(
        name=vm.name,
        label=one_line(vm.label or ""),
        image_id=catalogue.images[vm.image].id,
        flavour_id=None if vm.flavour is None else catalogue.flavours[vm.flavour].id,
        vcpus=size.vcpus,
        memory_mib=size.memory_mib,
        disk_gib=size.disk_gib,
        user_data=None if is_blank_user_data(vm) else vm.user_data,
        ssh_keys=tuple(key.strip() for key in vm.ssh_keys),
        gateway=None if vm.gateway is None else str(read_address(vm.gateway)),
        routes=tuple((str(read_network(route.to)), str(read_address(route.via))) for route in vm.routes),
        dns=tuple(str(read_address(resolver)) for resolver in vm.dns),
        forward=vm.forward,
        nics=tuple(nics),
    )


def _segments(document: TopologyDocument) -> Iterator[PlannedSegment]:
    """Give the LAN segments in the order of the networks, then the EDGE segments in the order of the edges."""
    names = _edge_names(document)
    used = {wire.segment for wire in wires(document)}
    for network in document.networks:
        if lan_key(network.name) in used:
            yield PlannedSegment(lan_key(network.name), network.name, PlannedKind.LAN, network.mtu)
    for index, edge in enumerate(document.edges):
        if index in names:
            yield PlannedSegment(edge_key(index), names[index], PlannedKind.EDGE, edge_mtu(edge, None))


def _edge_names(document: TopologyDocument) -> dict[int, str]:
    """Name the segments of the edges between two VMs, by index of the edge."""
    taken = {network.name.casefold() for network in document.networks}
    made_up: dict[int, str] = {}
    names: dict[int, str] = {}
    for index, edge in enumerate(document.edges):
        if isinstance(edge.a, VmEnd) and isinstance(edge.b, VmEnd):
            if edge.name is None:
                made_up[index] = f"{edge.a.vm}-{edge.b.vm}"
            else:
                names[index] = claim(edge.name, taken)
    # Last, so that a made-up name gives way to one that somebody gave, wherever that stands.
    return names | {index: claim(name, taken) for index, name in made_up.items()}
