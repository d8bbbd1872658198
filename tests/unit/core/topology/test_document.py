import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.core.topology.document import (
    MAX_PROBLEMS,
    MAX_VMS,
    NetworkEnd,
    TopologyDocument,
    VmEnd,
    dump_document,
    parse_document,
    place,
)
from parcela.core.topology.sample import one_vm_topology, sample_topology


def refused(raw: object) -> ParcelaError:
    with pytest.raises(ParcelaError) as caught:
        parse_document(raw)
    return caught.value


def problems(raw: object) -> dict[str, str]:
    error = refused(raw)
    assert (error.kind, error.code) == (ErrorKind.INVALID, "template_invalid")
    return {problem.where: problem.code for problem in error.problems}


def vm(**changes: Any) -> dict[str, Any]:
    return {"name": "a", "image": "tiny", "flavour": "tiny"} | changes


def test_fills_in_what_is_left_out() -> None:
    document = parse_document({"vms": [vm()], "edges": [{"a": {"vm": "a"}, "b": {"network": "n"}}]})
    assert document.vms[0].vcpus is None
    assert document.vms[0].ssh_keys == ()
    assert document.networks == ()
    assert document.edges[0].a == VmEnd(vm="a")
    assert document.edges[0].b == NetworkEnd(network="n")
    assert document.edges[0].mtu is None


def test_takes_the_whole_documented_form() -> None:
    raw = {
        "vms": [
            {
                "name": "client",
                "label": "Cliente",
                "image": "tiny",
                "flavour": None,
                "vcpus": 1,
                "memory_mib": 128,
                "disk_gib": 1,
                "public_access": False,
                "forward": False,
                "user_data": None,
                "ssh_keys": [],
                "gateway": "10.0.1.1",
                "routes": [{"to": "10.0.2.0/24", "via": "10.0.1.1"}],
                "dns": ["10.0.1.1"],
                "x": 1.5,
                "y": -2.0,
            }
        ],
        "networks": [{"name": "lan1", "mtu": 1400, "x": 0.0, "y": 0.0}],
        "edges": [
            {
                "name": "e1",
                "a": {"vm": "client", "address": "10.0.1.2/24"},
                "b": {"network": "lan1"},
                "mtu": 1400,
            }
        ],
    }
    assert dump_document(parse_document(raw)) == raw


@pytest.mark.parametrize("document", [sample_topology(), one_vm_topology(), TopologyDocument()])
def test_reads_back_what_it_wrote(document: TopologyDocument) -> None:
    assert parse_document(json.loads(json.dumps(dump_document(document)))) == document


def test_says_all_shape_problems_at_once_with_their_places() -> None:
    raw = {
        "vms": [
            vm(vcpus="2", memory_mib=True, disk_gib=2**31, x=float("nan"), colour="red", public_access=1),
            {"image": 7},
            "router",
            vm(
                name="a\0b", user_data="é" * 40_000, ssh_keys=["k" * 9000], routes=[{"to": "10.0.0.0/8"}], dns="8.8.8.8"
            ),
        ],
        "networks": {},
        "edges": [
            {"a": {"vm": "a", "network": "n"}, "b": {}},
            {"a": {"network": "n", "address": "10.0.0.1/8"}, "b": None},
        ],
        "version": 2,
    }
    assert problems(raw) == {
        "vms[0].vcpus": "wrong_type",
        "vms[0].memory_mib": "wrong_type",
        "vms[0].disk_gib": "invalid",
        "vms[0].x": "invalid",
        "vms[0].colour": "unknown_field",
        "vms[0].public_access": "wrong_type",
        "vms[1].name": "missing",
        "vms[1].image": "wrong_type",
        "vms[2]": "wrong_type",
        "vms[3].name": "nul_character",
        "vms[3].user_data": "too_large",
        "vms[3].ssh_keys[0]": "too_long",
        "vms[3].routes[0].via": "missing",
        "vms[3].dns": "wrong_type",
        "networks": "wrong_type",
        "edges[0].a.network": "unknown_field",
        "edges[0].b.vm": "missing",
        "edges[1].a.address": "unknown_field",
        "edges[1].b": "wrong_type",
        "version": "unknown_field",
    }


@pytest.mark.parametrize("raw", [None, 3, "vms", [], [[]], True])
def test_a_document_is_an_object(raw: object) -> None:
    assert problems(raw) == {"document": "wrong_type"}


def test_public_sentences_do_not_speak_of_our_classes() -> None:
    error = refused({"vms": [3, vm(name=b"x")], "networks": 1, "edges": [{"a": 1, "b": {}}]})
    for problem in error.problems:
        assert not {"tuple", "dictionary", "instance", "Template"} & set(problem.what.split()), problem


def test_keys_that_are_no_text_are_refused() -> None:
    assert "wrong_type" in problems({1: 2}).values()


def test_a_lone_surrogate_is_refused() -> None:
    assert problems({"\ud800": 1}) == {"document": "wrong_type"}
    assert problems({"vms": [vm(name="\ud800", user_data="\ud800")]}) == {
        "vms[0].name": "wrong_type",
        "vms[0].user_data": "wrong_type",
    }


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        ({"vms": [vm()] * 201}, ["vms"]),
        ({"networks": [{}] * 201, "edges": [None] * 1001}, ["networks", "edges"]),
        (
            {"vms": [vm(), vm(ssh_keys=[""] * 33, routes=[{}] * 65, dns=[""] * 9)]},
            [
                "vms[1].ssh_keys",
                "vms[1].routes",
                "vms[1].dns",
            ],
        ),
        ({"vms": [vm(user_data="x" * 65_537)]}, ["vms[0].user_data"]),
        ({f"k{index}": 1 for index in range(65)}, ["document"]),
        ({"vms": [dict.fromkeys(map(str, range(65)))]}, ["vms[0]"]),
    ],
)
def test_limits(raw: dict[str, Any], where: list[str]) -> None:
    error = refused(raw)
    assert (error.kind, error.code) == (ErrorKind.TOO_LARGE, "template_too_large")
    assert [problem.where for problem in error.problems] == where


def test_exactly_the_limits_are_allowed() -> None:
    edge = {"a": {"vm": "a"}, "b": {"vm": "b"}}
    raw = {"vms": [vm(user_data="x" * 65_536)] * 200, "networks": [{"name": "n"}] * 200, "edges": [edge] * 1000}
    assert len(parse_document(raw).edges) == 1000


def test_ten_thousand_bad_nodes_are_refused_without_reading_them() -> None:
    class Unread(dict[str, int]):
        def __getitem__(self, key: str) -> int:
            raise AssertionError("it was read")

        def _read(self, *_key: object) -> Any:
            raise AssertionError("it was read")

        __iter__ = __contains__ = __len__ = get = keys = values = items = copy = _read

    node = {str(key): key for key in range(60)}
    raw = {"vms": [node] * MAX_VMS + [Unread(node)] * 9_800}
    assert len(refused(raw).problems) == 1


def test_the_answer_is_bounded() -> None:
    error = refused({"vms": [dict.fromkeys(map(str, range(60)))] * 200})
    assert len(error.problems) == MAX_PROBLEMS + 1
    assert error.problems[-1].code == "more_problems"


def test_place() -> None:
    assert place("vms", 2, "routes", 0, "to") == "vms[2].routes[0].to"
    assert place() == "document"
    assert place("a" * 100) == "a" * 64


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["vms", "networks", "edges", "name", "image", "a", "b", "vm", "network", "x"]) | st.text(),
            inner,
            max_size=6,
        )
    ),
    max_leaves=30,
)


def outcome(raw: object) -> TopologyDocument | ParcelaError:
    try:
        return parse_document(raw)
    except ParcelaError as error:
        return error


@settings(deadline=None)
@given(_json)
def test_any_json_gives_a_document_or_our_error(raw: object) -> None:
    read = outcome(raw)
    if isinstance(read, TopologyDocument):
        assert parse_document(dump_document(read)) == read
        return
    assert read.problems
    for problem in read.problems:
        assert problem.where
        assert problem.what
        problem.where.encode()  # it can be written into an answer
