"""The table of states: every pair, and every action in every state."""

from itertools import product
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.core.lifecycle import (
    OPERATION_ACTIVE,
    OPERATION_TERMINAL,
    SLICE_TERMINAL,
    SLICE_TRANSITIONS,
    VM_TERMINAL,
    VM_TRANSITIONS,
    Action,
    DesiredState,
    OperationState,
    SliceState,
    VmState,
    check_slice_action,
    check_vm_action,
    settled_slice_state,
    slice_transition,
    vm_transition,
)
from parcela.services.allowed_compute import TOUCHED
from parcela.services.compute.slices import MEANWHILE
from parcela.services.operations.journal import came_from
from parcela.services.operations.steps import KINDS

S, V, A = SliceState, VmState, Action
StateT = TypeVar("StateT")

# Written out once more, by hand: what a person may ask of a slice and of a VM.
SLICE_ACTIONS: dict[Action, set[SliceState]] = {
    A.DEPLOY: {S.DRAFT, S.ERROR},
    A.START: {S.STOPPED, S.DEGRADED, S.RUNNING},
    A.STOP: {S.RUNNING, S.DEGRADED, S.PAUSED, S.STOPPED},
    A.REBOOT: {S.RUNNING, S.DEGRADED},
    A.SUSPEND: {S.RUNNING, S.DEGRADED, S.PAUSED},
    A.RESUME: {S.RUNNING, S.DEGRADED, S.PAUSED},
    A.RESET: {S.RUNNING, S.DEGRADED, S.PAUSED, S.STOPPED},
    A.DESTROY: set(S) - {S.DESTROYED},
}
VM_ACTIONS: dict[Action, set[VmState]] = {
    A.DEPLOY: set(),  # a stand-alone VM is deployed by its creation, or by a start
    A.START: {V.STOPPED, V.ERROR, V.RUNNING},
    A.STOP: {V.RUNNING, V.PAUSED, V.STOPPED, V.ERROR},
    A.REBOOT: {V.RUNNING},
    A.SUSPEND: {V.RUNNING, V.PAUSED},
    A.RESUME: {V.RUNNING, V.PAUSED},
    A.RESET: {V.RUNNING, V.PAUSED, V.STOPPED, V.ERROR},
    A.UPDATE: {V.STOPPED, V.DEFINED},
    A.DESTROY: set(V) - {V.DELETED},
}
SLICE_STATES: dict[SliceState, set[SliceState]] = {
    S.DRAFT: {S.DEPLOYING, S.DESTROYING, S.DESTROYED},
    S.DEPLOYING: {S.RUNNING, S.PAUSED, S.DEGRADED, S.ERROR, S.DRAFT, S.DESTROYING},
    S.RUNNING: {S.STARTING, S.STOPPING, S.STOPPED, S.PAUSED, S.DEGRADED, S.ERROR, S.DESTROYING},
    S.DEGRADED: {S.STARTING, S.STOPPING, S.STOPPED, S.PAUSED, S.RUNNING, S.ERROR, S.DESTROYING},
    S.STOPPED: {S.STARTING, S.STOPPING, S.RUNNING, S.PAUSED, S.DEGRADED, S.ERROR, S.DESTROYING},
    S.PAUSED: {S.STARTING, S.STOPPING, S.STOPPED, S.RUNNING, S.DEGRADED, S.ERROR, S.DESTROYING},
    S.STOPPING: {S.STOPPED, S.RUNNING, S.PAUSED, S.DEGRADED, S.ERROR, S.DESTROYING},
    S.STARTING: {S.STOPPED, S.RUNNING, S.PAUSED, S.DEGRADED, S.ERROR, S.DESTROYING},
    S.ERROR: {S.DEPLOYING, S.DESTROYING, S.RUNNING, S.DEGRADED},
    S.DESTROYING: {S.DESTROYED, S.ERROR},
    S.DESTROYED: set(),
}
VM_STATES: dict[VmState, set[VmState]] = {
    V.DEFINED: {V.STOPPED, V.STARTING, V.DELETING, V.DELETED, V.ERROR},
    V.STARTING: {V.RUNNING, V.STOPPED, V.PAUSED, V.ERROR, V.DELETING},
    V.RUNNING: {V.PAUSED, V.STOPPING, V.STOPPED, V.STARTING, V.ERROR, V.DELETING},
    V.PAUSED: {V.RUNNING, V.STOPPING, V.STOPPED, V.STARTING, V.ERROR, V.DELETING},
    V.STOPPING: {V.STOPPED, V.RUNNING, V.PAUSED, V.ERROR, V.DELETING},
    V.STOPPED: {V.STARTING, V.RUNNING, V.PAUSED, V.ERROR, V.DELETING, V.DEFINED},
    V.ERROR: {V.STARTING, V.STOPPING, V.RUNNING, V.PAUSED, V.STOPPED, V.DELETING, V.DEFINED},
    V.DELETING: {V.DELETED, V.DEFINED, V.ERROR},
    V.DELETED: set(),
}


@pytest.mark.parametrize(("old", "new"), list(product(SliceState, SliceState)))
def test_every_pair_of_slice_states(old: SliceState, new: SliceState) -> None:
    error = slice_transition(old, new)
    assert (error is None) == (new == old or new in SLICE_STATES[old])
    if error is not None:
        assert (error.kind, error.message) == (ErrorKind.CONFLICT, f"A slice cannot go from {old} to {new}.")


@pytest.mark.parametrize(("old", "new"), list(product(VmState, VmState)))
def test_every_pair_of_vm_states(old: VmState, new: VmState) -> None:
    error = vm_transition(old, new)
    assert (error is None) == (new == old or new in VM_STATES[old])
    assert (old in came_from(new)) == (error is None)
    if error is not None:
        assert (error.kind, error.message) == (ErrorKind.CONFLICT, f"A VM cannot go from {old} to {new}.")


@pytest.mark.parametrize(("action", "state"), list(product(SLICE_ACTIONS, SliceState)))
def test_every_action_in_every_slice_state(action: Action, state: SliceState) -> None:
    if state in SLICE_ACTIONS[action]:
        check_slice_action(action, state)
        meanwhile = {A.DEPLOY: S.DEPLOYING, A.DESTROY: S.DESTROYING, **MEANWHILE}
        assert slice_transition(state, meanwhile[action] or state) is None
    else:
        with pytest.raises(ParcelaError) as refused:
            check_slice_action(action, state)
        assert (refused.value.kind, refused.value.code) == (ErrorKind.CONFLICT, "slice_state")
        assert f"The slice is {state}; '{action}'" in refused.value.message
        assert all(allowed in refused.value.message for allowed in SLICE_ACTIONS[action])


@pytest.mark.parametrize(("action", "state"), list(product(VM_ACTIONS, VmState)))
def test_every_action_in_every_vm_state(action: Action, state: VmState) -> None:
    if state in VM_ACTIONS[action]:
        check_vm_action(action, state)
    else:
        with pytest.raises(ParcelaError) as refused:
            check_vm_action(action, state)
        assert (refused.value.kind, refused.value.code) == (ErrorKind.CONFLICT, "vm_state")
        assert f"The VM is {state}; '{action}'" in refused.value.message
        assert all(allowed in refused.value.message for allowed in VM_ACTIONS[action])


def test_an_action_on_a_slice_touches_only_vms_that_could_be_asked_themselves() -> None:
    assert {action: VM_ACTIONS[action] for action in TOUCHED} == TOUCHED


def test_all_states_are_in_the_tables() -> None:
    assert set(SLICE_TRANSITIONS) == set(SLICE_STATES) == set(SliceState)
    assert set(VM_TRANSITIONS) == set(VM_STATES) == set(VmState)
    assert set(SLICE_ACTIONS) | {A.UPDATE} == set(VM_ACTIONS) == set(Action)
    assert {state for state in SliceState if not SLICE_TRANSITIONS[state]} == SLICE_TERMINAL
    assert {state for state in VmState if not VM_TRANSITIONS[state]} == VM_TERMINAL
    assert OPERATION_ACTIVE | OPERATION_TERMINAL | {OperationState.STUCK} == set(OperationState)
    assert not OPERATION_ACTIVE & OPERATION_TERMINAL


def test_every_state_can_be_reached_and_left_for_good() -> None:
    assert reachable(SLICE_STATES, S.DRAFT) == set(SliceState)
    assert reachable(VM_STATES, V.DEFINED) == set(VmState)
    assert all(S.DESTROYED in reachable(SLICE_STATES, state) for state in SliceState)
    assert all(V.DELETED in reachable(VM_STATES, state) for state in VmState)


def reachable(table: dict[StateT, set[StateT]], start: StateT) -> set[StateT]:
    found, todo = {start}, [start]
    while todo:
        fresh = table[todo.pop()] - found
        found |= fresh
        todo += fresh
    return found


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_step_moves_its_vm_by_the_table(name: str) -> None:
    kind = KINDS[name]
    before = kind.during or V.STOPPED
    for after in (kind.after, kind.after_undo, V.ERROR):
        assert after is None or vm_transition(before, after) is None or after is V.DEFINED


STATES = st.sampled_from(sorted(set(VmState) - {V.DELETED}))


@given(st.lists(st.tuples(STATES, st.sampled_from(DesiredState)), max_size=6))
def test_the_state_of_a_slice_follows_from_its_vms(vms: list[tuple[VmState, DesiredState]]) -> None:
    state = settled_slice_state(vms)
    if not vms:
        assert state is S.DESTROYED
    elif any(observed.value != desired.value for observed, desired in vms):
        assert state is S.DEGRADED
    else:
        expected = {frozenset({V.STOPPED}): S.STOPPED, frozenset({V.PAUSED}): S.PAUSED}
        assert state is expected.get(frozenset(observed for observed, _ in vms), S.RUNNING)
    assert settled_slice_state(vms[::-1]) is state
