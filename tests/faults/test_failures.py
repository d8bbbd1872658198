"""A step fails for good: deployments are undone completely, other operations show what is wrong and can be repeated."""

import pytest

from parcela.core.errors import ParcelaError
from parcela.core.lifecycle import Action, OperationState
from parcela.hypervisors.simulated import Failure, Moment
from parcela.models import Operation
from parcela.workers.executor import MAX_ATTEMPTS
from tests.faults.conftest import Stage
from tests.faults.scenarios import (
    BY_NAME,
    CALLS,
    EVERY_STEP,
    SCENARIOS,
    UNDO_CALLS,
    Scenario,
    Subject,
    act_on_vm,
    check_outcome,
    named_steps,
    states,
    target,
)
from tests.support.checks import check_consistent, check_reservations, read_rows
from tests.support.lab import Lab

pytestmark = pytest.mark.anyio
DEPLOYMENTS = [(name, step) for name, step in EVERY_STEP if BY_NAME[name].is_deployment]
OTHERS = [(name, step) for name, step in EVERY_STEP if not BY_NAME[name].is_deployment]
UNDONE = [(name, step) for name, step in DEPLOYMENTS if BY_NAME[name].steps[step] in UNDO_CALLS]


async def ask_and_fail(
    lab: Lab,
    scenario: Scenario,
    subject: Subject,
    step: str,
    *,
    moment: Moment = Moment.MIDDLE,
    failure: Failure = Failure.FATAL,
    times: int = 1,
) -> Operation:
    """Ask for the operation, one step of which fails; the operation, ended."""
    call = CALLS[scenario.steps[step]]
    victim = await target(lab, subject, step)
    lab.world.faults.fail(call, vm=victim, failure=failure, moment=moment, times=times)
    operation = await scenario.open(lab, subject)
    await lab.stack.settle()
    ended, _ = await lab.stack.operation(operation.id)
    return ended


async def check_undone(lab: Lab, subject: Subject, operation: Operation, said: str) -> None:
    """Nothing of a deployment is left, and its owner can read why."""
    rows = await check_consistent(lab)
    assert rows.reservations == []
    host = lab.world.host("h1")
    assert (host.vms, host.segments) == ({}, {})
    assert said in operation.error
    assert {vm.state for vm in rows.vms} == {"defined"}
    assert {(vm.host_id, vm.desired, vm.ready_at) for vm in rows.vms} == {(None, "defined", None)}
    if subject.slice_id is not None:
        row = await lab.slice(subject.slice_id)
        assert (row.state, row.error) == ("error", operation.error)
    else:
        assert (await lab.vm(subject.need_vm())).error == operation.error


@pytest.mark.parametrize("moment", [Moment.MIDDLE, Moment.AFTER])
@pytest.mark.parametrize(("name", "step"), DEPLOYMENTS)
async def test_a_deployment_that_fails_is_undone(stage: Stage, name: str, step: str, moment: Moment) -> None:
    scenario = BY_NAME[name]
    async with stage(scenario) as (lab, subject):
        operation = await ask_and_fail(lab, scenario, subject, step, moment=moment)
        assert OperationState(operation.state) is OperationState.FAILED
        await check_undone(lab, subject, operation, "cannot work (simulated)")
        steps = await named_steps(lab, operation)
        assert {row.state for row in steps.values()} <= {"undone", "skipped", "done", "failed"}
        again = await scenario.open(lab, subject)
        assert await lab.stack.ended(again.id) is OperationState.SUCCEEDED
        await check_outcome(lab, scenario, subject)
        await check_consistent(lab)


async def test_attempts_run_out(stage: Stage) -> None:
    scenario = BY_NAME["slice.deploy"]
    async with stage(scenario) as (lab, subject):
        operation = await ask_and_fail(
            lab, scenario, subject, "create:web", failure=Failure.RETRYABLE, times=MAX_ATTEMPTS
        )
        assert OperationState(operation.state) is OperationState.FAILED
        await check_undone(lab, subject, operation, "create_vm of web failed (simulated) (given up after 5 attempts)")
        assert (await named_steps(lab, operation))["create:web"].attempts == MAX_ATTEMPTS + 1  # and once to undo it


async def test_attempts_that_take_long_are_not_made_for_minutes(stage: Stage) -> None:
    """Each takes 15 s: the one after the third would begin later than half a minute after the first had failed."""
    scenario = BY_NAME["slice.deploy"]
    async with stage(scenario) as (lab, subject):
        web = await target(lab, subject, "boot:web")
        lab.world.faults.fail("start_vm", vm=web, failure=Failure.RETRYABLE, times=None)
        lab.stack.pauses.attempt_s = 15
        operation = await scenario.open(lab, subject)
        assert await lab.stack.ended(operation.id) is OperationState.FAILED
        ended, _ = await lab.stack.operation(operation.id)
        await check_undone(lab, subject, ended, "start_vm of web failed (simulated) (given up after 3 attempts)")
        assert (await named_steps(lab, operation))["boot:web"].attempts == 3 + 1  # and once to undo it


async def test_nothing_is_repeated_in_a_deployment_that_has_failed(stage: Stage) -> None:
    scenario = BY_NAME["slice.deploy"]
    async with stage(scenario) as (lab, subject):
        lab.stack.pauses.hold = True
        lab.world.faults.fail("start_vm", vm="db", failure=Failure.RETRYABLE)
        gate = lab.world.faults.block("create_vm", vm=await target(lab, subject, "create:web"))
        operation = await scenario.open(lab, subject)
        await gate.reached()
        await lab.stack.pauses.reached()
        steps = await named_steps(lab, operation)
        assert steps["boot:db"].message == "Trying again (attempt 2 of at most 5): start_vm of db failed (simulated)"
        lab.world.faults.fail("start_vm", vm="web", failure=Failure.FATAL)
        gate.release()
        assert await lab.stack.ended(operation.id) is OperationState.FAILED  # though that pause is never released
        ended, _ = await lab.stack.operation(operation.id)
        await check_undone(lab, subject, ended, "start_vm of db failed (simulated) (given up after 1 attempt)")


@pytest.mark.parametrize(("name", "step"), UNDONE)
async def test_what_cannot_be_undone_is_stuck_and_healed_later(stage: Stage, name: str, step: str) -> None:
    scenario = BY_NAME[name]
    async with stage(scenario) as (lab, subject):
        call = UNDO_CALLS[scenario.steps[step]]
        lab.world.faults.fail(call, vm=await target(lab, subject, step), failure=Failure.FATAL)
        last = next(reversed(scenario.steps))
        operation = await ask_and_fail(lab, scenario, subject, last, moment=Moment.AFTER)
        assert OperationState(operation.state) is OperationState.STUCK
        assert f"cannot work (simulated) Not undone yet: {call} of " in operation.error
        assert (await named_steps(lab, operation))[step].state == "undo_failed"
        async with lab.stack.uows.read() as uow:
            assert await uow.operations.stuck(lab.clock(), after_id=0, limit=2) == [operation.id]
            assert await uow.operations.stuck(lab.clock(), after_id=operation.id, limit=2) == []
        assert (await read_rows(lab)).reservations != []  # for what may still be there
        await check_held(lab, subject, operation)

        assert (await lab.stack.round())["stuck_operations"] == 0  # not yet: it has only just tried
        await lab.stack.settle()
        assert (await lab.stack.operation(operation.id))[0].state == "stuck"
        lab.clock.turn(31)
        assert (await lab.stack.round())["stuck_operations"] == 1
        assert await lab.stack.ended(operation.id) is OperationState.FAILED
        healed, _ = await lab.stack.operation(operation.id)
        assert "Not undone yet" not in healed.error
        await check_undone(lab, subject, healed, "cannot work (simulated)")


async def check_held(lab: Lab, subject: Subject, operation: Operation) -> None:
    """Nobody builds on what may still be there, and the events say what the rows say."""
    if subject.slice_id is not None:
        row = await lab.slice(subject.slice_id)
        assert (row.operation_id, row.error) == (operation.id, operation.error)
        told = [event for event in (await read_rows(lab)).events if event.type == "slice.state"]
        assert told[-1].data == {"state": row.state, "error": row.error}
        with pytest.raises(ParcelaError) as refused:
            await BY_NAME["slice.deploy"].open(lab, subject)
    else:
        assert (await lab.vm(subject.need_vm())).operation_id == operation.id
        with pytest.raises(ParcelaError) as refused:
            await act_on_vm(lab, subject.need_vm(), Action.START)
    assert refused.value.kind == "conflict"


@pytest.mark.parametrize(("name", "step"), OTHERS)
async def test_a_failed_operation_shows_it_and_can_be_repeated(stage: Stage, name: str, step: str) -> None:
    scenario = BY_NAME[name]
    async with stage(scenario) as (lab, subject):
        operation = await ask_and_fail(lab, scenario, subject, step)
        assert OperationState(operation.state) is OperationState.FAILED
        assert "cannot work (simulated)" in operation.error
        await check_shown(lab, scenario, subject, step, operation)
        if name == "vm.destroy" and step.startswith("segment"):
            assert await states(lab, subject) == {}  # the VM is gone; what is left of the network goes with the sweep
        else:
            await lab.stack.round()
            again = await scenario.open(lab, subject)
            assert await lab.stack.ended(again.id) is OperationState.SUCCEEDED
            await check_outcome(lab, scenario, subject)
        await lab.stack.round()
        await check_consistent(lab)


async def check_shown(lab: Lab, scenario: Scenario, subject: Subject, step: str, operation: Operation) -> None:
    """The VM it failed on shows it; the slice is degraded (or could not be destroyed)."""
    rows = await read_rows(lab)
    check_reservations(rows)
    about = step.split(":", 1)[1]
    broken = [vm for vm in rows.vms if vm.name == about]
    if scenario.steps[step] not in {"ensure_image", "ensure_segment", "remove_segment", "remove_nat"}:
        # The operation on a slice says which of its VMs it was.
        told = operation.error.removeprefix(f"{about}: ").removesuffix(" (1 of 2 VMs failed)")
        again = " It is tried again by itself 30 seconds after that." if scenario.name == "vm.destroy" else ""
        assert [(vm.state, vm.error) for vm in broken] == [("error", told + again)]
        assert (told != operation.error) == (len({step.split(":")[1] for step in scenario.steps} & {"web", "db"}) == 2)
    if subject.slice_id is not None:
        row = await lab.slice(subject.slice_id)
        assert row.state == ("error" if scenario.is_destruction else "degraded")
        assert row.operation_id is None


def test_every_scenario_is_in_one_of_the_two() -> None:
    assert {name for name, _ in DEPLOYMENTS + OTHERS} == {scenario.name for scenario in SCENARIOS}
