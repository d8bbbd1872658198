"""Plans: what each action does, and in what order."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcela.core.lifecycle import Action
from parcela.services.operations.plans import PlannedStep, PlanVm, act, deploy, destroy
from parcela.services.operations.steps import KINDS

NAT = 9
ACTIONS = [Action.START, Action.STOP, Action.REBOOT, Action.SUSPEND, Action.RESUME, Action.RESET, Action.UPDATE]


@st.composite
def topologies(draw: st.DrawFn) -> list[PlanVm]:
    """VMs on up to three hosts, with up to four segments and perhaps a way out."""
    count = draw(st.integers(1, 6))
    return [
        PlanVm(
            id=number,
            name=f"vm{number}",
            host_id=draw(st.integers(1, 3)),
            image_id=draw(st.integers(1, 2)),
            segment_ids=tuple(draw(st.lists(st.integers(1, 4), unique=True, max_size=4))),
            nat_segment_id=draw(st.sampled_from([None, NAT])),
        )
        for number in range(1, count + 1)
    ]


def check_graph(steps: Sequence[PlannedStep]) -> None:
    """Keys are unique, kinds known, and what a step needs comes before it."""
    keys = [step.key for step in steps]
    assert len(set(keys)) == len(keys)
    assert {step.kind for step in steps} <= set(KINDS)
    for position, step in enumerate(steps):
        assert set(step.depends_on) <= set(keys[:position]), step.key


def test_a_forced_stop_asks_no_guest() -> None:
    vm = PlanVm(id=1, name="web", host_id=1, image_id=1, segment_ids=(), nat_segment_id=None)
    assert [step.kind for step in act(Action.STOP, [vm], set(), {}, force=True)] == ["power_off_vm"]
    assert [step.kind for step in act(Action.STOP, [vm], set(), {})] == ["shut_down_vm"]
    assert [step.kind for step in act(Action.REBOOT, [vm], set(), {}, force=True)] == ["reboot_vm"]


@given(topologies(), st.booleans())
def test_a_deployment(vms: list[PlanVm], paused: bool) -> None:
    steps = deploy(vms, {}, paused=paused)
    check_graph(steps)
    by_key = {step.key: step for step in steps}
    laid = {(step.segment_id, step.host_id) for step in steps if step.kind == "ensure_segment"}
    assert laid == {(segment, vm.host_id) for vm in vms for segment in vm.all_segment_ids}
    images = {(step.image_id, step.host_id) for step in steps if step.kind == "ensure_image"}
    assert images == {(vm.image_id, vm.host_id) for vm in vms}
    for vm in vms:
        create, boot = by_key[f"create:{vm.id}"], by_key[f"boot:{vm.id}"]
        needs = {f"segment:{segment}@{vm.host_id}" for segment in vm.all_segment_ids}
        assert set(create.depends_on) == needs | {f"image:{vm.image_id}@{vm.host_id}"}
        assert boot.depends_on == (create.key,)
        assert boot.kind == ("start_paused_vm" if paused else "boot_vm")
        assert create.host_id == boot.host_id == vm.host_id
    assert len(steps) == len(laid) + len(images) + 2 * len(vms)


@given(topologies())
def test_a_destruction(vms: list[PlanVm]) -> None:
    steps = destroy(vms, {})
    check_graph(steps)
    taken_up = {(step.segment_id, step.host_id): step for step in steps if step.segment_id is not None}
    assert set(taken_up) == {(segment, vm.host_id) for vm in vms for segment in vm.all_segment_ids}
    for (segment, host), step in taken_up.items():
        users = {f"remove:{vm.id}" for vm in vms if vm.host_id == host and segment in vm.all_segment_ids}
        assert set(step.depends_on) == users
        assert step.kind == ("remove_nat" if segment == NAT else "remove_segment")
    assert len(steps) == len(taken_up) + len(vms)


@pytest.mark.parametrize("action", ACTIONS)
@given(vms=topologies(), data=st.data())
def test_an_action(action: Action, vms: list[PlanVm], data: st.DataObject) -> None:
    broken = data.draw(st.sets(st.sampled_from([vm.id for vm in vms])))
    steps = act(action, vms, broken, {})
    check_graph(steps)
    by_key = {step.key: step for step in steps}
    for vm in vms:
        mended = vm.id in broken and action in {Action.START, Action.RESET}
        assert (f"create:{vm.id}" in by_key) == mended
        if action is Action.RESET:
            off, disk, boot = (by_key[f"{part}:{vm.id}"] for part in ("off", "disk", "boot"))
            assert (disk.depends_on, boot.depends_on) == ((off.key,), (disk.key,))
            assert off.depends_on == ((f"create:{vm.id}",) if mended else ())
            assert off.kind == "power_off_vm"  # its disk is thrown away anyway
        elif not mended:
            step = by_key[f"{action.value}:{vm.id}"]
            assert (step.depends_on, step.vm_id, step.host_id) == ((), vm.id, vm.host_id)


def test_labels_are_for_people() -> None:
    vm = PlanVm(1, "web", 1, 1, (2,), NAT)
    labels = [step.label for step in deploy([vm], {2: "cable", NAT: "outside"})]
    assert labels == [
        "Bring the image to the host",
        "Lay the network cable",
        "Lay the network outside",
        "Make web",
        "Boot web",
    ]


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_can_be_undone_or_says_why_not(name: str) -> None:
    kind = KINDS[name]
    assert (kind.undo is None) == bool(kind.no_undo)
    assert kind.after_undo is None or kind.undo is not None
