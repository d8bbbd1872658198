"""The older ``cloud`` template document, written; ``cloud`` has its form and reads it.

Decisions: ids, texts at nodes and words for images are written as they were typed; a VM that was never in an older
drawing is ``vm-<n>``, an edge ``edge-<from>-<to>``. ``name`` is the label of the VM. Sizes are always written, those of
the flavour too; a VM that overrides its flavour is written without it, because to readers of this form the flavour
decides. Nodes that nobody has placed are left without a place, and pages arrange them. What the format cannot hold is
left out and listed. A network is not written as a node: a node is a VM to every reader.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from parcela.core.topology.catalogue import Catalogue, FlavourInfo
from parcela.core.topology.cloud_names import edge_id, edge_name, host_names, shown_name
from parcela.core.topology.document import DEFAULT_MTU, TemplateEdge, TemplateVm, TopologyDocument, VmEnd, place
from parcela.core.topology.names import is_label
from parcela.core.topology.sizes import Size, size_of

_MIB_PER_GIB: Final = 1024
_BEYOND_CLOUD: Final = ("forward", "user_data", "ssh_keys", "gateway", "routes", "dns")
_NUMBERED: Final = re.compile(r"vm-(\d{1,9})", re.ASCII)
_NATIVE: Final = re.compile(r"(vms|edges)\[(\d+)\](?:\.(\w+))?(.*)", re.ASCII)
_FIELDS: Final = {"image": "os", "vcpus": "vcpu", "memory_mib": "ram_gb", "disk_gib": "disk_gb", "label": "name"}
Flavours = Mapping[str, FlavourInfo]
NodeId = int | str
Resources = dict[str, dict[str, Any]]


def to_cloud(document: TopologyDocument, flavours: Flavours | None = None) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Write a document in the older form.

    Args:
        document: what is written.
        flavours: by name; the size of a VM whose flavour is not among them is written as null.

    Returns:
        The older document, which ``from_cloud`` reads back to the same topology but for what was lost; and the places
        in ``document`` of what was lost, e.g. ``networks[0]`` or ``vms[2].user_data``: VMs, then networks, then edges.
    """
    lost: list[str] = []
    sizes = Catalogue(flavours=flavours or {})
    idents = _node_ids(document.vms)
    is_placed = len(document.vms) < 2 or any(vm.x or vm.y for vm in document.vms)
    taken: set[str] = set()
    nodes: list[dict[str, Any]] = []
    resources: Resources = {}
    for index, (vm, ident) in enumerate(zip(document.vms, idents, strict=True)):
        folded = vm.name.casefold()
        if not is_label(vm.name) or folded in taken:
            lost.append(place("vms", index, "name"))
        taken.add(folded)
        lost.extend(place("vms", index, field) for field in _BEYOND_CLOUD if getattr(vm, field))
        if vm.flavour and _overrides(vm):
            lost.append(place("vms", index, "flavour"))
        spot = {"x": vm.x, "y": vm.y} if is_placed else {}
        nodes.append({"id": ident, "label": _text_at(vm), **spot})
        resources[str(ident)] = _write_resources(vm, size_of(vm, sizes))
    _write_host_names(document.vms, idents, resources)
    lost.extend(place("networks", index) for index in range(len(document.networks)))
    by_name: dict[str, NodeId] = {}
    for vm, ident in zip(document.vms, idents, strict=True):
        by_name.setdefault(vm.name, ident)
    edges = _write_edges(document.edges, by_name, lost)
    public = [ident for vm, ident in zip(document.vms, idents, strict=True) if vm.public_access]
    written = {
        "topologia": {"nodes": nodes, "edges": edges},
        "recursos": resources,
        "subred": {"public_access": public},
    }
    return written, tuple(lost)


class OlderPlaces:
    """Places in the older document by those in ours: ``vms[0].image`` is ``recursos.vm-1.os``."""

    def __init__(self, document: TopologyDocument) -> None:
        """``document``: as ``from_cloud`` has read it."""
        self._nodes = [str(vm.node.id) if vm.node else vm.name for vm in document.vms]
        self._edges = [str(index if edge.id is None else edge.id) for index, edge in enumerate(document.edges)]

    def __call__(self, where: str) -> str:
        """The place, or what was given where there is none."""
        found = _NATIVE.fullmatch(where)
        if found is None:
            return {"vms": "topologia.nodes", "edges": "topologia.edges"}.get(where, where)
        kind, index, field, rest = found[1], int(found[2]), found[3] or "", found[4]
        if kind == "edges":
            return f"topologia.edges[{self._edges[index]}]"
        return place("recursos", self._nodes[index], *([_FIELDS.get(field, field)] if field else [])) + rest


def _node_ids(vms: Sequence[TemplateVm]) -> list[NodeId]:
    """Ids as they were typed; the others go on counting where the editor would."""
    taken: set[str] = set()
    typed: list[NodeId | None] = []
    for vm in vms:
        ident = None if vm.node is None or str(vm.node.id) in taken else vm.node.id
        taken |= set() if ident is None else {str(ident)}
        typed.append(ident)
    numbers = [int(found[1]) for ident in taken if (found := _NUMBERED.fullmatch(ident))]
    last, idents = max(numbers, default=0), []
    for ident in typed:
        last += ident is None
        idents.append(f"vm-{last}" if ident is None else ident)
    return idents


def _text_at(vm: TemplateVm) -> str:
    shown = shown_name(vm)
    if vm.node is not None and vm.node.label is not None and vm.node.label_of == shown:
        return vm.node.label
    return shown


def _overrides(vm: TemplateVm) -> bool:
    return any(value is not None for value in (vm.vcpus, vm.memory_mib, vm.disk_gib))


def _write_resources(vm: TemplateVm, size: Size) -> dict[str, Any]:
    word = vm.node.os if vm.node is not None and vm.node.os_of == vm.image else None
    return {
        "name": shown_name(vm),
        "vcpu": size.vcpus,
        "ram_gb": None if size.memory_mib is None else size.memory_mib / _MIB_PER_GIB,
        "disk_gb": size.disk_gib,
        "os": word or vm.image,
        "flavour": None if _overrides(vm) else vm.flavour,
    }


def _write_host_names(
    vms: Iterable[TemplateVm], idents: Sequence[NodeId], resources: dict[str, dict[str, Any]]
) -> None:
    """Say the host names that a reader would not make of the names; all, if it is one: they make way for each other."""
    typed = {ident: entry["name"] for ident, entry in resources.items()}
    names = {str(ident): vm.name for vm, ident in zip(vms, idents, strict=True)}
    if host_names(typed, {}) != names:
        for ident, entry in resources.items():
            if entry["name"] != names[ident] and is_label(names[ident]):
                entry["hostname"] = names[ident]


def _write_edges(edges: Sequence[TemplateEdge], idents: Mapping[str, NodeId], lost: list[str]) -> list[dict[str, Any]]:
    written: list[dict[str, Any]] = []
    ids = _EdgeIds(edges)
    for index, edge in enumerate(edges):
        a, b = edge.a, edge.b
        if not (isinstance(a, VmEnd) and isinstance(b, VmEnd) and a.vm in idents and b.vm in idents):
            lost.append(place("edges", index))
            continue
        ends = idents[a.vm], idents[b.vm]
        ident, name = ids.next(edge, *ends)
        if name != edge.name:
            lost.append(place("edges", index, "name"))
        lost.extend(place("edges", index, side, "address") for side, end in (("a", a), ("b", b)) if end.address)
        if edge.mtu not in {None, DEFAULT_MTU}:
            lost.append(place("edges", index, "mtu"))
        written.append({"id": ident, "from": ends[0], "to": ends[1]})
    return written


class _EdgeIds:
    """Ids of edges, each used once: those that were typed, as long as they say the names that the edges have."""

    def __init__(self, edges: Sequence[TemplateEdge]) -> None:
        self._typed = {str(edge.id) for edge in edges if edge.id is not None}
        self._used: set[str] = set()
        self._names: set[str] = set()

    def next(self, edge: TemplateEdge, a: NodeId, b: NodeId) -> tuple[NodeId, str | None]:
        """The id of the next edge, and the name that a reader gives it."""
        typed = None if edge.id is None or str(edge.id) in self._used else edge.id
        if typed is None or edge_name(typed, a, b, self._names) != edge.name:
            typed = edge.name if edge.name not in self._used | self._typed else None
            if typed is None or edge_name(typed, a, b, self._names) != edge.name:
                typed = self._made(a, b)
        self._used.add(str(typed))
        name = edge_name(typed, a, b, self._names)
        self._names |= {name.casefold()} if name else set()
        return typed, name

    def _made(self, a: NodeId, b: NodeId) -> str:
        made, number = edge_id(a, b), 2
        while made in self._used | self._typed:
            made, number = f"{edge_id(a, b)}-{number}", number + 1
        return made
