"""Steps that run twice, fail for a while, or find their host away: every operation does what it was asked, once."""

from collections import Counter
from dataclasses import replace

import pytest

from parcela.core.lifecycle import OperationState
from parcela.hypervisors.driver import Driver
from parcela.hypervisors.simulated import Failure, Moment
from parcela.services.operations.steps import KINDS, Call, Result, StepInputs
from parcela.workers.executor import MAX_ATTEMPTS
from tests.faults.conftest import Stage
from tests.faults.scenarios import (
    BY_NAME,
    CALLS,
    SCENARIOS,
    check_outcome,
    named_steps,
    target,
)
from tests.faults.undisturbed import Effects, Undisturbed, about
from tests.support.checks import check_consistent

pytestmark = pytest.mark.anyio
NAMES = [scenario.name for scenario in SCENARIOS]


@pytest.mark.parametrize("name", NAMES)
async def test_the_table_knows_every_step(stage: Stage, name: str) -> None:
    scenario = BY_NAME[name]
    async with stage(scenario) as (lab, subject):
        operation = await scenario.open(lab, subject)
        assert operation.kind == scenario.kind
        assert {key: step.kind for key, step in (await named_steps(lab, operation)).items()} == scenario.steps
        assert await lab.stack.ended(operation.id) is OperationState.SUCCEEDED
        await check_outcome(lab, scenario, subject)
        await check_consistent(lab)


def test_the_table_knows_every_kind_of_step() -> None:
    assert {kind for scenario in SCENARIOS for kind in scenario.steps.values()} == set(KINDS)


@pytest.mark.parametrize("name", NAMES)
async def test_every_step_may_run_twice(
    stage: Stage, undisturbed: Undisturbed, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = BY_NAME[name]
    expected = await undisturbed(scenario)
    doubled = {kind: replace(facts, do=_twice(facts.do)) for kind, facts in KINDS.items()}
    monkeypatch.setattr("parcela.workers.executor.KINDS", doubled)
    async with stage(scenario) as (lab, subject):
        before = Counter(lab.world.effects)
        operation = await scenario.open(lab, subject)
        assert await lab.stack.ended(operation.id) is OperationState.SUCCEEDED
        await check_outcome(lab, scenario, subject)
        await check_consistent(lab)
        assert about(lab, before, scenario) == expected


def _twice(call: Call) -> Call:
    async def twice(driver: Driver, inputs: StepInputs) -> Result:
        await call(driver, inputs)
        return await call(driver, inputs)

    return twice


@pytest.mark.parametrize("name", NAMES)
async def test_every_step_may_fail_at_every_moment(stage: Stage, undisturbed: Undisturbed, name: str) -> None:
    scenario = BY_NAME[name]
    expected: Effects = await undisturbed(scenario)
    async with stage(scenario) as (lab, subject):
        for step, kind in scenario.steps.items():
            victim = await target(lab, subject, step)
            for number, moment in enumerate((Moment.BEFORE, Moment.MIDDLE, Moment.AFTER), start=1):
                lab.world.faults.fail(CALLS[kind], vm=victim, nth=number, moment=moment)
        before = Counter(lab.world.effects)
        operation = await scenario.open(lab, subject)
        assert await lab.stack.ended(operation.id) is OperationState.SUCCEEDED
        await check_outcome(lab, scenario, subject)
        await check_consistent(lab)
        assert about(lab, before, scenario) == expected
        steps = await named_steps(lab, operation)
        assert {key: step.attempts for key, step in steps.items()} == dict.fromkeys(scenario.steps, 4)
        assert sorted(lab.stack.pauses.delays) == sorted([0.01, 0.02, 0.04] * len(scenario.steps))


@pytest.mark.parametrize("name", ["vm.deploy", "slice.reset", "slice.destroy"])
async def test_an_unreachable_host_uses_up_no_attempts(stage: Stage, name: str) -> None:
    scenario = BY_NAME[name]
    async with stage(scenario) as (lab, subject):
        for step, kind in scenario.steps.items():
            victim = await target(lab, subject, step)
            lab.world.faults.fail(
                CALLS[kind], vm=victim, failure=Failure.UNREACHABLE, moment=Moment.AFTER, times=MAX_ATTEMPTS + 1
            )
        operation = await scenario.open(lab, subject)
        assert await lab.stack.ended(operation.id) is OperationState.SUCCEEDED
        await check_outcome(lab, scenario, subject)
        await check_consistent(lab)
        steps = await named_steps(lab, operation)
        assert {key: step.attempts for key, step in steps.items()} == dict.fromkeys(scenario.steps, MAX_ATTEMPTS + 2)


@pytest.mark.parametrize("name", NAMES)
async def test_an_operation_waits_for_its_host_and_goes_on(stage: Stage, name: str) -> None:
    """Its host is away from the first moment on, longer than any number of attempts."""
    scenario = BY_NAME[name]
    async with stage(scenario) as (lab, subject):
        lab.stack.pauses.hold = True
        lab.world.disconnect_host("h1")
        operation = await scenario.open(lab, subject)
        await lab.stack.pauses.reached()
        assert (await lab.stack.round())["host_liveness"] == 1
        waiting, _ = await lab.stack.operation(operation.id)
        assert waiting.state == "running"
        told = {step.message for step in (await named_steps(lab, operation)).values() if step.state == "running"}
        assert told == {"Waiting for the host: host h1 does not answer"}
        lab.world.reconnect_host("h1")
        await lab.stack.pauses.release()
        assert await lab.stack.ended(operation.id) is OperationState.SUCCEEDED
        await lab.stack.round()
        await check_outcome(lab, scenario, subject)
        await check_consistent(lab)
