"""Fixtures of the fault tests."""

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from parcela.core.lifecycle import OperationState
from tests.faults.scenarios import Scenario, Subject
from tests.faults.undisturbed import Effects, Undisturbed, about
from tests.support.lab import Lab
from tests.support.snapshots import Snapshots

Stage = Callable[[Scenario], AbstractAsyncContextManager[tuple[Lab, Subject]]]


@pytest.fixture
async def stage(snapshots: Snapshots[Subject], tmp_path: Path, anyio_backend: str) -> Stage:
    """Opens an installation in which an operation can be asked for."""
    return lambda scenario: snapshots.open(scenario.before, tmp_path)


@pytest.fixture(scope="session")
def _measured() -> dict[str, Effects]:
    return {}


@pytest.fixture
async def undisturbed(_measured: dict[str, Effects], stage: Stage) -> Undisturbed:
    """Measures a scenario's side effects, once."""

    async def measure(scenario: Scenario) -> Effects:
        if scenario.name not in _measured:
            async with stage(scenario) as (lab, subject):
                before = Counter(lab.world.effects)
                operation = await scenario.open(lab, subject)
                assert await lab.stack.ended(operation.id) is OperationState.SUCCEEDED
                _measured[scenario.name] = about(lab, before, scenario)
        return _measured[scenario.name]

    return measure
