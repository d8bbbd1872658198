"""What a VM should show, from what it shows and what the hypervisor has."""

from uuid import uuid4

import pytest

from parcela.core.lifecycle import VmState, vm_transition
from parcela.core.power import FAULTS, SENTENCES, PowerReason
from parcela.hypervisors.spec import PowerState, VmObservation
from parcela.workers.reconcilers.vm_drift import CRASHED, VANISHED, judge

OBSERVED = {
    PowerState.RUNNING: VmState.RUNNING,
    PowerState.PAUSED: VmState.PAUSED,
    PowerState.STOPPED: VmState.STOPPED,
}
JUDGED = sorted(set(VmState) - {VmState.DEFINED, VmState.DELETED})


def seen(power: PowerState, *, defined: bool = True, reason: PowerReason | None = None) -> VmObservation:
    return VmObservation(uuid4(), None, power, defined, reason=reason)


@pytest.mark.parametrize("state", JUDGED)
@pytest.mark.parametrize("power", list(PowerState))
def test_every_pair(state: VmState, power: PowerState) -> None:
    new, error, reason = judge(state, "before", "", seen(power))
    assert reason == ""
    if power is PowerState.CRASHED:
        assert (new, error) == (VmState.ERROR, "before" if state is VmState.ERROR else CRASHED)
    elif state is OBSERVED[power] or (state is VmState.ERROR and power is PowerState.STOPPED):
        assert (new, error) == (state, "before")
    else:
        assert (new, error) == (OBSERVED[power], "")
    if state is not VmState.DELETING:  # without an operation nothing is being deleted
        assert vm_transition(state, new) is None


@pytest.mark.parametrize("state", JUDGED)
def test_what_is_not_there_has_vanished(state: VmState) -> None:
    assert judge(state, "", "", None) == (VmState.ERROR, VANISHED, "")
    assert judge(state, "", "", seen(PowerState.STOPPED, defined=False)) == (VmState.ERROR, VANISHED, "")


@pytest.mark.parametrize("state", JUDGED)
@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_fault_is_shown_whatever_the_row_said(state: VmState, fault: PowerReason) -> None:
    paused = seen(PowerState.PAUSED, reason=fault)
    expected = (VmState.PAUSED, SENTENCES[fault], fault.value)
    assert judge(state, "before", "", paused) == expected
    assert judge(*expected, paused) == expected


def test_it_is_over_when_it_runs_again_or_is_paused_by_somebody() -> None:
    shown = (VmState.PAUSED, SENTENCES[PowerReason.NO_SPACE], "no_space")
    assert judge(*shown, seen(PowerState.RUNNING)) == (VmState.RUNNING, "", "")
    by_hand = seen(PowerState.PAUSED, reason=PowerReason.BY_HAND)
    assert judge(*shown, by_hand) == (VmState.PAUSED, "", "by_hand")
    assert judge(*shown, seen(PowerState.STOPPED, reason=PowerReason.BY_HAND)) == (VmState.STOPPED, "", "by_hand")


def test_a_pause_that_was_asked_for_has_no_reason() -> None:
    by_hand = seen(PowerState.PAUSED, reason=PowerReason.BY_HAND)
    assert judge(VmState.PAUSED, "", "", by_hand) == (VmState.PAUSED, "", "")
    assert judge(VmState.RUNNING, "", "", by_hand) == (VmState.PAUSED, "", "by_hand")
