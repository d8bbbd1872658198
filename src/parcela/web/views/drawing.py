"""A topology as boxes and lines with coordinates; the template only writes them down. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from parcela.core.topology.document import NetworkEnd, TemplateEdge, TopologyDocument, VmEnd

CHAR_WIDTH = 8.2  # of the widest common font at 14 units
BOX_HEIGHT, LAN_HEIGHT = 52.0, 34.0
MIN_BOX_WIDTH = 104.0
MARGIN = 28.0
MAX_LABEL_CHARS = 26
LABEL_ROOM = 184.0  # between two boxes that are joined: one address at each end
COLUMN, ROW = 300.0, 140.0
MAX_SPAN = 4000.0  # whoever draws wider than that sees it smaller


@dataclass(frozen=True, slots=True)
class Node:
    """A box.

    Attributes:
        name: of the VM or network.
        label: what is written, cut to what fits.
        kind: ``vm`` or ``network``.
        x: centre.
        y: centre, growing downwards.
        is_public: whether it reaches the outside.
    """

    name: str
    label: str
    kind: str
    x: float
    y: float
    width: float
    height: float
    is_public: bool = False

    @property
    def left(self) -> float:
        """Left border."""
        return self.x - self.width / 2

    @property
    def top(self) -> float:
        """Upper border."""
        return self.y - self.height / 2


@dataclass(frozen=True, slots=True)
class Caption:
    """Text at the end of a line; ``anchor`` is an SVG ``text-anchor``."""

    text: str
    x: float
    y: float
    anchor: str


@dataclass(frozen=True, slots=True)
class Link:
    """A line between two centres, drawn below the boxes."""

    x1: float
    y1: float
    x2: float
    y2: float
    captions: tuple[Caption, ...]


@dataclass(frozen=True, slots=True)
class Drawing:
    """Everything to draw; ``left`` and ``top`` are the corner of the view box."""

    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
    left: float
    top: float
    width: float
    height: float


def draw(document: TopologyDocument) -> Drawing:
    """Lay a document out: where people put things, spread so that boxes and addresses have room."""
    places = _places(document)
    nodes = {("vm", vm.name): _vm_node(vm.name, vm.label, vm.public_access, places) for vm in document.vms}
    for network in document.networks:
        x, y = places["network", network.name]
        width = _width(network.name)
        key = ("network", network.name)
        nodes[key] = Node(network.name, _cut(network.name), "network", x, y, width, LAN_HEIGHT)
    nodes = _spread(nodes, document.edges)
    links = tuple(link for edge in document.edges if (link := _link(edge, nodes)) is not None)
    return _framed(tuple(nodes.values()), links)


Key = tuple[str, str]


def _places(document: TopologyDocument) -> dict[Key, tuple[float, float]]:
    """Where things are; a grid when several were left at one point."""
    drawn: dict[Key, tuple[float, float]] = {("vm", vm.name): (vm.x, vm.y) for vm in document.vms}
    drawn |= {("network", network.name): (network.x, network.y) for network in document.networks}
    if len(set(drawn.values())) == len(drawn):
        span = max((max(axis) - min(axis) for axis in zip(*drawn.values(), strict=True)), default=0.0)
        shrink = min(1.0, MAX_SPAN / span) if span else 1.0
        return {key: (x * shrink, y * shrink) for key, (x, y) in drawn.items()}
    columns = max(1, math.ceil(math.sqrt(len(drawn))))
    return {key: (index % columns * COLUMN, index // columns * ROW) for index, key in enumerate(drawn)}


def _vm_node(name: str, label: str | None, is_public: bool, places: Mapping[Key, tuple[float, float]]) -> Node:
    x, y = places["vm", name]
    shown = _cut(label or name)
    return Node(name, shown, "vm", x, y, _width(shown), BOX_HEIGHT, is_public)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_LABEL_CHARS else text[: MAX_LABEL_CHARS - 1] + "…"


def _width(text: str) -> float:
    return max(MIN_BOX_WIDTH, len(_cut(text)) * CHAR_WIDTH + 28)


def _spread(nodes: Mapping[Key, Node], edges: Sequence[TemplateEdge]) -> dict[Key, Node]:
    """Pull everything apart sideways and downwards until joined boxes have room for addresses and none overlap."""
    across, down = 1.0, 1.0
    for a, b in _pairs(nodes, edges):
        dx, dy = abs(a.x - b.x), abs(a.y - b.y)
        if dx >= dy and dx > 1:
            across = max(across, ((a.width + b.width) / 2 + LABEL_ROOM) / dx)
        elif dy > 1:
            down = max(down, ((a.height + b.height) / 2 + 70) / dy)
    across, down = min(across, 6.0), min(down, 6.0)
    return {
        key: Node(n.name, n.label, n.kind, n.x * across, n.y * down, n.width, n.height, n.is_public)
        for key, n in nodes.items()
    }


def _pairs(nodes: Mapping[Key, Node], edges: Sequence[TemplateEdge]) -> list[tuple[Node, Node]]:
    pairs = [(nodes.get(_key(edge.a)), nodes.get(_key(edge.b))) for edge in edges]
    return [(a, b) for a, b in pairs if a is not None and b is not None]


def _key(end: VmEnd | NetworkEnd) -> Key:
    return ("network", end.network) if isinstance(end, NetworkEnd) else ("vm", end.vm)


def _link(edge: TemplateEdge, nodes: Mapping[Key, Node]) -> Link | None:
    a, b = nodes.get(_key(edge.a)), nodes.get(_key(edge.b))
    if a is None or b is None:
        return None
    captions = [_caption(edge.a, a, b), _caption(edge.b, b, a)]
    return Link(a.x, a.y, b.x, b.y, tuple(caption for caption in captions if caption is not None))


def _caption(end: VmEnd | NetworkEnd, near: Node, far: Node) -> Caption | None:
    """The address of an end, just outside its box and beside the line."""
    if isinstance(end, NetworkEnd) or not end.address:
        return None
    dx, dy = far.x - near.x, far.y - near.y
    length = math.hypot(dx, dy) or 1.0
    dx, dy = dx / length, dy / length
    # How far the line runs inside the box: until it meets the nearer of the two borders.
    inside = min(near.width / 2 / abs(dx) if dx else math.inf, near.height / 2 / abs(dy) if dy else math.inf)
    x, y = near.x + dx * (inside + 8), near.y + dy * (inside + 8)
    if abs(dx) >= abs(dy):
        return Caption(end.address, x, y - 7, "start" if dx > 0 else "end")
    return Caption(end.address, x + 8, y + (12 if dy > 0 else -4), "start")


def _framed(nodes: tuple[Node, ...], links: tuple[Link, ...]) -> Drawing:
    if not nodes:
        return Drawing((), (), 0, 0, 0, 0)
    left, right = min(n.left for n in nodes), max(n.left + n.width for n in nodes)
    top, bottom = min(n.top for n in nodes), max(n.top + n.height for n in nodes)
    for link in links:
        for caption in link.captions:
            span = len(caption.text) * 7.0
            left = min(left, caption.x - (span if caption.anchor == "end" else 0))
            right = max(right, caption.x + (span if caption.anchor == "start" else 0))
            top = min(top, caption.y - 12)
    return Drawing(nodes, links, left - MARGIN, top - MARGIN, right - left + 2 * MARGIN, bottom - top + 2 * MARGIN)
