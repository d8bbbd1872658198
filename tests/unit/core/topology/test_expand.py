from typing import Any

import pytest
from hypothesis import given, settings
from tests.unit.core.topology.drawings import CATALOGUE, documents

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.core.topology.document import TopologyDocument, parse_document
from parcela.core.topology.expand import PlannedKind, PlannedNic, PlannedSegment, SlicePlan, expand


def plan(vms: list[dict[str, Any]], edges: Any = (), networks: Any = ()) -> SlicePlan:
    full = [{"image": "tiny", "flavour": "tiny"} | vm for vm in vms]
    return expand(parse_document({"vms": full, "edges": edges, "networks": networks}), CATALOGUE)


def nic(segment: str, end: int, address: str | None = None, mtu: int = 1500) -> PlannedNic:
    return PlannedNic(segment, is_public=False, end=end, address=address, mtu=mtu)


PUBLIC = PlannedNic(None, is_public=True, end=0, address=None, mtu=1500)


def test_a_vm_takes_its_flavour_and_overrides_it() -> None:
    planned = plan(
        [
            {"name": "a"},
            {"name": "b", "vcpus": 2},
            {"name": "c", "flavour": None, "vcpus": 3, "memory_mib": 256, "disk_gib": 5},
        ]
    )
    sizes = [(vm.image_id, vm.flavour_id, vm.vcpus, vm.memory_mib, vm.disk_gib) for vm in planned.vms]
    assert sizes == [(3, 7, 1, 128, 1), (3, 7, 2, 128, 1), (3, None, 3, 256, 5)]
    assert (planned.vcpus, planned.memory_mib, planned.disk_gib) == (6, 512, 7)


def test_what_the_guest_is_told() -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA ana"
    told = {
        "name": "a",
        "user_data": "#!/bin/sh\n",
        "ssh_keys": [f"{key}\n"],
        "gateway": "10.0.1.1",
        "routes": [{"to": "10.0.0.0/08", "via": "10.0.1.1"}, {"to": "10.0.2.0/24", "via": "10.0.1.9"}],
        "dns": ["10.0.1.1"],
        "forward": True,
    }
    first, second = plan(
        [told, {"name": "b", "user_data": "  "}],
        [{"a": {"vm": "a", "address": "10.0.1.2/24"}, "b": {"vm": "b"}}],
    ).vms
    assert (first.user_data, first.ssh_keys, first.gateway) == ("#!/bin/sh\n", (key,), "10.0.1.1")
    assert first.routes == (("10.0.0.0/8", "10.0.1.1"), ("10.0.2.0/24", "10.0.1.9"))
    assert (first.dns, first.forward) == (("10.0.1.1",), True)
    assert (second.user_data, second.forward) == (None, False)


def test_nics_follow_the_edges_and_the_public_one_is_last() -> None:
    planned = plan(
        [{"name": "a", "public_access": True}, {"name": "b"}, {"name": "c", "public_access": True}],
        [
            {"a": {"vm": "b"}, "b": {"vm": "a", "address": "10.0.0.1/24"}, "mtu": 9000},
            {"a": {"network": "lan"}, "b": {"vm": "a"}},
            {"a": {"vm": "b"}, "b": {"network": "lan"}, "mtu": 1300},
        ],
        [{"name": "unused"}, {"name": "lan", "mtu": 1400}],
    )
    assert [vm.nics for vm in planned.vms] == [
        (nic("edge:0", 1, "10.0.0.1/24", 9000), nic("lan:lan", 0, mtu=1400), PUBLIC),
        (nic("edge:0", 0, mtu=9000), nic("lan:lan", 1, mtu=1300)),
        (PUBLIC,),
    ]
    assert planned.segments == (
        PlannedSegment("lan:lan", "lan", PlannedKind.LAN, 1400),
        PlannedSegment("edge:0", "b-a", PlannedKind.EDGE, 9000),
    )


def test_segments_have_names_of_their_own() -> None:
    cable = {"a": {"vm": "a"}, "b": {"vm": "b"}}
    lan = {"a": {"vm": "a"}, "b": {"network": "lan"}, "name": "plug"}
    planned = plan(
        [{"name": "a"}, {"name": "b"}],
        [cable, cable, cable | {"name": "A-B"}, cable | {"name": "LAN"}, lan],
        [{"name": "lan"}],
    )
    assert [segment.name for segment in planned.segments] == ["lan", "a-b-2", "a-b-3", "A-B", "LAN-2"]


def test_names_made_of_long_names_still_fit() -> None:
    cable = {"a": {"vm": "a" * 63}, "b": {"vm": "b" * 63}}
    planned = plan([{"name": "a" * 63}, {"name": "b" * 63}], [cable, cable])
    assert [segment.name for segment in planned.segments] == ["a" * 63, "a" * 61 + "-2"]


def test_a_bad_document_is_never_planned() -> None:
    with pytest.raises(ParcelaError) as caught:
        plan([{"name": "a", "image": "x"}, {"name": "A"}])
    assert (caught.value.kind, caught.value.code) == (ErrorKind.INVALID, "template_invalid")
    assert [problem.where for problem in caught.value.problems] == ["vms[1].name", "vms[0].image"]


@settings(deadline=None)
@given(documents(networks=True))
def test_every_plan_can_be_wired(document: TopologyDocument) -> None:
    planned = expand(document, CATALOGUE)
    nics = [nic for vm in planned.vms for nic in vm.nics]
    assert [vm.name for vm in planned.vms] == [vm.name for vm in document.vms]
    assert len({segment.name.casefold() for segment in planned.segments}) == len(planned.segments)
    for segment in planned.segments:
        ends = sorted(nic.end for nic in nics if nic.segment == segment.key)
        assert ends == ([0, 1] if segment.kind is PlannedKind.EDGE else list(range(len(ends))))
        assert ends
        assert 0 < len(segment.name) <= 64
    assert {nic.segment for nic in nics} - {None} == {segment.key for segment in planned.segments}
    for vm in planned.vms:
        assert len(vm.nics) <= 8
        assert not any(nic.is_public for nic in vm.nics[:-1])


@settings(deadline=None)
@given(documents(networks=True))
def test_public_access_does_not_renumber_the_others(document: TopologyDocument) -> None:
    def without(public: bool) -> SlicePlan:
        vms = tuple(vm.model_copy(update={"public_access": public}) for vm in document.vms)
        return expand(document.model_copy(update={"vms": vms}), CATALOGUE)

    for closed, opened in zip(without(public=False).vms, without(public=True).vms, strict=True):
        assert opened.nics == (*closed.nics, PUBLIC)
