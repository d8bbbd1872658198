"""An operation as people see it: what is being done, how far it is, what went wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from parcela.core.lifecycle import OPERATION_ACTIVE, STEP_ENDED, OperationState, StepState
from parcela.models import Operation, OperationStep
from parcela.services.allowed_compute import CANCEL, RETRY
from parcela.web.i18n.catalogue import Translator

FAILED_STEPS = frozenset({StepState.FAILED, StepState.UNDO_FAILED})


@dataclass(frozen=True, slots=True)
class StepView:
    """A step; ``message`` is the raw text of the host, "" when there is none."""

    label: str
    state: StepState
    message: str


@dataclass(frozen=True, slots=True)
class OperationView:
    """An operation with its steps.

    Attributes:
        title: what is being done, in the reader's language.
        ended_steps: how many steps need nothing more.
        is_active: whether something still happens.
        can_cancel: whether the reader may ask it to stop.
        can_retry: whether the reader may do it again.
        waits: whether it is a destruction that waits for something else to end.
    """

    id: int
    title: str
    state: OperationState
    error: str
    steps: tuple[StepView, ...]
    ended_steps: int
    is_active: bool
    can_cancel: bool
    can_retry: bool
    cancel_requested: bool
    waits: bool

    @property
    def current(self) -> StepView | None:
        """The first step that is under way."""
        return next((s for s in self.steps if s.state in {StepState.RUNNING, StepState.UNDOING}), None)


def view_operation(
    t: Translator,
    operation: Operation,
    steps: Sequence[OperationStep],
    allowed: Sequence[str],
    names: tuple[Mapping[int, str], Mapping[int, str]],
) -> OperationView:
    """Put an operation into words.

    Args:
        t: the reader's language.
        operation: row.
        steps: its rows, in plan order.
        allowed: what the reader may do with it now.
        names: of the VMs and of the networks that the steps are about, by id.
    """
    state = OperationState(operation.state)
    active = state in OPERATION_ACTIVE or state is OperationState.STUCK
    destroys = operation.kind.endswith(".destroy")
    vm_names, segment_names = names
    return OperationView(
        id=operation.id,
        title=t.either(f"operation.{operation.kind}", "operation.other"),
        state=state,
        error=operation.error,
        steps=tuple(_step(t, step, vm_names, segment_names) for step in steps),
        ended_steps=sum(StepState(step.state) in STEP_ENDED for step in steps),
        is_active=active,
        can_cancel=CANCEL in allowed,
        can_retry=RETRY in allowed,
        cancel_requested=operation.cancel_requested and active,
        waits=state is OperationState.PENDING and destroys and not steps,
    )


def _step(
    t: Translator, step: OperationStep, vm_names: Mapping[int, str], segment_names: Mapping[int, str]
) -> StepView:
    name = vm_names.get(step.vm_id or 0) or segment_names.get(step.segment_id or 0) or ""
    key = f"step.{step.kind}"
    # What is gone has no name any more; the label was written when it had one.
    needs_name = step.vm_id is not None or step.segment_id is not None
    label = t(key, name=name) if key in t and (name or not needs_name) else step.label
    return StepView(label, StepState(step.state), step.message)
