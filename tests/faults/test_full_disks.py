"""The disk of a host is full: VMs that QEMU paused say so, can be stopped, and go on when there is space."""

import pytest

from parcela.core.lifecycle import Action, OperationState
from parcela.core.power import SENTENCES, PowerReason
from parcela.models import Operation
from tests.faults.conftest import Stage
from tests.faults.scenarios import (
    BY_NAME,
    RUNNING,
    Scenario,
    Subject,
    act_on_slice,
    act_on_vm,
    destroy_slice,
    states,
)
from tests.support.checks import check_consistent, read_rows
from tests.support.furnish import ALICE
from tests.support.lab import Lab

pytestmark = pytest.mark.anyio
FULL = SENTENCES[PowerReason.NO_SPACE]
A_SLICE = BY_NAME["slice.stop"]  # begins with a running slice of web and db
assert A_SLICE.before is RUNNING


async def _reasons(lab: Lab, subject: Subject) -> dict[str, tuple[str, str]]:
    return {name: (vm.status_reason, vm.error) for name, vm in (await lab.vms(subject.need_slice())).items()}


async def _slice_state(lab: Lab, subject: Subject) -> str:
    return str((await lab.slice(subject.need_slice())).state)


async def _ended(lab: Lab, operation: Operation) -> Operation:
    await lab.stack.settle()
    return (await lab.stack.operation(operation.id))[0]


async def _web(lab: Lab, subject: Subject) -> int:
    return (await lab.vms(subject.need_slice()))["web"].id


async def test_it_is_noticed_told_once_and_over_when_it_runs_again(stage: Stage) -> None:
    async with stage(A_SLICE) as (lab, subject):
        lab.world.fill_disk("h1")
        for _ in range(3):
            await lab.stack.round()
        assert await states(lab, subject) == {"web": "paused", "db": "paused"}
        assert await _reasons(lab, subject) == {"web": ("no_space", FULL), "db": ("no_space", FULL)}
        assert await _slice_state(lab, subject) == "degraded"
        events = [event for event in (await read_rows(lab)).events if event.type == "vm.io_error"]
        assert [event.data for event in events] == [{"reason": "no_space", "error": FULL}] * 2

        lab.world.free_disk("h1")
        await lab.stack.round()
        assert await states(lab, subject) == {"web": "paused", "db": "paused"}  # that is for somebody to decide
        operation = await act_on_slice(lab, subject.need_slice(), Action.RESUME)
        assert (await _ended(lab, operation)).state == OperationState.SUCCEEDED
        assert await states(lab, subject) == {"web": "running", "db": "running"}
        assert await _reasons(lab, subject) == {"web": ("", ""), "db": ("", "")}
        assert await _slice_state(lab, subject) == "running"
        await check_consistent(lab)


async def test_resuming_while_it_is_full_is_no_success(stage: Stage) -> None:
    async with stage(A_SLICE) as (lab, subject):
        lab.world.fill_disk("h1")
        await lab.stack.round()
        web = await _web(lab, subject)
        for _ in range(2):  # and it can be asked again
            operation = await _ended(lab, await act_on_vm(lab, web, Action.RESUME))
            assert (operation.state, operation.error) == ("failed", f"could not resume VM web: {FULL}")
            vm = await lab.vm(web)
            assert (vm.state, vm.status_reason, vm.error, vm.desired) == ("paused", "no_space", FULL, "running")
            assert await _slice_state(lab, subject) == "degraded"
        lab.world.free_disk("h1")
        assert (await _ended(lab, await act_on_vm(lab, web, Action.RESUME))).state == "succeeded"
        assert (await lab.vm(web)).state == "running"


async def test_one_broken_vm_does_not_keep_the_others_from_going_on(stage: Stage) -> None:
    async with stage(A_SLICE) as (lab, subject):
        lab.world.fill_disk("h1")
        await lab.stack.round()
        lab.world.free_disk("h1")
        lab.world.break_disk((await lab.vm(await _web(lab, subject))).uuid)
        operation = await _ended(lab, await act_on_slice(lab, subject.need_slice(), Action.RESUME))
        sentence = SENTENCES[PowerReason.IO_ERROR]
        assert operation.state == "failed"
        assert operation.error == f"web: could not resume VM web: {sentence} (1 of 2 VMs failed)"
        assert await states(lab, subject) == {"web": "paused", "db": "running"}
        assert await _reasons(lab, subject) == {"web": ("io_error", sentence), "db": ("", "")}
        assert await _slice_state(lab, subject) == "degraded"

        lab.world.mend_disk((await lab.vm(await _web(lab, subject))).uuid)
        async with lab.stack.uows.write() as uow:
            again = await lab.stack.services.retries.retry(uow, ALICE, operation.id)
            await uow.commit()
        assert (await _ended(lab, again)).state == "succeeded"
        assert await states(lab, subject) == {"web": "running", "db": "running"}


@pytest.mark.parametrize("noticed", [True, False])
async def test_stopping_switches_off_what_cannot_hear_the_button(stage: Stage, noticed: bool) -> None:
    async with stage(A_SLICE) as (lab, subject):
        lab.world.break_disk((await lab.vm(await _web(lab, subject))).uuid, PowerReason.NO_SPACE)
        if noticed:
            await lab.stack.round()
        operation = await _ended(lab, await act_on_slice(lab, subject.need_slice(), Action.STOP))
        assert (operation.state, operation.error) == ("succeeded", "")
        assert await states(lab, subject) == {"web": "stopped", "db": "stopped"}
        assert await _reasons(lab, subject) == {"web": ("", ""), "db": ("", "")}
        _, steps = await lab.stack.operation(operation.id)
        assert {(step.result or {})["by_itself"] for step in steps.values()} == {True, False}
        await lab.stack.round()
        assert await _slice_state(lab, subject) == "stopped"


@pytest.mark.parametrize("action", [Action.STOP, Action.RESET])
async def test_every_other_way_out_works_on_a_full_host(stage: Stage, action: Action) -> None:
    """All that frees space must not need space."""
    async with stage(A_SLICE) as (lab, subject):
        lab.world.fill_disk("h1")
        await lab.stack.round()
        operation = await _ended(lab, await act_on_slice(lab, subject.need_slice(), action))
        if action is Action.STOP:
            assert operation.state == "succeeded"
        else:  # the fresh disks are there, and the guests write on them at once
            assert "2 of 2 VMs failed" in operation.error
            assert {
                step.state for key, step in (await lab.stack.operation(operation.id))[1].items() if "disk" in key
            } == {"done"}
        gone = await _ended(lab, await destroy_slice(lab, subject.need_slice()))
        assert gone.state == "succeeded"
        await check_consistent(lab)


async def test_a_start_says_that_the_guest_was_paused(stage: Stage) -> None:
    async with stage(BY_NAME["vm.start"]) as (lab, subject):
        lab.world.fill_disk("h1")
        operation = await _ended(lab, await act_on_vm(lab, subject.need_vm(), Action.START))
        assert (operation.state, operation.error) == ("failed", f"could not boot VM web: {FULL}")
        vm = await lab.vm(subject.need_vm())
        assert (vm.state, vm.status_reason, vm.desired) == ("paused", "no_space", "running")


async def test_a_reboot_says_that_the_guest_was_paused(stage: Stage) -> None:
    async with stage(A_SLICE) as (lab, subject):
        web = await lab.vm(await _web(lab, subject))
        lab.world.break_disk(web.uuid)
        operation = await _ended(lab, await act_on_vm(lab, web.id, Action.REBOOT))
        assert operation.state == "failed"
        assert (await lab.vm(web.id)).status_reason == "io_error"
        lab.world.mend_disk(web.uuid)
        await act_on_vm(lab, web.id, Action.RESUME)
        await lab.stack.settle()
        assert (await lab.vm(web.id)).state == "running"


async def test_a_deployment_on_a_full_host_is_undone_with_the_reason(stage: Stage) -> None:
    scenario: Scenario = BY_NAME["slice.deploy"]
    async with stage(scenario) as (lab, subject):
        lab.world.host("h1").is_full = True
        operation = await _ended(lab, await scenario.open(lab, subject))
        assert operation.state == "failed"
        assert "host h1 has no space left in its VM folder" in operation.error
        assert (lab.world.host("h1").vms, (await check_consistent(lab)).reservations) == ({}, [])
        lab.world.free_disk("h1")
        assert (await _ended(lab, await scenario.open(lab, subject))).state == "succeeded"


@pytest.mark.parametrize("reason", [PowerReason.WATCHDOG, PowerReason.GUEST_CRASHED, PowerReason.BY_HAND])
async def test_other_reasons_of_a_pause_are_shown_too(stage: Stage, reason: PowerReason) -> None:
    async with stage(A_SLICE) as (lab, subject):
        web = await lab.vm(await _web(lab, subject))
        lab.world.pause_vm(web.uuid, reason)
        await lab.stack.round()
        vm = await lab.vm(web.id)
        expected = "" if reason is PowerReason.BY_HAND else SENTENCES[reason]
        assert (vm.state, vm.status_reason, vm.error) == ("paused", reason.value, expected)
        assert await _slice_state(lab, subject) == "degraded"
        assert (await _ended(lab, await act_on_vm(lab, web.id, Action.RESUME))).state == "succeeded"
        vm = await lab.vm(web.id)
        assert (vm.state, vm.status_reason, vm.error) == ("running", "", "")


async def test_a_stop_past_parcela_says_who_did_it(stage: Stage) -> None:
    async with stage(A_SLICE) as (lab, subject):
        web = await lab.vm(await _web(lab, subject))
        lab.world.stop_vm(web.uuid)
        await lab.stack.round()
        vm = await lab.vm(web.id)
        assert (vm.state, vm.status_reason, vm.error) == ("stopped", "by_hand", "")
