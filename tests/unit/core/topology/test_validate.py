import sys
from dataclasses import replace
from ipaddress import IPv4Network
from types import FrameType
from typing import Any

import pytest

from parcela.core.topology.catalogue import Catalogue, FlavourInfo, ImageInfo
from parcela.core.topology.document import TopologyDocument, parse_document
from parcela.core.topology.sample import sample_topology
from parcela.core.topology.validate import MAX_NICS, validate

CATALOGUE = Catalogue(
    flavours={
        "tiny": FlavourInfo(1, "tiny", 1, 128, 1),
        "huge": FlavourInfo(2, "huge", 256, 2_000_000, 20_000),
    },
    images={
        "tiny": ImageInfo(1, "tiny", min_memory_mib=128),
        "debian": ImageInfo(2, "debian", min_memory_mib=512, min_disk_gib=2, virtual_size_gib_rounded_up=3),
    },
)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA ana"


def vm(name: str = "a", **changes: Any) -> dict[str, Any]:
    return {"name": name, "image": "tiny", "flavour": "tiny"} | changes


def edge(a: Any, b: Any, **changes: Any) -> dict[str, Any]:
    """Draw an edge; an end is ``vm``, ``(vm, address)`` or ``{"network": name}``."""

    def end(value: Any) -> Any:
        if isinstance(value, tuple):
            return {"vm": value[0], "address": value[1]}
        return {"vm": value} if isinstance(value, str) else value

    return {"a": end(a), "b": end(b)} | changes


def found(*vms: Any, edges: Any = (), networks: Any = ()) -> dict[str, str]:
    document = parse_document({"vms": vms, "edges": edges, "networks": networks})
    problems = validate(document, CATALOGUE)
    assert all(problem.what.endswith(".") for problem in problems)
    places = [problem.where for problem in problems]
    assert len(set(places)) == len(places), "one place is reported twice"
    return {problem.where: problem.code for problem in problems}


LAN = {"network": "lan"}


def test_nothing_is_wrong_with_the_sample() -> None:
    assert validate(sample_topology(), CATALOGUE) == ()


def test_an_empty_template() -> None:
    assert [problem.code for problem in validate(TopologyDocument(), CATALOGUE)] == ["empty_template"]


def test_a_network_without_edges_is_no_problem() -> None:
    assert found(vm(), networks=[{"name": "lan"}]) == {}


@pytest.mark.parametrize(
    ("changes", "problems"),
    [
        ({"image": "Tiny"}, {"image": "unknown_image"}),
        ({"flavour": "gigantic"}, {"flavour": "unknown_flavour"}),
        ({"flavour": "gigantic", "vcpus": 0}, {"flavour": "unknown_flavour", "vcpus": "size_out_of_range"}),
        ({"flavour": None}, dict.fromkeys(["vcpus", "memory_mib", "disk_gib"], "missing_size")),
        ({"flavour": None, "vcpus": 1, "disk_gib": 1}, {"memory_mib": "missing_size"}),
        ({"flavour": None, "vcpus": 1, "memory_mib": 128, "disk_gib": 1}, {}),
        ({"flavour": "huge"}, dict.fromkeys(["vcpus", "memory_mib", "disk_gib"], "size_out_of_range")),
        ({"flavour": "huge", "vcpus": 128, "memory_mib": 1_048_576, "disk_gib": 16_384}, {}),
        ({"vcpus": 129}, {"vcpus": "size_out_of_range"}),
        ({"disk_gib": 16_385}, {"disk_gib": "size_out_of_range"}),
        ({"memory_mib": 127}, {"memory_mib": "memory_below_image"}),
        ({"image": "debian"}, {"memory_mib": "memory_below_image", "disk_gib": "disk_below_image"}),
        ({"image": "debian", "memory_mib": 512, "disk_gib": 2}, {"disk_gib": "disk_below_image"}),
        ({"image": "debian", "memory_mib": 512, "disk_gib": 3}, {}),
        ({"user_data": "echo hello"}, {"user_data": "invalid_user_data"}),
        ({"user_data": "#!/bin/sh\n"}, {}),
        ({"user_data": "#cloud-config\n{}"}, {}),
        ({"user_data": " \n"}, {}),
        (
            {"ssh_keys": [KEY, "ssh-rsa nonsense", "  "]},
            dict.fromkeys(["ssh_keys[1]", "ssh_keys[2]"], "invalid_ssh_key"),
        ),
        ({"dns": ["10.0.0.1", "dns.example"]}, {"dns[1]": "invalid_address"}),
    ],
)
def test_rules_of_a_vm(changes: dict[str, Any], problems: dict[str, str]) -> None:
    assert found(vm(**changes)) == {f"vms[0].{field}": code for field, code in problems.items()}


def test_a_size_below_all_limits_says_so_once_per_rule() -> None:
    document = parse_document({"vms": [vm(memory_mib=1)]})
    assert [problem.code for problem in validate(document, CATALOGUE)] == ["size_out_of_range", "memory_below_image"]


def test_vm_names_are_host_names() -> None:
    names = ["", "a.b", "-a", "x" * 64]
    assert found(*map(vm, names)) == {f"vms[{index}].name": "invalid_vm_name" for index in range(4)}


def test_vms_and_networks_share_one_name_space() -> None:
    networks = [{"name": "WEB"}, {"name": "lan"}, {"name": "Lan"}]
    assert found(vm("web"), vm("Web"), networks=networks) == {
        "vms[1].name": "duplicate_name",
        "networks[0].name": "duplicate_name",
        "networks[2].name": "duplicate_name",
    }


def test_names_of_networks_and_edges() -> None:
    edges = [edge("a", "b", name="web"), edge("a", "b", name="WEB"), edge("a", "b", name=" "), edge("a", "b")]
    assert found(vm("a"), vm("b"), edges=edges, networks=[{"name": "x\ty"}, {"name": "red de datos"}]) == {
        "networks[0].name": "invalid_network_name",
        "edges[1].name": "duplicate_name",
        "edges[2].name": "invalid_edge_name",
    }


def test_edges_to_nowhere() -> None:
    edges = [edge("a", "b"), edge({"network": "x"}, "A"), edge("a", "a"), edge(LAN, LAN), edge(LAN, "a")]
    assert found(vm(), edges=edges, networks=[{"name": "lan"}]) == {
        "edges[0].b.vm": "unknown_vm",
        "edges[1].a.network": "unknown_network",
        "edges[1].b.vm": "unknown_vm",
        "edges[2]": "self_edge",
        "edges[3]": "network_to_network",
    }


def test_mtu() -> None:
    networks = [{"name": "lan", "mtu": 1400}, {"name": "small", "mtu": 575}, {"name": "big", "mtu": 9001}]
    edges = [
        edge("a", "b", mtu=575),
        edge("a", "b", mtu=9000),
        edge("a", LAN, mtu=1400),
        edge(LAN, "a", mtu=1401),
        edge("a", LAN),
    ]
    assert found(vm("a"), vm("b"), edges=edges, networks=networks) == {
        "networks[1].mtu": "mtu_out_of_range",
        "networks[2].mtu": "mtu_out_of_range",
        "edges[0].mtu": "mtu_out_of_range",
        "edges[3].mtu": "mtu_above_network",
    }


@pytest.mark.parametrize(
    ("edges", "public", "allowed"), [(32, False, True), (33, False, False), (31, True, True), (32, True, False)]
)
def test_number_of_nics(edges: int, public: bool, allowed: bool) -> None:
    assert MAX_NICS == 32
    problems = found(vm(public_access=public), edges=[edge("a", LAN)] * edges, networks=[{"name": "lan"}])
    assert problems == ({} if allowed else {"vms[0]": "too_many_nics"})


def test_addresses() -> None:
    edges = [
        edge(("a", "10.0.1.1/24"), ("b", "10.0.1.1/25")),  # the same address on one segment
        edge(("a", "10.0.1.1/24"), ("c", "10.0.1.0/24")),  # a's address again; a network address
        edge(("b", "10.0.1.255/24"), ("c", "here")),
        edge(("a", "10.0.9.1/24"), LAN),
        edge(LAN, ("b", "10.0.9.1/24")),
        edge(LAN, ("b", "10.0.9.2/24")),
        edge(LAN, ("b", "10.0.9.2/24")),  # twice on one network: said once
        edge(("b", "10.0.9.3/24"), ("c", "10.0.9.1/24")),  # another segment: fine
    ]
    assert found(vm("a"), vm("b"), vm("c"), edges=edges, networks=[{"name": "lan"}]) == {
        "edges[0].b.address": "duplicate_address",
        "edges[1].a.address": "address_reused",
        "edges[1].b.address": "invalid_address",
        "edges[2].a.address": "invalid_address",
        "edges[2].b.address": "invalid_address",
        "edges[4].b.address": "duplicate_address",
        "edges[6].b.address": "duplicate_address",
    }


def test_gateways_and_routes() -> None:
    routes = [
        {"to": "10.0.2.0/24", "via": "10.0.1.1"},
        {"to": "10.0.2.0/24", "via": "10.0.1.3"},  # the same destination
        {"to": "10.0.3.1/24", "via": "10.9.9.9"},  # host bits; not connected
        {"to": "0.0.0.0/0", "via": "10.0.1.255"},  # the gateway already is the default; broadcast
        {"to": "10.0.4.0/24", "via": "10.0.1.2"},  # itself
        {"to": "10.0.5.0/24", "via": "gw"},
    ]
    client = vm("a", gateway="10.0.1.1", routes=routes)
    lost = vm("b", gateway="10.0.7.1")
    public = vm("c", gateway="192.168.122.1", public_access=True)
    edges = [edge(("a", "10.0.1.2/24"), "b")]
    assert found(client, lost, public, edges=edges) == {
        "vms[0].routes[1].to": "duplicate_route",
        "vms[0].routes[2].to": "invalid_cidr",
        "vms[0].routes[2].via": "next_hop_unreachable",
        "vms[0].routes[3].to": "duplicate_route",
        "vms[0].routes[3].via": "next_hop_unreachable",
        "vms[0].routes[4].via": "next_hop_is_self",
        "vms[0].routes[5].via": "invalid_address",
        "vms[1].gateway": "next_hop_unreachable",
        "vms[2].gateway": "next_hop_unreachable",
    }


NAT = (IPv4Network("10.231.0.0/22"), IPv4Network("172.29.0.0/22"))


@pytest.mark.parametrize(
    ("address", "public", "refused"),
    [
        ("10.231.0.5/24", False, True),
        ("10.231.3.254/30", True, True),
        ("10.231.3.9/16", False, True),
        ("172.29.1.1/32", False, True),  # a range that this host may not have taken: another one has
        ("10.231.4.1/24", True, False),
        ("10.231.4.1/16", False, False),  # a subnet around the range hurts only beside the range itself
        ("10.231.4.1/16", True, True),
        ("10.0.0.1/8", False, False),
        ("10.0.0.1/8", True, True),
        ("192.168.1.1/24", True, False),
        ("here", True, False),  # no address at all; said by another rule
    ],
)
def test_no_segment_has_addresses_of_the_nat_network(address: str, public: bool, refused: bool) -> None:
    # The VM with public access is another one: its routes lead over the others.
    drawn = {
        "vms": [vm("a"), vm("b"), vm("c", public_access=public)],
        "networks": [{"name": "lan"}],
        "edges": [edge(("a", address), "b"), edge(("b", address), LAN), edge("c", LAN)],
    }
    problems = validate(parse_document(drawn), replace(CATALOGUE, nat_networks=NAT))
    found = {problem.where: problem.what for problem in problems if problem.code == "overlaps_nat_network"}
    assert set(found) == ({"edges[0].a.address", "edges[1].a.address"} if refused else set())
    assert all("public access" in what and what.endswith(".") for what in found.values())
    assert not [p for p in validate(parse_document(drawn), CATALOGUE) if p.code == "overlaps_nat_network"]


@pytest.mark.parametrize(
    ("target", "refused"),
    [("10.231.1.0/24", True), ("10.231.0.0/22", True), ("10.0.0.0/8", False), ("0.0.0.0/0", False)],
)
def test_no_route_leads_into_the_nat_network(target: str, refused: bool) -> None:
    routes = [{"to": target, "via": "10.0.1.2"}]
    drawn = {"vms": [vm("a", routes=routes), vm("b")], "edges": [edge(("a", "10.0.1.1/24"), ("b", "10.0.1.2/24"))]}
    problems = validate(parse_document(drawn), replace(CATALOGUE, nat_networks=NAT))
    assert [(p.where, p.code) for p in problems] == [("vms[0].routes[0].to", "overlaps_nat_network")] * refused


def test_all_problems_come_at_once() -> None:
    problems = found(
        vm("a", image="x"),
        vm("A", user_data="no"),
        edges=[edge("a", "z", mtu=1), edge(("A", "1.2.3"), LAN)],
        networks=[{"name": ""}],
    )
    assert problems == {
        "vms[0].image": "unknown_image",
        "vms[1].name": "duplicate_name",
        "vms[1].user_data": "invalid_user_data",
        "networks[0].name": "invalid_network_name",
        "edges[0].b.vm": "unknown_vm",
        "edges[0].mtu": "mtu_out_of_range",
        "edges[1].b.network": "unknown_network",
        "edges[1].a.address": "invalid_address",
    }


def test_four_times_as_large_a_template_is_not_much_more_than_four_times_the_work() -> None:
    """Up to the largest one. Calls are counted, because time is also that of whatever else the machine does."""

    def work(size: int) -> int:
        vms = [vm(f"v{index}", gateway="10.255.255.1") for index in range(size)]
        ends = [(f"v{index % size}", f"10.{index // 250}.{index % 250}.1/24") for index in range(5 * size)]
        document = parse_document({"vms": vms, "edges": [edge(end, "v0") for end in ends]})
        calls = 0

        def count(_frame: FrameType, event: str, _argument: object) -> None:
            nonlocal calls
            calls += event in {"call", "c_call"}

        before = sys.getprofile()
        sys.setprofile(count)
        try:
            assert validate(document, CATALOGUE)
        finally:
            sys.setprofile(before)
        return calls

    work(50)  # what is done only once
    assert work(200) < 6 * work(50)


@pytest.mark.parametrize("label", ["<script>", "a > b", "bell\x07", "\x1b[31m", "to the \u202eleft"])
def test_a_label_that_could_be_more_than_words_is_named(label: str) -> None:
    assert found(vm("a", label="fine"), vm("b", label=label)) == {"vms[1].label": "bad_label"}


@pytest.mark.parametrize("label", ["VM-001\n(2 vCPU)", "Señal «1» & co.", "", " ", None])
def test_a_label_of_words_and_lines_is_fine(label: str | None) -> None:
    assert found(vm("a", label=label)) == {}
