import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.core.topology.drawings import CATALOGUE, documents

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.core.topology.cloud import from_cloud, to_cloud
from parcela.core.topology.document import TemplateVm, TopologyDocument, parse_document
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
    document = from_cloud(OLD, {"22.04": "ubuntu"})
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
    )
    assert second == TemplateVm(name="pc-1", label="pc", image="tiny", flavour="tiny")
    edges = [edge.model_dump(exclude_none=True) for edge in document.edges]
    assert edges == [
        {"a": {"vm": "servidor-nandu"}, "b": {"vm": "pc-1"}},
        {"name": "uplink", "a": {"vm": "pc-1"}, "b": {"vm": "servidor-nandu"}},
    ]


def test_an_unknown_system_is_left_to_validate() -> None:
    document = from_cloud(old_vms({"name": "a", "os": "BeOS"}), {"22.04": "ubuntu"})
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
    assert names({"name": "ñ" * 255}) == [("n" * 63, "ñ" * 100)]


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
                {"id": 3, "label": "x" * 101},
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
        "recursos.2": "missing",
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
    written, lost = to_cloud(from_cloud(OLD, {"22.04": "ubuntu"}))
    assert lost == ()
    assert written == {
        "topologia": {
            "nodes": [
                {"id": "1", "label": "Servidor Ñandú", "x": 10.0, "y": -20.5},
                {"id": "2", "label": "pc", "x": 0.0, "y": 0.0},
            ],
            "edges": [{"id": "1", "from": "1", "to": "2"}, {"id": "uplink", "from": "2", "to": "1"}],
        },
        "recursos": {
            "1": {"name": "servidor-nandu", "vcpu": 2, "ram_gb": 0.5, "disk_gb": 2, "os": "ubuntu", "flavour": None},
            "2": {"name": "pc-1", "vcpu": None, "ram_gb": None, "disk_gb": None, "os": "tiny", "flavour": "tiny"},
        },
        "subred": {"public_access": ["1"]},
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
    assert [edge["id"] for edge in written["topologia"]["edges"]] == ["3", "4"]
    assert [vm.name for vm in from_cloud(written).vms] == ["a", "a-2", "not-a-host"]


@settings(deadline=None)
@given(documents(networks=False))
def test_what_the_format_holds_comes_back(document: TopologyDocument) -> None:
    written, lost = to_cloud(document)
    assert lost == ()
    assert from_cloud(json.loads(json.dumps(written))) == document


@settings(deadline=None)
@given(documents(networks=True))
def test_all_that_is_missing_after_a_round_trip_was_listed(document: TopologyDocument) -> None:
    written, lost = to_cloud(document)
    gone = {place for place in lost if place.startswith("edges")}
    again = from_cloud(written)
    assert again.vms == document.vms
    assert again.edges == tuple(edge for index, edge in enumerate(document.edges) if f"edges[{index}]" not in gone)


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
