"""The side effects of operations that nothing disturbs, to compare with."""

from collections import Counter
from collections.abc import Awaitable, Callable
from uuid import UUID

from parcela.hypervisors.simulated import Effect
from tests.faults.scenarios import Scenario
from tests.support.checks import effects_of
from tests.support.lab import Lab

Effects = dict[tuple[str, str], int]
"""How often, by (effect, name of the thing)."""
Undisturbed = Callable[[Scenario], Awaitable[Effects]]


def about(lab: Lab, before: Counter[tuple[Effect, UUID | str]], scenario: Scenario) -> Effects:
    """Side effects since ``before`` on what the scenario is about.

    A reset that runs again throws the fresh disk away, too: of those only the difference counts, which is checked with
    everything else.
    """
    reset = {step.split(":")[1] for step, kind in scenario.steps.items() if kind == "reset_disk"}
    effects = effects_of(lab, before, scenario.about)
    return {(e, name): n for (e, name), n in effects.items() if name not in reset or not e.startswith("overlay")}
