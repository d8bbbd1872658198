import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.core.topology.drawings import CATALOGUE, documents

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.core.labels import one_line
from parcela.core.topology.catalogue import FlavourInfo
from parcela.core.topology.cloud import from_cloud
from parcela.core.topology.cloud_writer import OlderPlaces, to_cloud
from parcela.core.topology.document import DrawnNode, TemplateVm, TopologyDocument, dump_document, parse_document
from parcela.core.topology.sample import sample_topology
from parcela.core.topology.validate import validate

OLD = {
    "topologia": {
        "nodes": [
            {"id": 1, "label": "Servidor Ñandú", "x": 10, "y": -20.5, "shape": "box"},
            {"id": "n2", "label": "pc"},
        ],
        "edges": [{"id": 1, "from": "1", "to": "n2"}, {"id": "uplink", "from": "n2", "to": 1}],
    },
    "recursos": {
        "1": {"name": "", "vcpu": "2", "ram_gb": 0.5, "disk_gb": 1.2, "os": "22.04", "flavour": None},
        "n2": {"name": "pc-1", "vcpu": None, "ram_gb": "", "os": "tiny", "flavour": "tiny"},
    },
    "subred": {"public_access": [1]},
}

FLAVOURS = {"tiny": FlavourInfo(7, "tiny", 1, 128, 1)}


def old_vms(*entries: dict[str, Any]) -> dict[str, Any]:
    """Write an older document of VMs alone; ``label`` goes to the node, the rest to ``recursos``."""
    nodes = [{"id": index, "label": entry.get("label")} for index, entry in enumerate(entries)]
    resources = {str(index): {"os": "tiny", "flavour": "tiny"} | entry for index, entry in enumerate(entries)}
    return {"topologia": {"nodes": nodes, "edges": []}, "recursos": resources}


def names(*entries: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(vm.name, vm.label) for vm in from_cloud(old_vms(*entries)).vms]


def problems(raw: object) -> dict[str, str]:
    with pytest.raises(ParcelaError) as caught:
        from_cloud(raw)
    assert (caught.value.kind, caught.value.code) == (ErrorKind.INVALID, "template_invalid")
    return {problem.where: problem.code for problem in caught.value.problems}


def test_reads_an_older_document() -> None:
    document = from_cloud(OLD, {"22.04": "ubuntu"}.get)
    first, second = document.vms
    assert first == TemplateVm(
        name="servidor-nandu",
        label="Servidor Ñandú",
        image="ubuntu",
        vcpus=2,
        memory_mib=512,
        disk_gib=2,
        public_access=True,
        x=10,
        y=-20.5,
        node=DrawnNode(id=1, os="22.04", os_of="ubuntu"),
    )
    drawn = DrawnNode(id="n2", label="pc", label_of="pc-1")
    assert second == TemplateVm(name="pc-1", image="tiny", flavour="tiny", node=drawn)
    edges = [edge.model_dump(exclude_none=True) for edge in document.edges]
    assert edges == [
        {"a": {"vm": "servidor-nandu"}, "b": {"vm": "pc-1"}, "id": 1},
        {"name": "uplink", "a": {"vm": "pc-1"}, "b": {"vm": "servidor-nandu"}, "id": "uplink"},
    ]


def test_an_unknown_system_is_left_to_validate() -> None:
    document = from_cloud(old_vms({"name": "a", "os": "BeOS"}), {"22.04": "ubuntu"}.get)
    assert document.vms[0].image == "BeOS"
    assert [problem.code for problem in validate(document, CATALOGUE)] == ["unknown_image"]


def test_names_become_host_names_and_labels_stay() -> None:
    assert names(
        {"name": "Web 2"}, {"name": "web-2"}, {"name": "web-2"}, {"label": "服务器"}, {"name": "a", "label": "a"}
    ) == [
        ("web-2-2", "Web 2"),
        ("web-2", None),
        ("web-2-3", "web-2"),
        ("vm-4", "服务器"),
        ("a", None),
    ]


def test_a_long_name_is_cut() -> None:
    assert names({"name": "ñ" * 100}) == [("n" * 63, "ñ" * 100)]
    assert problems(old_vms({"name": "ñ" * 101})) == {"recursos.0.name": "bad_label"}


def test_ids_made_by_an_editor_do_not_become_names() -> None:
    ids = [4, "4", "0b5c1c1e-8a2e-4a51-9b52-3b6a2d6a7c11", None, " x", "link", "LINK"]
    raw = old_vms({"name": "a"}, {"name": "b"})
    raw["topologia"]["edges"] = [{"id": ident, "from": 0, "to": 1} for ident in ids]
    assert [edge.name for edge in from_cloud(raw).edges] == [None] * 5 + ["link", None]


def test_an_empty_older_document() -> None:
    raw: dict[str, Any] = {"topologia": {"nodes": [], "edges": []}, "recursos": {}, "subred": None}
    assert from_cloud(raw) == TopologyDocument()


def test_all_problems_come_at_once() -> None:
    raw = {
        "topologia": {
            "nodes": [
                {"id": 1, "label": 5, "x": "left"},
                {"id": "1"},
                {"id": 2, "y": float("inf")},
                {"id": None},
                "node",
                {},
                {"id": 3, "label": "x" * 256},
                {"id": 4},
            ],
            "edges": [{"from": 1, "to": 9}, {"id": [], "to": 1}, 7, {"from": 1, "to": 2}],
        },
        "recursos": {
            "1": {"name": "a\0", "vcpu": 1.5, "ram_gb": [], "disk_gb": "big", "os": 7, "flavour": {}},
            "3": {},
            "4": "small",
            "8": {"os": "tiny"},
        },
        "subred": {"public_access": [1, 5, True]},
    }
    assert problems(raw) == {
        "topologia.nodes[0].label": "wrong_type",
        "topologia.nodes[0].x": "wrong_type",
        "topologia.nodes[1].id": "duplicate_id",
        "topologia.nodes[2].y": "out_of_range",
        "topologia.nodes[3].id": "missing",
        "topologia.nodes[4]": "wrong_type",
        "topologia.nodes[5].id": "missing",
        "topologia.nodes[6].label": "too_long",
        "topologia.edges[0].to": "unknown_node",
        "topologia.edges[1].id": "wrong_type",
        "topologia.edges[1].from": "missing",
        "topologia.edges[2]": "wrong_type",
        "recursos.1.name": "invalid",
        "recursos.1.vcpu": "wrong_type",
        "recursos.1.ram_gb": "wrong_type",
        "recursos.1.disk_gb": "wrong_type",
        "recursos.1.os": "wrong_type",
        "recursos.1.flavour": "wrong_type",
        "recursos.3.os": "missing",
        "recursos.4": "wrong_type",
        "recursos.8": "unknown_node",
        "subred.public_access[1]": "unknown_node",
        "subred.public_access[2]": "wrong_type",
    }


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (None, {"document": "missing"}),
        ([], {"document": "wrong_type"}),
        ({}, {"topologia": "missing", "recursos": "missing"}),
        (
            {"topologia": [], "recursos": 1, "subred": "x"},
            dict.fromkeys(["topologia", "recursos", "subred"], "wrong_type"),
        ),
        (
            {"topologia": {"nodes": 1, "edges": "x"}, "recursos": {}, "subred": {"public_access": {}}},
            dict.fromkeys(["topologia.nodes", "topologia.edges", "subred.public_access"], "wrong_type"),
        ),
    ],
)
def test_wrong_shapes(raw: object, expected: dict[str, str]) -> None:
    assert problems(raw) == expected


def test_limits() -> None:
    raw = {
        "topologia": {"nodes": [{}] * 10_000, "edges": [{}] * 1001},
        "recursos": {str(key): {} for key in range(201)},
    }
    with pytest.raises(ParcelaError) as caught:
        from_cloud(raw)
    assert (caught.value.kind, caught.value.code) == (ErrorKind.TOO_LARGE, "template_too_large")
    assert [problem.where for problem in caught.value.problems] == ["topologia.nodes", "topologia.edges", "recursos"]


def test_writes_an_older_document() -> None:
    written, lost = to_cloud(from_cloud(OLD, {"22.04": "ubuntu"}.get), FLAVOURS)
    assert lost == ()
    assert written == {
        "topologia": {
            "nodes": [
                {"id": 1, "label": "Servidor Ñandú", "x": 10.0, "y": -20.5},
                {"id": "n2", "label": "pc", "x": 0.0, "y": 0.0},
            ],
            "edges": [{"id": 1, "from": 1, "to": "n2"}, {"id": "uplink", "from": "n2", "to": 1}],
        },
        "recursos": {
            "1": {"name": "Servidor Ñandú", "vcpu": 2, "ram_gb": 0.5, "disk_gb": 2, "os": "22.04", "flavour": None},
            "n2": {"name": "pc-1", "vcpu": 1, "ram_gb": 0.125, "disk_gb": 1, "os": "tiny", "flavour": "tiny"},
        },
        "subred": {"public_access": [1]},
    }


def test_lists_what_the_older_form_cannot_hold() -> None:
    written, lost = to_cloud(sample_topology())
    assert lost == (
        "vms[0].gateway",
        "vms[1].forward",
        "vms[2].routes",
        *(f"edges[{index}].{side}.address" for index in range(2) for side in "ab"),
    )
    again = from_cloud(written)
    assert [vm.name for vm in again.vms] == ["client", "router", "server", "outside"]
    assert [edge.name for edge in again.edges] == ["client-router", "router-server"]


def test_networks_are_lost_with_their_edges() -> None:
    document = parse_document(
        {
            "vms": [
                {"name": "a", "image": "tiny", "user_data": "#!", "ssh_keys": ["k"], "dns": ["x"]},
                {"name": "A", "image": "tiny"},
                {"name": "not a host", "image": "tiny"},
            ],
            "networks": [{"name": "lan"}],
            "edges": [
                {"a": {"vm": "a"}, "b": {"network": "lan"}},
                {"a": {"vm": "a"}, "b": {"vm": "gone"}},
                {"a": {"vm": "a"}, "b": {"vm": "A"}, "mtu": 9000, "name": "17"},
                {"a": {"vm": "a"}, "b": {"vm": "A"}, "mtu": 1500},
            ],
        }
    )
    written, lost = to_cloud(document)
    assert lost == (
        "vms[0].user_data",
        "vms[0].ssh_keys",
        "vms[0].dns",
        "vms[1].name",
        "vms[2].name",
        "networks[0]",
        "edges[0]",
        "edges[1]",
        "edges[2].name",
        "edges[2].mtu",
    )
    assert [edge["id"] for edge in written["topologia"]["edges"]] == ["edge-vm-1-vm-2", "edge-vm-1-vm-2-2"]
    assert [vm.name for vm in from_cloud(written).vms] == ["a", "a-2", "not-a-host"]


def undrawn(document: TopologyDocument) -> TopologyDocument:
    """A document without what an older drawing says of it and flavours that are overridden, with labels as VMs have."""
    raw = dump_document(document)
    for vm in raw["vms"]:
        vm.pop("node", None)
        label = one_line(vm["label"] or "")
        vm["label"] = label if label not in {"", vm["name"]} else None
        if any(vm[field] is not None for field in ("vcpus", "memory_mib", "disk_gib")):
            flavour = FLAVOURS.get(vm.pop("flavour") or "")
            for field in ("vcpus", "memory_mib", "disk_gib"):
                vm[field] = getattr(flavour, field, None) if vm[field] is None else vm[field]
    for edge in raw["edges"]:
        edge.pop("id", None)
    return parse_document(raw)


def overridden(document: TopologyDocument) -> set[str]:
    """Places of flavours that say only a part of the size."""
    return {
        f"vms[{index}].flavour"
        for index, vm in enumerate(document.vms)
        if vm.flavour and (vm.vcpus or vm.memory_mib or vm.disk_gib)
    }


@settings(deadline=None)
@given(documents(networks=False))
def test_what_the_format_holds_comes_back(document: TopologyDocument) -> None:
    written, lost = to_cloud(document, FLAVOURS)
    assert set(lost) == overridden(document)
    again = from_cloud(json.loads(json.dumps(written)))
    assert undrawn(again) == undrawn(document)
    assert to_cloud(again, FLAVOURS) == (written, ())


@settings(deadline=None)
@given(documents(networks=True))
def test_all_that_is_missing_after_a_round_trip_was_listed(document: TopologyDocument) -> None:
    written, lost = to_cloud(document, FLAVOURS)
    gone = {place for place in lost if place.startswith("edges")}
    again, before = undrawn(from_cloud(written)), undrawn(document)
    assert again.vms == before.vms
    assert again.edges == tuple(edge for index, edge in enumerate(before.edges) if f"edges[{index}]" not in gone)


CANVAS: dict[str, Any] = {
    "topologia": {
        "nodes": [
            {
                "id": f"vm-{number}",
                "label": f"VM-001\n({number})",
                "title": "small",
                "shape": "image",
                "image": "/static/images/pc.png",
                "x": -10.5 * number,
                "y": number,
                "fixed": False,
                "physics": False,
            }
            for number in (1, 3)
        ],
        "edges": [{"id": "edge-vm-1-vm-3", "from": "vm-1", "to": "vm-3", "color": {"color": "#000"}}],
    },
    "recursos": {
        "vm-1": {
            "name": "VM-001",
            "flavour": "tiny",
            "cpu": 9,
            "ram": 9,
            "disk": 9,
            "image": "Ubuntu",
            "internet": True,
        },
        "vm-3": {
            "name": "VM-001",
            "flavour": "tiny",
            "cpu": 9,
            "ram": 9,
            "disk": 9,
            "image": "TINY",
            "internet": False,
        },
    },
}
IMAGES = {
    "Ubuntu": "ubuntu-24.04",
    "ubuntu": "ubuntu-24.04",
    "TINY": "tiny",
    "tiny": "tiny",
    "ubuntu-22.04": "ubuntu-22.04",
}


def test_what_the_canvas_sends_comes_back_as_the_editor_stored_it() -> None:
    document = from_cloud(CANVAS, IMAGES.get)
    assert [(vm.name, vm.label, vm.image, vm.public_access) for vm in document.vms] == [
        ("VM-001", None, "ubuntu-24.04", True),
        ("vm-001-2", "VM-001", "tiny", False),
    ]
    assert [edge.name for edge in document.edges] == [None]
    assert to_cloud(document, FLAVOURS) == (
        {
            "topologia": {
                "nodes": [
                    {"id": "vm-1", "label": "VM-001\n(1)", "x": -10.5, "y": 1.0},
                    {"id": "vm-3", "label": "VM-001\n(3)", "x": -31.5, "y": 3.0},
                ],
                "edges": [{"id": "edge-vm-1-vm-3", "from": "vm-1", "to": "vm-3"}],
            },
            "recursos": {
                "vm-1": {"name": "VM-001", "vcpu": 1, "ram_gb": 0.125, "disk_gb": 1, "os": "ubuntu", "flavour": "tiny"},
                "vm-3": {"name": "VM-001", "vcpu": 1, "ram_gb": 0.125, "disk_gb": 1, "os": "tiny", "flavour": "tiny"},
            },
            "subred": {"public_access": ["vm-1"]},
        },
        (),
    )


def test_new_things_get_ids_where_the_editor_goes_on_counting() -> None:
    raw = dump_document(from_cloud(CANVAS, IMAGES.get))
    raw["vms"].append({"name": "native", "image": "tiny", "flavour": "tiny"})
    raw["edges"].append({"a": {"vm": "native"}, "b": {"vm": "VM-001"}})
    written, _ = to_cloud(parse_document(raw), FLAVOURS)
    assert [node["id"] for node in written["topologia"]["nodes"]] == ["vm-1", "vm-3", "vm-4"]
    assert [edge["id"] for edge in written["topologia"]["edges"]] == ["edge-vm-1-vm-3", "edge-vm-4-vm-1"]


def test_ids_that_repeat_are_given_out_once() -> None:
    raw = dump_document(from_cloud(CANVAS, IMAGES.get))
    raw["vms"][1]["node"] = raw["vms"][0]["node"]
    raw["edges"] *= 3
    written, lost = to_cloud(parse_document(raw), FLAVOURS)
    assert [node["id"] for node in written["topologia"]["nodes"]] == ["vm-1", "vm-2"]
    ids = [edge["id"] for edge in written["topologia"]["edges"]]
    assert len(set(ids)) == 3
    assert lost == ()
    assert [edge.name for edge in from_cloud(written).edges] == [None] * 3


def test_text_at_a_node_goes_with_the_name_it_was_typed_for() -> None:
    raw = dump_document(from_cloud(CANVAS, IMAGES.get))
    raw["vms"][0] |= {"label": "Web", "image": "ubuntu-22.04"}
    written, _ = to_cloud(parse_document(raw), FLAVOURS)
    assert written["topologia"]["nodes"][0]["label"] == "Web"
    assert written["recursos"]["vm-1"] == written["recursos"]["vm-1"] | {
        "name": "Web",
        "os": "ubuntu-22.04",
        "hostname": "VM-001",
    }
    again = from_cloud(written, IMAGES.get)
    assert (again.vms[0].name, again.vms[0].label, again.vms[0].image) == ("VM-001", "Web", "ubuntu-22.04")


def test_a_document_that_replaces_one_keeps_what_the_form_does_not_say() -> None:
    raw = dump_document(from_cloud(CANVAS, IMAGES.get))
    raw["vms"][0] |= {"name": "front", "label": "VM-001"}
    raw["edges"][0]["a"]["vm"] = "front"
    before = parse_document(raw)
    newer = IMAGES | {"Ubuntu": "ubuntu-26.04", "ubuntu-24.04": "ubuntu-24.04"}
    same = from_cloud(CANVAS, newer.get, before)
    assert [(vm.name, vm.image) for vm in same.vms] == [("front", "ubuntu-24.04"), ("vm-001-2", "tiny")]
    changed = json.loads(json.dumps(CANVAS))
    changed["recursos"]["vm-1"] |= {"name": "Back", "image": "tiny"}
    other = from_cloud(changed, newer.get, before).vms[0]
    assert (other.name, other.label, other.image) == ("Back", None, "tiny")


def test_nodes_without_resources_are_skipped_with_their_edges() -> None:
    raw = old_vms({"name": "a"}, {"name": "b"}, {"name": "c"})
    del raw["recursos"]["1"]
    raw["topologia"]["edges"] = [{"from": 0, "to": 1}, {"from": 0, "to": 2}, {"from": 1, "to": 1}]
    raw["subred"] = {"public_access": [0, 1]}
    document = from_cloud(raw)
    assert [(vm.name, vm.public_access) for vm in document.vms] == [("a", True), ("c", False)]
    assert [(edge.a.model_dump()["vm"], edge.b.model_dump()["vm"]) for edge in document.edges] == [("a", "c")]


def test_a_bare_drawing_and_positions_of_other_editors() -> None:
    bare = {
        "nodes": [{"id": "vm-1", "label": "web", "position": {"x": 5, "y": -6}}, {"id": "vm-2", "label": "gone"}],
        "edges": [],
        "recursos": {"vm-1": {"image": "tiny", "flavour": "tiny", "internet": True}},
        "metadata": {"zone": "zone1"},
    }
    (vm,) = from_cloud(bare).vms
    assert (vm.name, vm.x, vm.y, vm.public_access) == ("web", 5, -6, True)
    assert from_cloud({"nodes": [{"id": 1}], "edges": []}) == TopologyDocument()


def test_nodes_that_nobody_placed_are_left_to_the_page() -> None:
    two = from_cloud(old_vms({"name": "a"}, {"name": "b"}))
    assert [set(node) for node in to_cloud(two)[0]["topologia"]["nodes"]] == [{"id", "label"}] * 2


def test_internet_of_a_vm_goes_before_the_list() -> None:
    raw = old_vms({"name": "a", "internet": False}, {"name": "b"}, {"name": "c", "internet": True})
    raw["subred"] = {"public_access": [0, 1]}
    assert [vm.public_access for vm in from_cloud(raw).vms] == [False, True, True]
    raw["recursos"]["0"]["internet"] = "yes"
    assert problems(raw) == {"recursos.0.internet": "wrong_type"}


@pytest.mark.parametrize("text", ["<b>x</b>", "a > b", "bell\x07", "to the \u202eleft", "tab\there"])
def test_text_that_could_be_more_than_words_is_refused_with_its_place(text: str) -> None:
    assert problems(old_vms({"name": text})) == {"recursos.0.name": "bad_label"}
    assert problems(old_vms({"name": "a", "label": f"fine\n{text}"})) == {"topologia.nodes[0].label": "bad_label"}
    assert problems(old_vms({"name": "two\nlines"})) == {"recursos.0.name": "bad_label"}
    raw = old_vms({"name": "a"})
    raw["topologia"]["nodes"][0]["id"] = text
    assert problems(raw)["topologia.nodes[0].id"] == "bad_label"


def test_host_names_are_written_where_they_are_others() -> None:
    raw = {
        "vms": [{"name": name, "label": label, "image": "tiny"} for name, label in (("web", "Web 1"), ("web-1", ""))]
    }
    document = parse_document(raw)
    written, lost = to_cloud(document)
    assert lost == ()
    assert written["recursos"]["vm-1"]["hostname"] == "web"
    assert [(vm.name, vm.label) for vm in from_cloud(written).vms] == [("web", "Web 1"), ("web-1", None)]
    written["recursos"]["vm-1"]["hostname"] = "no host"
    assert problems(written) == {"recursos.vm-1.hostname": "invalid_vm_name"}


def test_places_are_told_in_the_older_document() -> None:
    document = from_cloud(CANVAS)
    found = validate(document, CATALOGUE)
    places = OlderPlaces(document)
    assert [(places(problem.where), problem.code) for problem in found] == [
        ("recursos.vm-1.os", "unknown_image"),
        ("recursos.vm-3.os", "unknown_image"),
    ]
    assert found[0].what == "There is no image 'Ubuntu' that you may use; there are: debian, tiny."
    assert places("edges[0].mtu") == "topologia.edges[edge-vm-1-vm-3]"
    assert (places("vms"), places("body.name")) == ("topologia.nodes", "body.name")


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers()
    | st.floats()
    | st.sampled_from(["1", "2", "a"])
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)
_loose = st.fixed_dictionaries(
    {},
    optional={
        "topologia": st.fixed_dictionaries(
            {},
            optional={
                "nodes": _values
                | st.lists(
                    st.fixed_dictionaries({"id": _values}, optional={"label": _values, "x": _values, "y": _values}),
                    max_size=4,
                ),
                "edges": _values
                | st.lists(
                    st.fixed_dictionaries({"from": _values, "to": _values}, optional={"id": _values}), max_size=4
                ),
            },
        )
        | _values,
        "recursos": st.dictionaries(
            st.sampled_from(["1", "2", "a"]) | st.text(),
            _values
            | st.fixed_dictionaries(
                {},
                optional=dict.fromkeys(["name", "vcpu", "ram_gb", "disk_gb", "os", "flavour"], _values),
            ),
            max_size=4,
        )
        | _values,
        "subred": st.fixed_dictionaries({"public_access": _values}) | _values,
    },
)


@settings(deadline=None)
@given(_loose)
def test_anything_gives_a_document_or_our_error(raw: object) -> None:
    try:
        document = from_cloud(raw)
    except ParcelaError:
        return
    written, lost = to_cloud(document)
    assert lost == ()
    again = from_cloud(written)
    assert [vm.name for vm in again.vms] == [vm.name for vm in document.vms]
    assert again.edges == document.edges
