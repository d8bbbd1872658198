"""Which NIC hangs on which segment: the one reading of the edges that validation and expansion share."""

from collections.abc import Iterator
from dataclasses import dataclass

from parcela.core.topology.document import DEFAULT_MTU, TemplateEdge, TopologyDocument, VmEnd


@dataclass(frozen=True, slots=True)
class Wire:
    """One NIC that an edge gives to a VM.

    Attributes:
        where: path of the end in the document, e.g. ``edges[3].a``.
        vm: name of the VM as the edge writes it; perhaps there is none.
        address: IPv4 address with prefix as written, or None.
        segment: key of the segment, ``edge:<index of the edge>`` or ``lan:<name of the network>``.
        side: 0 for the end ``a`` of the edge, 1 for ``b``.
        mtu: bytes.
    """

    where: str
    vm: str
    address: str | None
    segment: str
    side: int
    mtu: int


def lan_key(network: str) -> str:
    """Return the key of the segment of a network."""
    return f"lan:{network}"


def edge_key(index: int) -> str:
    """Return the key of the segment of the edge with this index, when it joins two VMs."""
    return f"edge:{index}"


def edge_mtu(edge: TemplateEdge, network_mtu: int | None) -> int:
    """Return the MTU in bytes of the NICs of an edge; ``network_mtu`` is None between two VMs."""
    if edge.mtu is not None:
        return edge.mtu
    return network_mtu if network_mtu is not None else DEFAULT_MTU


def wires(document: TopologyDocument) -> Iterator[Wire]:
    """Give the NICs of all edges in document order, ``a`` before ``b``; edges between two networks give none."""
    mtus = {network.name: network.mtu for network in document.networks}
    for index, edge in enumerate(document.edges):
        network = next((end.network for end in (edge.a, edge.b) if not isinstance(end, VmEnd)), None)
        segment = edge_key(index) if network is None else lan_key(network)
        mtu = edge_mtu(edge, None if network is None else mtus.get(network, DEFAULT_MTU))
        for side, end in enumerate((edge.a, edge.b)):
            if isinstance(end, VmEnd):
                yield Wire(f"edges[{index}].{'ab'[side]}", end.vm, end.address, segment, side, mtu)
