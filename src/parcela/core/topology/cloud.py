"""The older ``cloud`` template document, read; ``cloud_writer`` writes it.

Its form, as the canvas sends it and as it was stored::

    {"topologia": {"nodes": [{"id", "label", "x", "y"}], "edges": [{"id", "from", "to"}]},
     "recursos": {"<node id>": {"name", "flavour", "cpu", "ram", "disk", "image", "internet"}}}
    {..., "recursos": {"<node id>": {"name", "flavour", "vcpu", "ram_gb", "disk_gb", "os"}},
     "subred": {"public_access": ["<node id>"]}}

Decisions:

- Both spellings are read everywhere, also a bare ``{"nodes", "edges", "recursos"}`` and ``position: {"x", "y"}``.
  Unknown fields are ignored: the drawing library stores its own.
- Ids are integers or texts; 7 and "7" are the same. They are kept as they were typed, the edges' too.
- A node without an entry in ``recursos`` is skipped with its edges; an entry without a node is an error.
- ``flavour`` decides the size; numbers beside it are copies. Without one they may be written as text, ``ram`` is in GiB
  and may have a fraction, rounded to whole MiB; a fraction of ``disk`` is rounded up.
- ``recursos.name``, else the text at the node, is the label of the VM: any line without ``<``, ``>`` and control
  characters; names repeat. The host name is made of it (``Servidor Ñandú`` becomes ``servidor-nandu``; nothing left
  becomes ``vm-<position>``) and unique. ``hostname``, which we write where it is another one, is taken as it is.
- The text at the node may have several lines; it is kept where it differs from the label.
- ``internet`` of a VM decides whether it has public access; where it says nothing, ``subred.public_access`` does.
- Where a stored document is replaced, VMs of the same id keep what the older form does not say: the host name while the
  typed name is the same, the image while the word for it is.
- An edge keeps its id as its name too, unless that is a number, a UUID or ``edge-<from>-<to>`` (all made by an editor),
  or used before.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from parcela.core.errors import ErrorKind, ParcelaError, Problem
from parcela.core.labels import one_line
from parcela.core.topology.cloud_names import edge_name, host_names, shown_name
from parcela.core.topology.cloud_reader import Place, Reader, given
from parcela.core.topology.document import (
    MAX_COORDINATE,
    MAX_DRAWN_CHARS,
    MAX_EDGES,
    MAX_INT,
    MAX_LABEL_CHARS,
    MAX_NAME_CHARS,
    MAX_VMS,
    DrawnNode,
    TemplateEdge,
    TemplateVm,
    TopologyDocument,
    VmEnd,
    template_invalid,
)
from parcela.core.topology.names import is_label

_MIB_PER_GIB: Final = 1024
ImageFinder = Callable[[str], str | None]
"""From a word for an image to its name; None when nothing fits."""


@dataclass(frozen=True, slots=True)
class _Node:
    ident: str
    typed_id: int | str
    text: str  # at the node, perhaps of several lines
    name: str  # of recursos, perhaps ""
    x: float
    y: float
    resources: Mapping[Any, Any]

    @property
    def label(self) -> str:
        """What people call the VM."""
        return self.name or one_line(self.text)[:MAX_LABEL_CHARS].strip()


@dataclass(slots=True)
class _Drawing:
    """What is known while a document is read. ``skipped``: ids of nodes that stand for no VM."""

    reader: Reader
    find_image: ImageFinder
    before: Mapping[str, TemplateVm]
    nodes: dict[str, _Node]
    skipped: set[str]
    names: Mapping[str, str]
    public: frozenset[str]


def from_cloud(
    raw: object, find_image: ImageFinder = lambda _: None, before: TopologyDocument | None = None
) -> TopologyDocument:
    """Read an older document.

    Args:
        raw: decoded JSON; anything.
        find_image: from the word for an image to its name. A word for which it finds nothing is taken for a name, and
            ``validate`` says when there is none.
        before: the document that this one replaces.

    Raises:
        ParcelaError: TOO_LARGE ``template_too_large`` or INVALID ``template_invalid``, with all problems and their
            places in the older document.
    """
    reader = Reader()
    root = reader.mapping(raw, ())
    if reader.problems:
        raise template_invalid(reader.problems)
    is_bare = "topologia" not in root and "nodes" in root
    topology = root if is_bare else reader.mapping(root.get("topologia"), ("topologia",))
    resources = {} if is_bare and not root.get("recursos") else reader.mapping(root.get("recursos"), ("recursos",))
    subnet = {} if root.get("subred") is None else reader.mapping(root["subred"], ("subred",))
    _refuse_oversized(topology, resources, subnet)
    known = {str(vm.node.id): vm for vm in (before.vms if before else ()) if vm.node is not None}
    drawing = _Drawing(reader, find_image, known, {}, set(), {}, frozenset())
    _read_nodes(drawing, topology, resources)
    drawing.public = _read_public(drawing, subnet)
    drawing.names = _host_names(drawing)
    vms = tuple(_read_vm(drawing, node) for node in drawing.nodes.values())
    edges = _read_edges(drawing, topology)
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


def _read_nodes(drawing: _Drawing, topology: Mapping[Any, Any], resources: Mapping[Any, Any]) -> None:
    reader, entries = drawing.reader, _entries(drawing.reader, resources)
    seen: set[str] = set()
    for index, item in enumerate(reader.items(topology.get("nodes"), ("topologia", "nodes"))):
        where: Place = ("topologia", "nodes", index)
        if not isinstance(item, Mapping):
            reader.mapping(item, where)
            continue
        ident = reader.ident(item.get("id"), (*where, "id"))
        if ident is not None and ident in seen:
            reader.note((*where, "id"), "Another node has the same id.", "duplicate_id")
            ident = None
        node = _read_node(reader, item, where, ident, entries)
        if node is not None:
            drawing.nodes[node.ident] = node
        elif ident is not None:
            drawing.skipped.add(ident)
        seen |= set() if ident is None else {ident}
    for ident in (one for one in entries if one not in seen):
        reader.note(("recursos", ident), "There is no node of this id.", "unknown_node")


def _entries(reader: Reader, resources: Mapping[Any, Any]) -> dict[str, object]:
    """What ``recursos`` says, by the id of the node; an entry that is null counts as none."""
    found = ((reader.ident(key, ("recursos",)), value) for key, value in resources.items())
    return {ident: value for ident, value in found if ident is not None and value is not None}


def _read_node(
    reader: Reader, item: Mapping[Any, Any], where: Place, ident: str | None, entries: Mapping[str, object]
) -> _Node | None:
    """The node of an entry; everything that is wrong with it is noted also where there is none."""
    text = reader.lines(item.get("label"), (*where, "label"), MAX_DRAWN_CHARS)
    position = item.get("position")
    spot = position if isinstance(position, Mapping) else {}
    x, y = (reader.number(item.get(axis, spot.get(axis)), (*where, axis), MAX_COORDINATE) or 0.0 for axis in ("x", "y"))
    if ident is None or ident not in entries:
        return None
    entry = entries[ident]
    if not isinstance(entry, Mapping):
        reader.mapping(entry, ("recursos", ident))
        return None
    name = reader.words(entry.get("name"), ("recursos", ident, "name"))
    typed = item["id"]
    return _Node(ident, typed if isinstance(typed, int) else ident, text, name, x, y, entry)


def _read_public(drawing: _Drawing, subnet: Mapping[Any, Any]) -> frozenset[str]:
    where: Place = ("subred", "public_access")
    reader = drawing.reader
    found: set[str] = set()
    for index, item in enumerate(reader.items(subnet.get("public_access"), where)):
        ident = reader.ident(item, (*where, index))
        if ident is not None and ident not in drawing.nodes and ident not in drawing.skipped:
            reader.note((*where, index), "There is no node of this id.", "unknown_node")
        elif ident is not None:
            found.add(ident)
    return frozenset(found)


def _host_names(drawing: _Drawing) -> dict[str, str]:
    fixed = {}
    for ident, node in drawing.nodes.items():
        where: Place = ("recursos", ident, "hostname")
        said, old = (
            drawing.reader.text(node.resources.get("hostname"), where, MAX_NAME_CHARS),
            drawing.before.get(ident),
        )
        if said and not is_label(said):
            what = "A host name has 1 to 63 letters a-z, digits and inner hyphens (RFC 1123)."
            drawing.reader.note(where, what, "invalid_vm_name")
        elif said:
            fixed[ident] = said
        elif old is not None and shown_name(old) == node.label:
            fixed[ident] = old.name
    return host_names({ident: node.label for ident, node in drawing.nodes.items()}, fixed)


def _read_vm(drawing: _Drawing, node: _Node) -> TemplateVm:
    reader, entry, where = drawing.reader, node.resources, ("recursos", node.ident)
    name, label = drawing.names[node.ident], node.label
    flavour = reader.text(entry.get("flavour"), (*where, "flavour"), MAX_NAME_CHARS) or None
    key, value = given(entry, "vcpu", "cpu")
    vcpus = reader.whole(value, (*where, key))
    key, value = given(entry, "ram_gb", "ram")
    memory_gib = reader.number(value, (*where, key), MAX_INT / _MIB_PER_GIB)
    key, value = given(entry, "disk_gb", "disk")
    disk_gib = reader.number(value, (*where, key), MAX_INT)
    internet = reader.flag(entry.get("internet"), (*where, "internet"))
    word, image = _read_image(drawing, node)
    shown = label or name
    drawn = DrawnNode(
        id=node.typed_id,
        label=node.text if node.text not in {"", shown} else None,
        label_of=shown if node.text not in {"", shown} else None,
        os=word,
        os_of=image if word else None,
    )
    return TemplateVm(
        name=name,
        label=label if label and label != name else None,
        image=image,
        flavour=flavour,
        vcpus=None if flavour else vcpus,
        memory_mib=None if flavour or memory_gib is None else round(memory_gib * _MIB_PER_GIB),
        disk_gib=None if flavour or disk_gib is None else math.ceil(disk_gib),
        public_access=node.ident in drawing.public if internet is None else internet,
        x=node.x,
        y=node.y,
        node=drawn,
    )


def _read_image(drawing: _Drawing, node: _Node) -> tuple[str | None, str]:
    """The word for the image where it is not its name, and the name."""
    key, value = given(node.resources, "os", "image")
    where: Place = ("recursos", node.ident, key)
    word = drawing.reader.text(value, where, MAX_NAME_CHARS).strip()
    if value is None:
        drawing.reader.note(where, "Name an image, or the version of its system.", "missing")
    old = drawing.before.get(node.ident)
    if old is not None and old.node is not None and old.node.os_of == old.image and old.node.os == word.lower():
        found: str | None = drawing.find_image(old.image)
        if found == old.image:
            return old.node.os, found
    found = drawing.find_image(word)
    if found is None or found.casefold() == word.casefold():
        return None, found or word
    return word.lower(), found


def _read_edges(drawing: _Drawing, topology: Mapping[Any, Any]) -> tuple[TemplateEdge, ...]:
    reader = drawing.reader
    edges: list[TemplateEdge] = []
    idents: set[str] = set()
    names: set[str] = set()
    for index, item in enumerate(reader.items(topology.get("edges"), ("topologia", "edges"))):
        where: Place = ("topologia", "edges", index)
        if not isinstance(item, Mapping):
            reader.mapping(item, where)
            continue
        a, b = (_read_end(drawing, item, key, where) for key in ("from", "to"))
        ident = None if item.get("id") in (None, "") else reader.ident(item["id"], (*where, "id"))
        if a is None or b is None:
            continue
        typed = None if ident is None or ident in idents else item["id"]
        idents |= {ident} if ident else set()
        name = edge_name(typed, item["from"], item["to"], names)
        names |= {name.casefold()} if name else set()
        edges.append(TemplateEdge(name=name, a=VmEnd(vm=a), b=VmEnd(vm=b), id=typed))
    return tuple(edges)


def _read_end(drawing: _Drawing, edge: Mapping[Any, Any], key: str, where: Place) -> str | None:
    """Host name of an end; None where the edge is to be skipped, or was noted."""
    ident = drawing.reader.ident(edge.get(key), (*where, key))
    if ident is None or ident in drawing.skipped:
        return None
    if ident not in drawing.names:
        drawing.reader.note((*where, key), "There is no node of this id.", "unknown_node")
        return None
    return drawing.names[ident]
