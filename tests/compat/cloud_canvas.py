"""The canvas of the older editor: what it draws, sends, reads and imports, with the keys of its drawing library."""

import json
import re
from collections.abc import Mapping
from itertools import combinations
from typing import Any

PICTURE = "/static/images/pc.png"


def read(row: Mapping[str, Any], *fields: str) -> tuple[Any, ...]:
    """Fields as a page reads them; a missing one would be shown as ``undefined``."""
    missing = [field for field in fields if field not in row]
    assert not missing, f"the page shows undefined for {', '.join(missing)} of {json.dumps(row)[:300]}"
    return tuple(row[field] for field in fields)


class Canvas:
    """Nodes, edges and what the form says of each VM."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.edges: list[dict[str, Any]] = []
        self.resources: dict[str, dict[str, Any]] = {}

    def add(self, name: str = "VM-001", **form: Any) -> str:
        """A VM; the ids go on counting from the highest. Without more, the form's first values are taken."""
        numbers = [int(found[1]) for node in self.nodes if (found := re.fullmatch(r"vm-(\d+)", node["id"]))]
        ident = f"vm-{max(numbers, default=0) + 1}"
        said = {"flavour": "small", "cpu": 2, "ram": 4, "disk": 6, "image": "Ubuntu", "internet": False} | form
        self.resources[ident] = {"name": name, **said}
        self.nodes.append(
            {
                "id": ident,
                "label": f"{name}\n({said['flavour']})",
                "title": f"{said['cpu']} vCPU, {said['ram']} GB",
                "shape": "image",
                "image": PICTURE,
                "x": -120.5 + 75 * len(self.nodes),
                "y": 40 * (-1) ** len(self.nodes),
                "fixed": {"x": False, "y": False},
                "physics": False,
            }
        )
        return ident

    def join(self, a: str, b: str) -> None:
        """A cable."""
        style = {"color": {"color": "#848484"}, "width": 2, "smooth": False}
        self.edges.append({"id": f"edge-{a}-{b}", "from": a, "to": b, **style})

    def preset(self, shape: str, count: int, **form: Any) -> "Canvas":
        """Star, ring, tree, bus or mesh, as plain nodes and edges."""
        ids = [self.add(f"VM-{number:03d}", **form) for number in range(1, count + 1)]
        pairs = {
            "star": [(0, other) for other in range(1, count)],
            "ring": [(number, (number + 1) % count) for number in range(count)],
            "tree": [((child - 1) // 2, child) for child in range(1, count)],
            "bus": [(number, number + 1) for number in range(count - 1)],
            "mesh": list(combinations(range(count), 2)),
        }
        for a, b in pairs[shape]:
            self.join(ids[a], ids[b])
        return self

    def body(self) -> dict[str, Any]:
        """What saving sends."""
        return {"topologia": {"nodes": self.nodes, "edges": self.edges}, "recursos": self.resources}

    @classmethod
    def load(cls, document: Mapping[str, Any]) -> "Canvas":
        """A stored document, or a bare ``{nodes, edges}``, as the editor reads it: it refuses ids that repeat."""
        canvas = cls()
        topology = document.get("topologia", document)
        resources = document.get("recursos", {})
        public = {str(ident) for ident in (document.get("subred") or {}).get("public_access", [])}
        for node in topology["nodes"]:
            (ident,) = read(node, "id")
            assert ident not in canvas.resources, f"the editor refuses {ident}, which is there twice"
            entry = resources.get(str(ident))
            if entry is None:
                continue
            spot = node.get("position", node)
            cpu, ram = entry.get("vcpu", entry.get("cpu")), entry.get("ram_gb", entry.get("ram"))
            disk, image = entry.get("disk_gb", entry.get("disk")), entry.get("os", entry.get("image"))
            name, flavour = read(entry, "name", "flavour")
            assert None not in (cpu, ram, disk, image), f"the form shows null: {entry}"
            internet = entry.get("internet", str(ident) in public)
            canvas.nodes.append({"id": ident, "label": read(node, "label")[0], "x": spot["x"], "y": spot["y"]})
            canvas.resources[ident] = {
                "name": name,
                "flavour": flavour,
                "cpu": cpu,
                "ram": ram,
                "disk": disk,
                "image": image,
                "internet": internet,
            }
        ids = set()
        for edge in topology["edges"]:
            ident, a, b = read(edge, "id", "from", "to")
            assert ident not in ids, f"the editor refuses the edge {ident}, which is there twice"
            assert {a, b} <= set(canvas.resources), f"the edge {ident} hangs in the air"
            ids.add(ident)
            canvas.edges.append({"id": ident, "from": a, "to": b})
        return canvas

    def stored(self) -> dict[str, Any]:
        """What the editor sends as ``json_template``: the stored form."""
        resources = {
            ident: {
                "name": said["name"],
                "vcpu": said["cpu"],
                "ram_gb": said["ram"],
                "disk_gb": said["disk"],
                "os": str(said["image"]).lower(),
                "flavour": said["flavour"],
            }
            for ident, said in self.resources.items()
        }
        public = [ident for ident, said in self.resources.items() if said["internet"]]
        topology = {"nodes": self.nodes, "edges": self.edges}
        return {"topologia": topology, "recursos": resources, "subred": {"public_access": public}}
