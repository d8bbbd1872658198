"""The control plane dies just before and just after each commit of an operation, also while it is being undone."""

from collections import Counter

import pytest

from parcela.core.lifecycle import OperationState
from parcela.hypervisors.simulated import Failure, Moment
from parcela.models import Operation
from tests.faults.conftest import Stage
from tests.faults.scenarios import BY_NAME, CALLS, Scenario, Subject, check_outcome, target
from tests.faults.undisturbed import Undisturbed, about
from tests.support.checks import check_consistent, read_rows
from tests.support.lab import Lab
from tests.support.stack import KilledError

pytestmark = pytest.mark.anyio


async def ask_and_die(lab: Lab, scenario: Scenario, subject: Subject, commit: int, *, after: bool) -> int | None:
    """Ask for the operation on a control plane that dies at a commit; None when it ended before it got there."""
    stack = lab.stack
    stack.uows.die_at(commit, after=after)
    try:
        await scenario.open(lab, subject)
    except KilledError:
        return commit
    await stack.workers.engine.idle()
    return commit if stack.uows.died.is_set() else None


async def the_operation(lab: Lab, known: int) -> Operation | None:
    """The operation after those that were known before, if it came to be; everything is in order anyway."""
    rows = await read_rows(lab)
    mine = [row for row in rows.operations if row.id > known]
    if mine:
        await check_consistent(lab)
    return mine[-1] if mine else None


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", ["vm.deploy", "vm.reset", "vm.update", "vm.destroy"])
async def test_a_kill_at_each_commit(stage: Stage, undisturbed: Undisturbed, name: str, *, after: bool) -> None:
    scenario = BY_NAME[name]
    expected = await undisturbed(scenario)
    commit = 0
    died: int | None = 0
    while died is not None:
        commit += 1
        async with stage(scenario) as (lab, subject):
            old = Counter(lab.world.effects)
            known = len((await read_rows(lab)).operations)
            died = await ask_and_die(lab, scenario, subject, commit, after=after)
            await lab.restart()
            operation = await the_operation(lab, known)
            if commit == 1 and not after:
                assert operation is None  # it was never stored, so it never was
                continue
            assert operation is not None
            assert OperationState(operation.state) is OperationState.SUCCEEDED
            subject.vm_id = subject.vm_id or operation.vm_id
            await check_outcome(lab, scenario, subject)
            assert about(lab, old, scenario) == expected
    assert commit > 2 * len(scenario.steps)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_kill_at_each_commit_of_an_undoing(stage: Stage, *, after: bool) -> None:
    """The last step of a deployment fails for good; it is killed on its way back, too."""
    scenario = BY_NAME["vm.deploy"]
    commit = 6  # the request, the claim, image and segment (together or not), and the VM is made: see above
    died: int | None = 0
    while died is not None:
        commit += 1
        async with stage(scenario) as (lab, subject):
            lab.world.faults.fail("start_vm", failure=Failure.FATAL, times=None)
            died = await ask_and_die(lab, scenario, subject, commit, after=after)
            await lab.kill()
            lab.clock.turn(31)
            await lab.start()  # the failure is still there
            await lab.stack.settle()
            operation = await the_operation(lab, 0)
            assert operation is not None
            assert OperationState(operation.state) is OperationState.FAILED
            assert lab.world.host("h1").vms == {}
            assert lab.world.host("h1").segments == {}
            vm = await lab.vm(operation.vm_id or 0)
            assert (vm.state, vm.host_id) == ("defined", None)
    assert commit > 3 * len(scenario.steps)


@pytest.mark.parametrize("step", ["create:alone", "boot:alone"])
async def test_a_step_that_was_cut_off_is_undone_when_the_restart_finds_a_cancel_request(
    stage: Stage, step: str
) -> None:
    scenario = BY_NAME["vm.deploy"]
    async with stage(scenario) as (lab, subject):
        call = CALLS[scenario.steps[step]]
        gate = lab.world.faults.block(call, vm=await target(lab, subject, step), moment=Moment.AFTER)
        operation = await scenario.open(lab, subject)
        await gate.reached()
        async with lab.stack.uows.write() as uow:
            assert await uow.operations.request_cancel(operation.id)
            await uow.commit()  # the executor is not told: it dies first
        await lab.restart()
        assert await lab.stack.ended(operation.id) is OperationState.CANCELLED
        await check_consistent(lab)
        assert lab.world.host("h1").vms == {}
