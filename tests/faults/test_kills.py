"""The control plane is killed at every step of every operation, before, in the middle of and after its effect.

Another one takes over on the same database. Whatever the moment was: the operation ends as if nothing had happened,
each side effect exists once, nothing is left over, and rows, reservations, events and world agree.
"""

from collections import Counter

import pytest

from parcela.core.lifecycle import OperationState
from parcela.hypervisors.simulated import Moment
from tests.faults.conftest import Stage
from tests.faults.scenarios import BY_NAME, EVERY_STEP, check_outcome, kill_points, named_steps, target
from tests.faults.undisturbed import Undisturbed, about
from tests.support.checks import check_consistent

pytestmark = pytest.mark.anyio
KILLS = [
    pytest.param(name, step, call, moment, id=f"{name}-{step}-{call}-{moment}")
    for name, step in EVERY_STEP
    for call, moment in kill_points(BY_NAME[name].steps[step])
]


@pytest.mark.parametrize(("name", "step", "call", "moment"), KILLS)
async def test_a_kill_in_a_step(
    stage: Stage, undisturbed: Undisturbed, name: str, step: str, call: str, moment: Moment
) -> None:
    scenario = BY_NAME[name]
    expected = await undisturbed(scenario)
    async with stage(scenario) as (lab, subject):
        before = Counter(lab.world.effects)
        gate = lab.world.faults.block(call, vm=await target(lab, subject, step), moment=moment)
        operation = await scenario.open(lab, subject)
        await gate.reached()
        held = (await named_steps(lab, operation))[step]
        await lab.stack.quiet_but(operation.id, held.key)  # so that the rest does not depend on who was faster
        await lab.restart()
        assert await lab.stack.ended(operation.id) is OperationState.SUCCEEDED
        await check_outcome(lab, scenario, subject)
        rows = await check_consistent(lab)
        assert about(lab, before, scenario) == expected
        again = [row.key for row in rows.steps if row.operation_id == operation.id and row.attempts > 1]
        assert again == [held.key]
