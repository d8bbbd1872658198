"""Drawings, and the buttons that pages offer."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcela.core.lifecycle import Action, SliceState, VmState, check_slice_action, check_vm_action
from parcela.core.topology.document import (
    NetworkEnd,
    TemplateEdge,
    TemplateNetwork,
    TemplateVm,
    TopologyDocument,
    VmEnd,
)
from parcela.core.topology.sample import sample_topology
from parcela.web.views import machines, slices
from parcela.web.views.drawing import Drawing, draw


def overlapping(drawing: Drawing) -> list[tuple[str, str]]:
    pairs = []
    for index, a in enumerate(drawing.nodes):
        for b in drawing.nodes[index + 1 :]:
            apart = a.left + a.width <= b.left or b.left + b.width <= a.left
            above = a.top + a.height <= b.top or b.top + b.height <= a.top
            if not (apart or above):
                pairs.append((a.name, b.name))
    return pairs


def test_the_sample_is_drawn_where_it_was_put() -> None:
    drawing = draw(sample_topology())
    client, router, server, outside = drawing.nodes
    assert client.x < router.x < server.x
    assert client.y == router.y == server.y < outside.y
    assert outside.is_public
    assert len(drawing.links) == 2
    assert overlapping(drawing) == []


def test_addresses_of_a_cable_have_room_between_its_boxes() -> None:
    drawing = draw(sample_topology())
    client, router = drawing.nodes[:2]
    near, far = drawing.links[0].captions
    assert (near.text, near.anchor, far.text, far.anchor) == ("10.0.1.2/24", "start", "10.0.1.1/24", "end")
    assert client.left + client.width < near.x < near.x + 7 * len(near.text) < far.x - 7 * len(far.text)
    assert far.x < router.left


def test_everything_is_inside_the_frame() -> None:
    drawing = draw(sample_topology())
    for node in drawing.nodes:
        assert drawing.left < node.left
        assert node.left + node.width < drawing.left + drawing.width
        assert drawing.top < node.top
        assert node.top + node.height < drawing.top + drawing.height


def test_what_was_left_at_one_point_is_laid_out() -> None:
    vms = tuple(TemplateVm(name=f"vm{number}", image="tiny") for number in range(10))
    assert overlapping(draw(TopologyDocument(vms=vms))) == []


def test_a_network_is_a_box_of_its_own() -> None:
    document = TopologyDocument(
        vms=(TemplateVm(name="a", image="tiny", x=0, y=0), TemplateVm(name="b", image="tiny", x=0, y=300)),
        networks=(TemplateNetwork(name="lan", x=0, y=150),),
        edges=tuple(TemplateEdge(a=VmEnd(vm=vm), b=NetworkEnd(network="lan")) for vm in ("a", "b")),
    )
    drawing = draw(document)
    assert [node.kind for node in drawing.nodes] == ["vm", "vm", "network"]
    assert len(drawing.links) == 2


def test_a_cable_to_nothing_is_left_out() -> None:
    document = TopologyDocument(
        vms=(TemplateVm(name="a", image="tiny"),), edges=(TemplateEdge(a=VmEnd(vm="a"), b=VmEnd(vm="gone")),)
    )
    assert draw(document).links == ()


def test_nothing_is_drawn_of_nothing() -> None:
    assert draw(TopologyDocument()).nodes == ()


COORDINATES = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.lists(st.tuples(COORDINATES, COORDINATES), min_size=2, max_size=6))
def test_any_drawing_can_be_drawn(places: list[tuple[float, float]]) -> None:
    vms = tuple(TemplateVm(name=f"vm{n}", image="tiny", x=x, y=y) for n, (x, y) in enumerate(places))
    edges = tuple(
        TemplateEdge(a=VmEnd(vm=a.name, address="10.0.0.1/24"), b=VmEnd(vm=b.name)) for a, b in itertools.pairwise(vms)
    )
    drawing = draw(TopologyDocument(vms=vms, edges=edges))
    assert len(drawing.nodes) == len(vms)
    assert 0 < drawing.width < 30_000
    assert 0 < drawing.height < 30_000


@pytest.mark.parametrize(("state", "action"), [(s, a) for s, actions in slices.USUAL.items() for a in actions])
def test_what_is_usual_for_a_slice_is_allowed(state: SliceState, action: Action) -> None:
    check_slice_action(action, state)


STAND_ALONE = {(VmState.DEFINED, Action.START)}
"""Allowed for a VM that stands alone."""


@pytest.mark.parametrize(("state", "action"), [(s, a) for s, actions in machines.USUAL.items() for a in actions])
def test_what_is_usual_for_a_machine_is_allowed(state: VmState, action: Action) -> None:
    if (state, action) not in STAND_ALONE:
        check_vm_action(action, state)


def test_every_state_in_which_something_can_be_asked_has_a_usual_way_on() -> None:
    assert set(SliceState) - {SliceState.DESTROYING, SliceState.DESTROYED} == set(slices.USUAL)


def test_nothing_that_is_allowed_is_left_out() -> None:
    allowed = ("deploy", "start", "stop", "resume", "extend", "destroy")
    first, more = machines.split(allowed, (Action.STOP, Action.RESET, Action.DESTROY), slices.BUTTONS)
    assert first == ("stop", "destroy")
    assert sorted(first + more) == sorted(set(allowed) - {"extend"}), "the form that extends is no button"
