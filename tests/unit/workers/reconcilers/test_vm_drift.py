"""What a VM should show, from what it shows and what the hypervisor has."""

from uuid import uuid4

import pytest

from parcela.core.lifecycle import VmState, vm_transition
from parcela.hypervisors.spec import PowerState, VmObservation
from parcela.workers.reconcilers.vm_drift import CRASHED, VANISHED, judge

OBSERVED = {
    PowerState.RUNNING: VmState.RUNNING,
    PowerState.PAUSED: VmState.PAUSED,
    PowerState.STOPPED: VmState.STOPPED,
}
JUDGED = sorted(set(VmState) - {VmState.DEFINED, VmState.DELETED})


def seen(power: PowerState, *, defined: bool = True) -> VmObservation:
    return VmObservation(uuid4(), None, power, defined)


@pytest.mark.parametrize("state", JUDGED)
@pytest.mark.parametrize("power", list(PowerState))
def test_every_pair(state: VmState, power: PowerState) -> None:
    new, error = judge(state, "before", seen(power))
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
    assert judge(state, "", None) == (VmState.ERROR, VANISHED)
    assert judge(state, "", seen(PowerState.STOPPED, defined=False)) == (VmState.ERROR, VANISHED)
