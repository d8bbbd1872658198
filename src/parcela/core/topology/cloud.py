"""The older ``cloud`` template document, in and out.

Its form::

    {"topologia": {"nodes": [{"id", "label", "x", "y"}], "edges": [{"id", "from", "to"}]},
     "recursos": {"<node id>": {"name", "vcpu", "ram_gb", "disk_gb", "os", "flavour"}},
     "subred": {"public_access": ["<node id>"]}}

Decisions, reading:

- Ids are integers or texts; 7 and "7" are the same. Unknown fields are ignored (the older editor stored its colours).
- Every node needs an entry in ``recursos``, every entry a node. ``subred`` may be missing.
- ``vcpu``, ``ram_gb`` and ``disk_gb`` may be null or "" (the flavour says it), or numbers written as text. ``ram_gb``
  is in GiB and may have a fraction, rounded to whole MiB; a fraction of ``disk_gb`` is rounded up.
- The VM is called ``recursos.name``, else ``label``. What is no host name is made one (``Servidor Ñandú`` becomes
  ``servidor-nandu``; nothing left becomes ``vm-<position>``), and repeated names, which the older format allowed, get a
  number; nodes whose name is fine keep it. The label is kept as the VM's label when it differs from the name.
- An edge keeps its id as its name, unless that is a number, a UUID (both made by an editor) or used before.

Decisions, writing: node ids are "1", "2" ... in document order. What the format cannot hold is left out and listed. A
network is not written as a node: a node is a VM to every reader of this format, and one without ``recursos`` is an
error.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from parcela.core.errors import ErrorKind, ParcelaError, Problem
from parcela.core.topology.cloud_reader import Place, Reader
from parcela.core.topology.document import (
    DEFAULT_MTU,
    MAX_COORDINATE,
    MAX_EDGES,
    MAX_INT,
    MAX_LABEL_CHARS,
    MAX_NAME_CHARS,
    MAX_VMS,
    TemplateEdge,
    TemplateVm,
    TopologyDocument,
    VmEnd,
    place,
    template_invalid,
)
from parcela.core.topology.names import claim, is_label, is_printable_name, slug

_MIB_PER_GIB: Final = 1024
_MADE_BY_EDITOR: Final = re.compile(r"\d+|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Node:
    ident: str
    label: str
    name: str  # of recursos, perhaps ""
    x: float
    y: float
    resources: Mapping[Any, Any] | None  # None: missing or no object, which was noted


def from_cloud(raw: object, image_names: Mapping[str, str] | None = None) -> TopologyDocument:
    """Read an older document.

    Args:
        raw: decoded JSON; anything.
        image_names: image by other texts that ``os`` may hold, such as ``os_version``; case does not count. A text that
            is not in it is taken for the name of an image, and ``validate`` says when there is none.

    Raises:
        ParcelaError: TOO_LARGE ``template_too_large`` or INVALID ``template_invalid``, with all problems and their
            places in the older document.
    """
    reader = Reader()
    root = reader.mapping(raw, ())
    if reader.problems:
        raise template_invalid(reader.problems)
    topology = reader.mapping(root.get("topologia"), ("topologia",))
    resources = reader.mapping(root.get("recursos"), ("recursos",))
    subnet = {} if root.get("subred") is None else reader.mapping(root["subred"], ("subred",))
    _refuse_oversized(topology, resources, subnet)
    nodes = _read_nodes(reader, topology, resources)
    public = _read_public(reader, subnet, nodes)
    names = _vm_names(nodes)
    images = {other.casefold(): name for other, name in (image_names or {}).items()}
    vms = tuple(_read_vm(reader, node, names[node.ident], images, public) for node in nodes.values())
    edges = _read_edges(reader, topology, names)
    if reader.problems:
        raise template_invalid(reader.problems)
    return TopologyDocument(vms=vms, edges=edges)


def _refuse_oversized(topology: Mapping[Any, Any], resources: Mapping[Any, Any], subnet: Mapping[Any, Any]) -> None:
    found = {
        "topologia.nodes": (topology.get("nodes"), MAX_VMS),
        "topologia.edges": (topology.get("edges"), MAX_EDGES),
        "recursos": (resources, MAX_VMS),
        "subred.public_access": (subnet.get("public_access"), MAX_VMS),
    }
    problems = [
        Problem(where, f"There are {len(value)}; at most {limit} are allowed.", "too_many")
        for where, (value, limit) in found.items()
        if isinstance(value, list | tuple | Mapping) and len(value) > limit
    ]
    if problems:
        message = "The template is larger than allowed."
        raise ParcelaError(ErrorKind.TOO_LARGE, "template_too_large", message, problems=problems)


def _read_nodes(reader: Reader, topology: Mapping[Any, Any], resources: Mapping[Any, Any]) -> dict[str, _Node]:
    entries: dict[str, object] = {}
    for key, value in resources.items():
        ident = reader.ident(key, ("recursos",))
        if ident is not None:
            entries[ident] = value
    nodes: dict[str, _Node] = {}
    for index, item in enumerate(reader.items(topology.get("nodes"), ("topologia", "nodes"))):
        where: Place = ("topologia", "nodes", index)
        if not isinstance(item, Mapping):
            reader.mapping(item, where)
            continue
        node = _read_node(reader, item, where, entries)
        if node is not None and nodes.setdefault(node.ident, node) is not node:
            reader.note((*where, "id"), "Another node has the same id.", "duplicate_id")
    for ident in entries:
        if ident not in nodes:
            reader.note(("recursos", ident), "There is no node of this id.", "unknown_node")
    return nodes


def _read_node(reader: Reader, item: Mapping[Any, Any], where: Place, entries: Mapping[str, object]) -> _Node | None:
    ident = reader.ident(item.get("id"), (*where, "id"))
    label = reader.text(item.get("label"), (*where, "label"), MAX_LABEL_CHARS)
    x = reader.number(item.get("x"), (*where, "x"), MAX_COORDINATE)
    y = reader.number(item.get("y"), (*where, "y"), MAX_COORDINATE)
    if not label.strip():
        label = ""
    if ident is None:
        return None
    entry = entries.get(ident)
    if not isinstance(entry, Mapping):
        reader.mapping(entry, ("recursos", ident))
        return _Node(ident, label, "", x or 0.0, y or 0.0, None)
    name = reader.text(entry.get("name"), ("recursos", ident, "name"), MAX_NAME_CHARS)
    return _Node(ident, label, name, x or 0.0, y or 0.0, entry)


def _read_public(reader: Reader, subnet: Mapping[Any, Any], nodes: Mapping[str, _Node]) -> frozenset[str]:
    where: Place = ("subred", "public_access")
    found: set[str] = set()
    for index, item in enumerate(reader.items(subnet.get("public_access"), where)):
        ident = reader.ident(item, (*where, index))
        if ident is not None and ident not in nodes:
            reader.note((*where, index), "There is no node of this id.", "unknown_node")
        elif ident is not None:
            found.add(ident)
    return frozenset(found)


def _vm_names(nodes: Mapping[str, _Node]) -> dict[str, str]:
    """Give every node a host name. Names that are fine go first: a made-up one must not take theirs."""
    wanted = {ident: node.name or node.label for ident, node in nodes.items()}
    taken: set[str] = set()
    names: dict[str, str] = {}
    for ident, name in wanted.items():
        if is_label(name) and name.casefold() not in taken:
            names[ident] = claim(name, taken)
    for position, (ident, name) in enumerate(wanted.items(), start=1):
        if ident not in names:
            names[ident] = claim(slug(name) or f"vm-{position}", taken)
    return names


def _read_vm(reader: Reader, node: _Node, name: str, images: Mapping[str, str], public: frozenset[str]) -> TemplateVm:
    where: Place = ("recursos", node.ident)
    entry = {} if node.resources is None else node.resources
    system = reader.text(entry.get("os"), (*where, "os"), MAX_NAME_CHARS)
    if node.resources is not None and (entry.get("os") is None or entry.get("os") == ""):
        reader.note((*where, "os"), "Name an image, or the version of its system.", "missing")
    memory_gib = reader.number(entry.get("ram_gb"), (*where, "ram_gb"), MAX_INT / _MIB_PER_GIB)
    disk_gib = reader.number(entry.get("disk_gb"), (*where, "disk_gb"), MAX_INT)
    label = node.label or node.name[:MAX_LABEL_CHARS]
    return TemplateVm(
        name=name,
        label=label if label and label != name else None,
        image=images.get(system.casefold(), system),
        flavour=reader.text(entry.get("flavour"), (*where, "flavour"), MAX_NAME_CHARS) or None,
        vcpus=reader.whole(entry.get("vcpu"), (*where, "vcpu")),
        memory_mib=None if memory_gib is None else round(memory_gib * _MIB_PER_GIB),
        disk_gib=None if disk_gib is None else math.ceil(disk_gib),
        public_access=node.ident in public,
        x=node.x,
        y=node.y,
    )


def _read_edges(reader: Reader, topology: Mapping[Any, Any], names: Mapping[str, str]) -> tuple[TemplateEdge, ...]:
    edges: list[TemplateEdge] = []
    taken: set[str] = set()
    for index, item in enumerate(reader.items(topology.get("edges"), ("topologia", "edges"))):
        where: Place = ("topologia", "edges", index)
        if not isinstance(item, Mapping):
            reader.mapping(item, where)
            continue
        ends = [_read_end(reader, item, key, where, names) for key in ("from", "to")]
        ident = None if item.get("id") is None else reader.ident(item["id"], (*where, "id"))
        name = _edge_name(ident)
        if name is not None:
            folded = name.casefold()
            name = None if folded in taken else name
            taken.add(folded)
        edges.append(TemplateEdge(name=name, a=VmEnd(vm=ends[0]), b=VmEnd(vm=ends[1])))
    return tuple(edges)


def _read_end(reader: Reader, edge: Mapping[Any, Any], key: str, where: Place, names: Mapping[str, str]) -> str:
    ident = reader.ident(edge.get(key), (*where, key))
    if ident is None:
        return ""
    if ident not in names:
        reader.note((*where, key), "There is no node of this id.", "unknown_node")
        return ""
    return names[ident]


def _edge_name(ident: str | None) -> str | None:
    """Return the name that an edge of this id gets."""
    if ident is None or not is_printable_name(ident) or _MADE_BY_EDITOR.fullmatch(ident):
        return None
    return ident


def to_cloud(document: TopologyDocument) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Write a document in the older form.

    Returns:
        The older document, which ``from_cloud`` reads back to the same topology but for what was lost; and the places
        in ``document`` of what was lost, e.g. ``networks[0]`` or ``vms[2].user_data``: VMs, then networks, then edges.
    """
    lost: list[str] = []
    idents: dict[str, str] = {}
    taken: set[str] = set()
    nodes: list[dict[str, Any]] = []
    resources: dict[str, dict[str, Any]] = {}
    for index, vm in enumerate(document.vms):
        ident = str(index + 1)
        folded = vm.name.casefold()
        if not is_label(vm.name) or folded in taken:
            lost.append(place("vms", index, "name"))
        taken.add(folded)
        lost.extend(place("vms", index, field) for field in _BEYOND_CLOUD if getattr(vm, field))
        idents.setdefault(vm.name, ident)
        nodes.append({"id": ident, "label": vm.label or vm.name, "x": vm.x, "y": vm.y})
        resources[ident] = _write_resources(vm)
    lost.extend(place("networks", index) for index in range(len(document.networks)))
    edges = _write_edges(document.edges, idents, lost)
    public = [str(index + 1) for index, vm in enumerate(document.vms) if vm.public_access]
    written = {
        "topologia": {"nodes": nodes, "edges": edges},
        "recursos": resources,
        "subred": {"public_access": public},
    }
    return written, tuple(lost)


_BEYOND_CLOUD: Final = ("forward", "user_data", "ssh_keys", "gateway", "routes", "dns")


def _write_resources(vm: TemplateVm) -> dict[str, Any]:
    return {
        "name": vm.name,
        "vcpu": vm.vcpus,
        "ram_gb": None if vm.memory_mib is None else vm.memory_mib / _MIB_PER_GIB,
        "disk_gb": vm.disk_gib,
        "os": vm.image,
        "flavour": vm.flavour,
    }


def _write_edges(edges: Sequence[TemplateEdge], idents: Mapping[str, str], lost: list[str]) -> list[dict[str, Any]]:
    written: list[dict[str, Any]] = []
    for index, edge in enumerate(edges):
        a, b = edge.a, edge.b
        if not (isinstance(a, VmEnd) and isinstance(b, VmEnd) and a.vm in idents and b.vm in idents):
            lost.append(place("edges", index))
            continue
        name = _edge_name(edge.name)
        if name != edge.name:
            lost.append(place("edges", index, "name"))
        lost.extend(place("edges", index, side, "address") for side, end in (("a", a), ("b", b)) if end.address)
        if edge.mtu not in {None, DEFAULT_MTU}:
            lost.append(place("edges", index, "mtu"))
        written.append({"id": name or str(index + 1), "from": idents[a.vm], "to": idents[b.vm]})
    return written
