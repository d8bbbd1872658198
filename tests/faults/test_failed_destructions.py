"""A destruction that failed is asked for again by itself, with growing pauses, until nothing is left."""

import asyncio

import pytest

from parcela.core.lifecycle import Action, OperationState
from parcela.hypervisors.simulated import Failure, Moment
from parcela.models import Operation
from tests.faults.conftest import Stage
from tests.faults.scenarios import BY_NAME, CALLS, Subject, act_on_vm, destroy_slice, destroy_vm, kill_points, target
from tests.support.checks import check_consistent, read_rows
from tests.support.lab import Lab, make_running_slice, make_running_vm

pytestmark = pytest.mark.anyio
PAUSES_S = [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
TOLD = ["30 seconds", "1 minute", "2 minutes", "4 minutes", "8 minutes", "16 minutes", "32 minutes", "60 minutes"]
STEPS = [(name, step) for name in ("slice.destroy", "vm.destroy") for step in BY_NAME[name].steps]
REMOVALS = [(name, step) for name, step in STEPS if step.startswith("remove")]


async def failing(lab: Lab, name: str, subject: Subject, step: str, *, times: int | None = 1) -> Operation:
    """A destruction of which one step has failed for good."""
    call = CALLS[BY_NAME[name].steps[step]]
    victim = await target(lab, subject, step)
    lab.world.faults.fail(call, vm=victim, failure=Failure.FATAL, times=times)
    operation = await BY_NAME[name].open(lab, subject)
    assert await lab.stack.ended(operation.id) is OperationState.FAILED
    return operation


async def again(lab: Lab) -> int:
    """One round of the reconcilers, and what follows from it; how many destructions it asked for."""
    repairs = (await lab.stack.round())["failed_destructions"]
    await lab.stack.settle()
    return repairs


async def destructions(lab: Lab) -> list[Operation]:
    return [row for row in (await read_rows(lab)).operations if row.kind.endswith(".destroy")]


async def said(lab: Lab, subject: Subject) -> str:
    """What the slice or VM tells its owner."""
    if subject.vm_id is not None:
        return (await lab.vm(subject.vm_id)).error
    return (await lab.slice(subject.need_slice())).error


async def is_gone(lab: Lab, subject: Subject) -> bool:
    if subject.vm_id is not None:
        return (await lab.vm(subject.vm_id)).state == "deleted"
    return (await lab.slice(subject.need_slice())).state == "destroyed"


@pytest.mark.parametrize(("name", "step"), STEPS)
async def test_it_is_asked_for_again_after_half_a_minute(stage: Stage, name: str, step: str) -> None:
    async with stage(BY_NAME[name]) as (lab, subject):
        first = await failing(lab, name, subject, step)
        if name == "vm.destroy" and step.startswith("segment"):
            assert await is_gone(lab, subject)  # what is left of the network goes with the sweep
            lab.clock.turn(31)
            assert await again(lab) == 0
            return
        ended, _ = await lab.stack.operation(first.id)
        assert (await said(lab, subject)).endswith(" It is tried again by itself 30 seconds after that.")
        assert await again(lab) == 0
        lab.clock.turn(29)
        assert await again(lab) == 0
        lab.clock.turn(1)
        assert await again(lab) == 1
        assert await is_gone(lab, subject)
        _, second = await destructions(lab)
        assert (second.kind, second.state, second.requested_by, second.owner_id) == (
            name,
            "succeeded",
            None,
            ended.owner_id,
        )
        await lab.stack.round()
        await check_consistent(lab)
        lab.clock.turn(7200)
        assert await again(lab) == 0


@pytest.mark.parametrize(("name", "step"), [("slice.destroy", "remove:web"), ("vm.destroy", "remove:alone")])
async def test_pauses_grow_and_end_at_an_hour(stage: Stage, name: str, step: str) -> None:
    async with stage(BY_NAME[name]) as (lab, subject):
        await failing(lab, name, subject, step, times=None)
        for number, pause_s in enumerate(PAUSES_S, start=1):
            assert f"by itself {TOLD[min(number, len(TOLD)) - 1]} after that." in await said(lab, subject)
            lab.clock.turn(pause_s - 1)
            assert await again(lab) == 0
            assert len(await destructions(lab)) == number
            lab.clock.turn(1)
            assert await again(lab) == 1
        lab.world.faults.clear()
        lab.clock.turn(3600)
        assert await again(lab) == 1
        assert await is_gone(lab, subject)
        await lab.stack.round()
        await check_consistent(lab)


async def test_the_event_tells_it(faulty: Lab) -> None:
    slice_id = await make_running_slice(faulty)
    await failing(faulty, "slice.destroy", Subject(slice_id), "remove:db")
    told = [event.data for event in (await read_rows(faulty)).events if event.type == "slice.state"][-1]
    assert (told["state"], told["error"]) == ("error", (await faulty.slice(slice_id)).error)
    assert told["error"].startswith("db: remove_vm of db cannot work (simulated)")


async def test_a_long_reason_leaves_room_for_what_comes(faulty: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parcela.workers.executor._told", lambda _steps, _errors: "x" * 3000)
    slice_id = await make_running_slice(faulty)
    await failing(faulty, "slice.destroy", Subject(slice_id), "remove:db")
    error = (await faulty.slice(slice_id)).error
    assert (len(error), error.endswith("30 seconds after that.")) == (1000, True)


async def test_two_rounds_at_once_ask_once(faulty: Lab) -> None:
    slice_id = await make_running_slice(faulty)
    await failing(faulty, "slice.destroy", Subject(slice_id), "remove:web")
    faulty.clock.turn(31)
    gate = faulty.world.faults.block("remove_vm")
    asked = await asyncio.gather(faulty.stack.round(), faulty.stack.round())
    await gate.reached()
    assert (await faulty.stack.round())["failed_destructions"] == 0
    assert sum(repairs["failed_destructions"] for repairs in asked) >= 1
    assert len(await destructions(faulty)) == 2
    gate.release()
    await faulty.stack.settle()
    assert (await faulty.slice(slice_id)).state == "destroyed"


@pytest.mark.parametrize(("name", "step"), REMOVALS)
@pytest.mark.parametrize("moment", Moment)
async def test_a_kill_while_it_is_tried_again(stage: Stage, name: str, step: str, moment: Moment) -> None:
    assert ("remove_vm", moment) in kill_points("remove_vm")
    async with stage(BY_NAME[name]) as (lab, subject):
        await failing(lab, name, subject, step)
        lab.clock.turn(31)
        gate = lab.world.faults.block("remove_vm", vm=await target(lab, subject, step), moment=moment)
        assert (await lab.stack.round())["failed_destructions"] == 1
        await gate.reached()
        await lab.restart()
        assert await is_gone(lab, subject)
        assert len(await destructions(lab)) == 2
        await lab.stack.round()
        await check_consistent(lab)


async def test_it_goes_on_after_a_restart_that_long_after(faulty: Lab) -> None:
    vm_id = await make_running_vm(faulty)
    await failing(faulty, "vm.destroy", Subject(vm_id=vm_id), "remove:alone")
    await faulty.restart()  # half a minute later: its first round asks
    assert (await faulty.vm(vm_id)).state == "deleted"


async def test_what_the_owner_asked_for_since_counts(faulty: Lab) -> None:
    vm_id = await make_running_vm(faulty)
    await failing(faulty, "vm.destroy", Subject(vm_id=vm_id), "remove:alone")
    await act_on_vm(faulty, vm_id, Action.START)
    await faulty.stack.settle()
    faulty.clock.turn(7200)
    assert await again(faulty) == 0
    assert (await faulty.vm(vm_id)).state == "running"


async def test_the_owner_need_not_wait(faulty: Lab) -> None:
    slice_id, vm_id = await make_running_slice(faulty), await make_running_vm(faulty)
    await failing(faulty, "slice.destroy", Subject(slice_id), "remove:web")
    await failing(faulty, "vm.destroy", Subject(vm_id=vm_id), "remove:alone")
    await destroy_slice(faulty, slice_id)
    await destroy_vm(faulty, vm_id)
    await faulty.stack.settle()
    assert (await faulty.slice(slice_id)).state == "destroyed"
    assert (await faulty.vm(vm_id)).state == "deleted"
    faulty.clock.turn(7200)
    assert await again(faulty) == 0


async def test_a_failed_deployment_is_not_destroyed(stage: Stage) -> None:
    async with stage(BY_NAME["slice.deploy"]) as (lab, subject):
        lab.world.faults.fail("create_vm", vm=await target(lab, subject, "create:web"), failure=Failure.FATAL)
        operation = await BY_NAME["slice.deploy"].open(lab, subject)
        assert await lab.stack.ended(operation.id) is OperationState.FAILED
        lab.clock.turn(7200)
        assert await again(lab) == 0
        assert (await lab.slice(subject.need_slice())).state == "error"


async def test_a_slice_past_its_end_keeps_to_the_pauses(faulty: Lab) -> None:
    slice_id = await make_running_slice(faulty, expires_in_s=60)
    faulty.world.faults.fail("remove_vm", failure=Failure.FATAL, times=None)
    faulty.clock.turn(61)
    for _ in range(3):
        await faulty.stack.round()
        await faulty.stack.settle()
    assert len(await destructions(faulty)) == 1
    faulty.world.faults.clear()
    faulty.clock.turn(31)
    await faulty.stack.round()
    await faulty.stack.settle()
    assert (await faulty.slice(slice_id)).state == "destroyed"
    told = [event.slice_id for event in (await read_rows(faulty)).events if event.type == "slice.expired"]
    assert told == [slice_id]
