"""Something is destroyed while an operation still works on it: that one ends, and then the destruction goes on."""

from unittest.mock import AsyncMock

import pytest

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.core.lifecycle import Action, OperationState
from parcela.hypervisors.simulated import Failure, Gate, Moment
from parcela.models import Operation
from parcela.repositories.operations import OperationRepository
from tests.faults.conftest import Stage
from tests.faults.scenarios import (
    BY_NAME,
    CALLS,
    EVERY_STEP,
    SCENARIOS,
    Scenario,
    Subject,
    act_on_slice,
    act_on_vm,
    destroy_slice,
    destroy_vm,
    named_steps,
    target,
)
from tests.support.checks import check_consistent, read_rows
from tests.support.furnish import BOB
from tests.support.lab import Lab, make_running_slice

pytestmark = pytest.mark.anyio
IN_THE_WAY = [
    (name, step)
    for name, step in EVERY_STEP
    # The VMs of the others are treated alike, side by side: the first one stands for all.
    if not BY_NAME[name].is_destruction
    and (name in {"slice.deploy", "vm.deploy", "slice.reset"} or step == next(iter(BY_NAME[name].steps)))
]
DEPLOY = BY_NAME["slice.deploy"]


async def destroy(lab: Lab, subject: Subject) -> Operation:
    """Destroy the slice, or the VM that stands alone."""
    if subject.slice_id is not None:
        return await destroy_slice(lab, subject.slice_id)
    return await destroy_vm(lab, subject.need_vm())


async def begun(lab: Lab, scenario: Scenario, subject: Subject, step: str) -> tuple[Operation, Gate]:
    """The operation of a scenario, held after the call of one of its steps."""
    call = CALLS[scenario.steps[step]]
    gate = lab.world.faults.block(call, vm=await target(lab, subject, step), moment=Moment.AFTER)
    operation = await scenario.open(lab, subject)
    await gate.reached()
    return operation, gate


async def check_gone(lab: Lab, subject: Subject, destruction: Operation) -> None:
    """It succeeded, and nothing is left."""
    rows = await check_consistent(lab)
    ended = next(row for row in rows.operations if row.id == destruction.id)
    assert (ended.state, ended.error) == ("succeeded", "")
    if subject.slice_id is not None:
        row = await lab.slice(subject.slice_id)
        assert (row.state, row.error) == ("destroyed", "")
    assert {vm.state for vm in rows.vms} == {"deleted"}
    assert rows.reservations == []
    assert (lab.world.host("h1").vms, lab.world.host("h1").segments) == ({}, {})


@pytest.mark.parametrize(("name", "step"), IN_THE_WAY)
async def test_it_is_destroyed_whatever_is_under_way(stage: Stage, name: str, step: str) -> None:
    scenario = BY_NAME[name]
    async with stage(scenario) as (lab, subject):
        operation, gate = await begun(lab, scenario, subject, step)
        destruction = await destroy(lab, subject)
        assert (destruction.kind.endswith(".destroy"), destruction.state) == (True, "pending")
        assert (await destroy(lab, subject)).id == destruction.id, "asked for again, it is the same one"
        if subject.slice_id is not None:
            assert (await lab.slice(subject.slice_id)).state == "destroying"
        await lab.stack.executor._cancelled[operation.id].wait()
        held = (await named_steps(lab, operation))[step].key
        needed = any(held in row.depends_on for row in (await named_steps(lab, operation)).values())
        gate.release()
        assert await lab.stack.ended(destruction.id) is OperationState.SUCCEEDED
        await check_gone(lab, subject, destruction)
        lost, _ = await lab.stack.operation(operation.id)
        what = "VM" if subject.slice_id is None else "slice"
        reason = f"Cancelled, because the {what} is to be destroyed (operation {destruction.id})."
        # Where nothing came after the step that was held, there may have been nothing left to cancel.
        assert (lost.state, lost.error) in {("cancelled", reason), *([] if needed else [("succeeded", "")])}


@pytest.mark.parametrize("name", ["slice.deploy", "vm.deploy"])
async def test_what_began_too_late_to_be_asked_stops_too(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    scenario = BY_NAME[name]
    async with stage(scenario) as (lab, subject):
        step = next(iter(scenario.steps))
        operation, gate = await begun(lab, scenario, subject, step)
        with monkeypatch.context() as patch:
            patch.setattr(OperationRepository, "request_cancel", AsyncMock(return_value=False))
            destruction = await destroy(lab, subject)
        assert (await lab.stack.operation(operation.id))[0].cancel_requested is False
        await lab.stack.executor._cancelled[operation.id].wait()
        gate.release()
        assert await lab.stack.ended(destruction.id) is OperationState.SUCCEEDED
        await check_gone(lab, subject, destruction)
        lost, _ = await lab.stack.operation(operation.id)
        assert (lost.state, f"(operation {destruction.id})." in lost.error) == ("cancelled", True)


@pytest.mark.parametrize("name", [scenario.name for scenario in SCENARIOS if not scenario.is_destruction])
async def test_a_kill_loses_nothing_of_it(stage: Stage, name: str) -> None:
    scenario = BY_NAME[name]
    async with stage(scenario) as (lab, subject):
        step = next(iter(scenario.steps))
        operation, _ = await begun(lab, scenario, subject, step)
        destruction = await destroy(lab, subject)
        await lab.restart()
        assert (await lab.stack.ended(operation.id)) is OperationState.CANCELLED
        await check_gone(lab, subject, destruction)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_kill_at_each_commit_from_the_request_on(stage: Stage, *, after: bool) -> None:
    scenario = BY_NAME["vm.deploy"]
    commit, died = 0, True
    while died:
        commit += 1
        async with stage(scenario) as (lab, subject):
            gate = lab.world.faults.block("create_vm", vm=await target(lab, subject, "create:alone"))
            await scenario.open(lab, subject)
            await gate.reached()
            destruction = await destroy(lab, subject)
            lab.stack.uows.die_at(commit, after=after)
            gate.release()
            await lab.stack.workers.engine.idle()
            died = lab.stack.uows.died.is_set()
            await lab.restart()
            await check_gone(lab, subject, destruction)
    assert commit > 8  # the step that was held, the undoing of three, the two ends, and what begins and ends them


@pytest.mark.parametrize("step", BY_NAME["slice.destroy"].steps)
async def test_a_destruction_that_waited_fails_and_is_repeated_as_any(stage: Stage, step: str) -> None:
    scenario = BY_NAME["slice.reboot"]
    async with stage(scenario) as (lab, subject):
        gate = lab.world.faults.block("reboot", vm=await target(lab, subject, "reboot:web"))
        await scenario.open(lab, subject)
        await gate.reached()
        kind = BY_NAME["slice.destroy"].steps[step]
        victim = await target(lab, subject, step)
        lab.world.faults.fail(CALLS[kind], vm=victim, failure=Failure.RETRYABLE)
        lab.world.faults.fail(CALLS[kind], vm=victim, failure=Failure.FATAL, nth=2)
        destruction = await destroy(lab, subject)
        gate.release()
        assert await lab.stack.ended(destruction.id) is OperationState.FAILED
        assert (await named_steps(lab, destruction))[step].attempts == 2
        assert (await lab.slice(subject.need_slice())).state == "error"
        again = await destroy(lab, subject)
        assert again.id != destruction.id
        assert await lab.stack.ended(again.id) is OperationState.SUCCEEDED
        await lab.stack.round()
        await check_gone(lab, subject, again)


async def test_nobody_runs_a_destruction_that_waits(stage: Stage) -> None:
    async with stage(DEPLOY) as (lab, subject):
        gate = lab.world.faults.block("create_vm")
        await DEPLOY.open(lab, subject)
        await gate.reached()
        destruction = await destroy(lab, subject)
        lab.clock.turn(31)  # the lease of what it waits for has run out: only that may be taken
        assert destruction.id not in await lab.stack.journal.claimable(10)
        assert await lab.stack.journal.claim(destruction.id) is None
        gate.release()
        await lab.stack.workers.engine.idle()  # it was told; no sweep was needed
        await check_gone(lab, subject, destruction)


async def test_it_waits_for_the_operations_on_every_vm(faulty: Lab) -> None:
    slice_id = await make_running_slice(faulty)
    vms = await faulty.vms(slice_id)
    gates = [faulty.world.faults.block("shut_down", vm=vm.uuid) for vm in vms.values()]
    stops = [await act_on_vm(faulty, vm.id, Action.STOP) for vm in vms.values()]
    for gate in gates:
        await gate.reached()
    destruction = await destroy_slice(faulty, slice_id)
    for ask in (act_on_vm(faulty, vms["web"].id, Action.START), act_on_slice(faulty, slice_id, Action.STOP)):
        with pytest.raises(ParcelaError) as refused:
            await ask
        assert refused.value.kind is ErrorKind.CONFLICT
    gates[0].release()
    first = stops[0].id

    async def first_ended() -> bool:
        return (await faulty.stack.operation(first))[0].state == "succeeded"

    await faulty.stack.until(first_ended)
    assert (await faulty.stack.operation(destruction.id))[1] == {}, "one is still in its way"
    assert (await faulty.slice(slice_id)).operation_id is None
    with pytest.raises(ParcelaError) as refused:  # that VM is free now, but its slice is being destroyed
        await act_on_vm(faulty, vms["web"].id, Action.START)
    assert refused.value.code == "busy"
    gates[1].release()
    assert await faulty.stack.ended(destruction.id) is OperationState.SUCCEEDED
    await check_gone(faulty, Subject(slice_id), destruction)


@pytest.mark.parametrize("name", ["slice.deploy", "vm.deploy"])
async def test_it_waits_for_what_cannot_be_undone_yet(stage: Stage, name: str) -> None:
    scenario = BY_NAME[name]
    async with stage(scenario) as (lab, subject):
        step = next(step for step in scenario.steps if step.startswith("create"))
        lab.world.faults.fail("remove_vm", vm=await target(lab, subject, step), failure=Failure.FATAL)
        lab.world.faults.fail("start_vm", failure=Failure.FATAL)
        operation = await scenario.open(lab, subject)
        assert await lab.stack.ended(operation.id) is OperationState.STUCK
        destruction = await destroy(lab, subject)
        assert await lab.stack.ended(destruction.id) is OperationState.PENDING
        lab.clock.turn(31)
        assert (await lab.stack.round())["stuck_operations"] == 1
        assert await lab.stack.ended(destruction.id) is OperationState.SUCCEEDED
        await check_gone(lab, subject, destruction)


async def test_a_slice_that_waits_for_its_host_is_destroyed_when_it_is_back(stage: Stage) -> None:
    async with stage(DEPLOY) as (lab, subject):
        lab.stack.pauses.hold = True
        lab.world.disconnect_host("h1")
        await DEPLOY.open(lab, subject)
        await lab.stack.pauses.reached()
        destruction = await destroy(lab, subject)
        lab.world.reconnect_host("h1")
        await lab.stack.pauses.release()
        assert await lab.stack.ended(destruction.id) is OperationState.SUCCEEDED
        await check_gone(lab, subject, destruction)


async def test_strangers_cancel_nothing(stage: Stage) -> None:
    async with stage(DEPLOY) as (lab, subject):
        gate = lab.world.faults.block("create_vm")
        operation = await DEPLOY.open(lab, subject)
        await gate.reached()
        async with lab.stack.uows.write() as uow:
            with pytest.raises(ParcelaError) as refused:
                await lab.stack.services.slices.destroy(uow, BOB, subject.need_slice())
            await uow.commit()
        assert refused.value.kind is ErrorKind.NOT_FOUND
        assert not any(row.cancel_requested for row in (await read_rows(lab)).operations)
        gate.release()
        assert await lab.stack.ended(operation.id) is OperationState.SUCCEEDED
