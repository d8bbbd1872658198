"""Cancelling and repeating operations."""

from collections.abc import Callable

import pytest

from parcela.core.errors import ParcelaError
from parcela.core.lifecycle import Action, OperationState
from parcela.hypervisors.simulated import Failure, Moment
from parcela.models import Operation
from tests.faults.conftest import Stage
from tests.faults.scenarios import (
    BY_NAME,
    CALLS,
    WAITS_READY,
    act_on_slice,
    check_outcome,
    destroy_slice,
    named_steps,
    states,
    target,
)
from tests.support.checks import check_consistent
from tests.support.furnish import ALICE, BOB
from tests.support.lab import Lab, make_running_slice, make_running_vm

pytestmark = pytest.mark.anyio
DEPLOY = BY_NAME["slice.deploy"]


async def cancel(lab: Lab, operation: Operation) -> None:
    """Ask, and wait until the worker knows."""
    async with lab.stack.uows.write() as uow:
        asked = await lab.stack.services.operations.cancel(uow, ALICE, operation.id)
        await uow.commit()
    assert asked.cancel_requested
    known = lab.stack.executor._cancelled.get(operation.id)
    if known is not None:
        await known.wait()


async def retry(lab: Lab, operation: Operation) -> Operation:
    async with lab.stack.uows.write() as uow:
        again = await lab.stack.services.retries.retry(uow, ALICE, operation.id)
        await uow.commit()
    return again


@pytest.mark.parametrize("moment", [Moment.BEFORE, Moment.AFTER])
@pytest.mark.parametrize("step", DEPLOY.steps)
async def test_a_deployment_is_cancelled_at_each_step(stage: Stage, step: str, moment: Moment) -> None:
    async with stage(DEPLOY) as (lab, subject):
        gate = lab.world.faults.block(CALLS[DEPLOY.steps[step]], vm=await target(lab, subject, step), moment=moment)
        operation = await DEPLOY.open(lab, subject)
        await gate.reached()
        held = (await named_steps(lab, operation))[step]
        await lab.stack.quiet_but(operation.id, held.key)
        await cancel(lab, operation)
        gate.release()
        ended = await lab.stack.ended(operation.id)
        if step.startswith("boot"):
            assert ended is OperationState.SUCCEEDED  # it was the last one under way: there was nothing left to cancel
            await check_outcome(lab, DEPLOY, subject)
            await check_consistent(lab)
            return
        assert ended is OperationState.CANCELLED
        row = await lab.slice(subject.need_slice())
        assert (row.state, row.error) == ("draft", "Cancelled.")
        rows = await check_consistent(lab)
        assert rows.reservations == []
        assert (lab.world.host("h1").vms, lab.world.host("h1").segments) == ({}, {})
        again = await retry(lab, operation)
        assert await lab.stack.ended(again.id) is OperationState.SUCCEEDED
        await check_outcome(lab, DEPLOY, subject)
        await check_consistent(lab)


@pytest.mark.parametrize("name", ["slice.deploy", "vm.deploy", "slice.start", "vm.reboot"])
async def test_a_guest_that_hangs_does_not_keep_its_owner_waiting(stage: Stage, name: str) -> None:
    scenario = BY_NAME[name]
    boots = [step for step, kind in scenario.steps.items() if kind in WAITS_READY]
    async with stage(scenario) as (lab, subject):
        gates = [lab.world.faults.block("wait_ready", vm=await target(lab, subject, step)) for step in boots]
        operation = await scenario.open(lab, subject)
        for gate in gates:
            await gate.reached()
        await cancel(lab, operation)
        ended = await lab.stack.ended(operation.id)  # though no gate has been opened
        rows = await check_consistent(lab)
        if name.endswith("deploy"):
            assert ended is OperationState.CANCELLED
            assert rows.reservations == []
            assert (lab.world.host("h1").vms, lab.world.host("h1").segments) == ({}, {})
        else:  # it has had its effect, which is not taken back
            assert ended is OperationState.SUCCEEDED
            await check_outcome(lab, scenario, subject)


async def test_a_deployment_that_waits_for_its_host_can_be_cancelled(stage: Stage) -> None:
    async with stage(DEPLOY) as (lab, subject):
        lab.stack.pauses.hold = True
        lab.world.disconnect_host("h1")
        operation = await DEPLOY.open(lab, subject)
        await lab.stack.pauses.reached()
        await cancel(lab, operation)
        # Segments may be there, for all that is known: it waits for the host to look, now on the way back.
        await lab.stack.pauses.reached()
        lab.world.reconnect_host("h1")
        await lab.stack.pauses.release()
        assert await lab.stack.ended(operation.id) is OperationState.CANCELLED
        rows = await check_consistent(lab)
        assert rows.reservations == []


@pytest.mark.parametrize("name", ["slice.start", "slice.stop", "slice.suspend", "slice.reset", "vm.reboot"])
async def test_an_operation_that_waits_for_its_host_can_be_cancelled(stage: Stage, name: str) -> None:
    scenario = BY_NAME[name]
    async with stage(scenario) as (lab, subject):
        lab.stack.pauses.hold = True
        lab.world.disconnect_host("h1")
        operation = await scenario.open(lab, subject)
        waiting = len([step for step in (await named_steps(lab, operation)).values() if not step.depends_on])
        await lab.stack.pauses.reached(waiting)
        await cancel(lab, operation)
        assert await lab.stack.ended(operation.id) is OperationState.CANCELLED  # at once: the host is still away
        await check_consistent(lab)
        touched = {step.split(":")[1] for step in scenario.steps}
        for vm in (await lab.vms(subject.need_slice())).values():
            assert vm.name not in touched or (vm.state, vm.error) == ("error", "Cancelled while it was waiting.")
        assert (await lab.slice(subject.need_slice())).state == "degraded"

        lab.world.reconnect_host("h1")
        await lab.stack.pauses.release()
        await lab.stack.round()
        again = await retry(lab, operation)
        assert await lab.stack.ended(again.id) is OperationState.SUCCEEDED
        await check_outcome(lab, scenario, subject)
        await check_consistent(lab)


async def test_what_is_under_way_ends_and_the_rest_is_left(stage: Stage) -> None:
    scenario = BY_NAME["slice.reset"]
    async with stage(scenario) as (lab, subject):
        gate = lab.world.faults.block("power_off", vm=await target(lab, subject, "off:web"))
        operation = await scenario.open(lab, subject)
        await gate.reached()
        held = (await named_steps(lab, operation))["off:web"]
        await lab.stack.quiet_but(operation.id, held.key)
        await cancel(lab, operation)
        gate.release()
        assert await lab.stack.ended(operation.id) is OperationState.CANCELLED
        steps = {key: step.state for key, step in (await named_steps(lab, operation)).items()}
        left = {"disk:web": "skipped", "boot:web": "skipped"}
        assert steps == dict.fromkeys(scenario.steps, "done") | left
        assert await states(lab, subject) == {"web": "stopped", "db": "running"}
        row = await lab.slice(subject.need_slice())
        assert (row.state, row.error) == ("running", "Cancelled.")  # what was not done is no longer wanted
        await check_consistent(lab)


async def test_a_cancel_request_that_comes_while_nobody_works_is_kept(stage: Stage) -> None:
    scenario = BY_NAME["slice.reset"]
    async with stage(scenario) as (lab, subject):
        gate = lab.world.faults.block("reset_disk", vm=await target(lab, subject, "disk:web"), moment=Moment.AFTER)
        operation = await scenario.open(lab, subject)
        await gate.reached()
        held = (await named_steps(lab, operation))["disk:web"]
        await lab.stack.quiet_but(operation.id, held.key)
        async with lab.stack.uows.write() as uow:
            await uow.operations.request_cancel(operation.id)
            await uow.commit()
        await lab.restart()
        assert await lab.stack.ended(operation.id) is OperationState.CANCELLED
        await check_consistent(lab)
        steps = {key: step.state for key, step in (await named_steps(lab, operation)).items()}
        assert steps == dict.fromkeys(scenario.steps, "done") | {"disk:web": "failed", "boot:web": "skipped"}
        web = (await lab.vms(subject.need_slice()))["web"]
        assert (web.state, web.error) == ("error", "Cancelled while it was under way.")


async def test_what_cannot_be_cancelled(faulty: Lab) -> None:
    lab = faulty
    slice_id = await make_running_slice(lab, "single")
    async with lab.stack.uows.read() as uow:
        done = (await uow.operations.all())[-1]
    gate = lab.world.faults.block("remove_vm")
    going = await destroy_slice(lab, slice_id)
    await gate.reached()
    for operation, caller, code in (
        (done, ALICE, "operation_ended"),
        (going, ALICE, "operation_not_cancellable"),
        (going, BOB, "operation_not_found"),
    ):
        async with lab.stack.uows.write() as uow:
            with pytest.raises(ParcelaError) as refused:
                await lab.stack.services.operations.cancel(uow, caller, operation.id)
        assert refused.value.code == code
    async with lab.stack.uows.write() as uow:
        with pytest.raises(ParcelaError) as refused:
            await lab.stack.services.operations.cancel(uow, ALICE, going.id, slice_id=slice_id + 1)
    assert refused.value.code == "operation_not_found", "it belongs to another slice than the one named"
    gate.release()
    assert await lab.stack.ended(going.id) is OperationState.SUCCEEDED


@pytest.mark.parametrize(
    "name",
    ["slice.deploy", "slice.deploy paused", "slice.stop", "slice.destroy", "vm.deploy", "vm.start", "vm.destroy"],
)
async def test_a_failed_operation_is_repeated(stage: Stage, name: str) -> None:
    scenario = BY_NAME[name]
    async with stage(scenario) as (lab, subject):
        step, kind = next((step, kind) for step, kind in scenario.steps.items() if "vm" in kind)
        lab.world.faults.fail(CALLS[kind], vm=await target(lab, subject, step), failure=Failure.FATAL)
        operation = await scenario.open(lab, subject)
        assert await lab.stack.ended(operation.id) is OperationState.FAILED
        again = await retry(lab, operation)
        assert again.id != operation.id
        assert await lab.stack.ended(again.id) is OperationState.SUCCEEDED
        await check_outcome(lab, scenario, subject)
        await check_consistent(lab)


async def test_a_stuck_operation_is_taken_up_where_it_is(stage: Stage) -> None:
    async with stage(DEPLOY) as (lab, subject):
        lab.world.faults.fail("start_vm", vm="web", failure=Failure.FATAL)
        lab.world.faults.fail("remove_vm", vm="db", failure=Failure.FATAL)
        operation = await DEPLOY.open(lab, subject)
        assert await lab.stack.ended(operation.id) is OperationState.STUCK
        assert (await retry(lab, operation)).id == operation.id
        assert await lab.stack.ended(operation.id) is OperationState.FAILED
        await check_consistent(lab)


async def test_what_cannot_be_repeated(faulty: Lab) -> None:
    slice_id = await make_running_slice(faulty, "single")
    succeeded = await act_on_slice(faulty, slice_id, Action.STOP)
    await faulty.stack.settle()
    with pytest.raises(ParcelaError) as refused:
        await retry(faulty, succeeded)
    assert refused.value.code == "operation_not_failed"


async def test_a_half_destroyed_slice_cannot_be_deployed(stage: Stage) -> None:
    scenario = BY_NAME["slice.destroy"]
    failing: dict[str, Callable[[Lab], None]] = {
        "a VM": lambda lab: lab.world.faults.fail("remove_vm", vm="web", failure=Failure.FATAL),
        "a network": lambda lab: lab.world.faults.fail("remove_segment", failure=Failure.FATAL),
    }
    for fail in failing.values():
        async with stage(scenario) as (lab, subject):
            fail(lab)
            operation = await scenario.open(lab, subject)
            assert await lab.stack.ended(operation.id) is OperationState.FAILED
            with pytest.raises(ParcelaError) as refused:
                await DEPLOY.open(lab, subject)
            assert refused.value.code == "slice_half_destroyed"
            again = await scenario.open(lab, subject)
            assert await lab.stack.ended(again.id) is OperationState.SUCCEEDED
            await lab.stack.round()
            await check_consistent(lab)


async def test_a_vm_that_is_destroyed_twice_is_gone(faulty: Lab) -> None:
    vm_id = await make_running_vm(faulty)
    scenario = BY_NAME["vm.destroy"]
    subject = type(await scenario.before(faulty))(vm_id=vm_id)
    operation = await scenario.open(faulty, subject)
    assert await faulty.stack.ended(operation.id) is OperationState.SUCCEEDED
    with pytest.raises(ParcelaError) as refused:
        await scenario.open(faulty, subject)
    assert refused.value.kind == "not_found"
