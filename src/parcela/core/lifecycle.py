"""States of slices, VMs, operations and steps, and the one table of allowed transitions.

Desired state, observed state and current operation are three things, stored apart (DESIGN 5). The functions here are
pure; changes themselves are compare-and-set in the repositories.
"""

from collections.abc import Mapping
from enum import StrEnum

from parcela.core.errors import ParcelaError, conflict


class SliceState(StrEnum):
    """Where a slice is in its life."""

    DRAFT = "draft"
    DEPLOYING = "deploying"
    RUNNING = "running"
    DEGRADED = "degraded"
    STOPPING = "stopping"
    STOPPED = "stopped"
    STARTING = "starting"
    PAUSED = "paused"
    ERROR = "error"
    DESTROYING = "destroying"
    DESTROYED = "destroyed"


class VmState(StrEnum):
    """What a VM was last seen doing."""

    DEFINED = "defined"  # rows only: nothing on a hypervisor yet
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    STOPPED = "stopped"
    ERROR = "error"
    DELETING = "deleting"
    DELETED = "deleted"


class DesiredState(StrEnum):
    """What the owner wants of a VM."""

    DEFINED = "defined"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    DELETED = "deleted"


class OperationState(StrEnum):
    """Where an operation is."""

    PENDING = "pending"
    RUNNING = "running"
    UNDOING = "undoing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    STUCK = "stuck"  # some effects could not be undone yet: listed, and retried by a reconciler


class StepState(StrEnum):
    """Where a step is."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNDOING = "undoing"
    UNDONE = "undone"
    UNDO_FAILED = "undo_failed"


class CrashPolicy(StrEnum):
    """What a slice wants when the QEMU of one of its VMs dies."""

    ERROR = "error"
    RESTART = "restart"


class HostState(StrEnum):
    """What the administrator wants of a host, or what its liveness says."""

    UP = "up"
    DRAINING = "draining"
    MAINTENANCE = "maintenance"
    DOWN = "down"


class Action(StrEnum):
    """What one may ask of a slice or a VM."""

    DEPLOY = "deploy"
    START = "start"
    STOP = "stop"
    REBOOT = "reboot"
    SUSPEND = "suspend"
    RESUME = "resume"
    RESET = "reset"
    UPDATE = "update"
    DESTROY = "destroy"


S, V = SliceState, VmState

SLICE_LIVE = frozenset({S.RUNNING, S.DEGRADED, S.STOPPED, S.PAUSED})
SLICE_TERMINAL = frozenset({S.DESTROYED})
VM_ON = frozenset({V.RUNNING, V.PAUSED})
VM_TERMINAL = frozenset({V.DELETED})
VM_ON_HOST = frozenset(V) - {V.DEFINED, V.DELETED}
OPERATION_TERMINAL = frozenset({OperationState.SUCCEEDED, OperationState.FAILED, OperationState.CANCELLED})
OPERATION_ACTIVE = frozenset({OperationState.PENDING, OperationState.RUNNING, OperationState.UNDOING})
STEP_ENDED = frozenset({StepState.DONE, StepState.FAILED, StepState.SKIPPED, StepState.UNDONE, StepState.UNDO_FAILED})

SLICE_TRANSITIONS: Mapping[SliceState, frozenset[SliceState]] = {
    S.DRAFT: frozenset({S.DEPLOYING, S.DESTROYING, S.DESTROYED}),
    S.DEPLOYING: frozenset({S.RUNNING, S.PAUSED, S.DEGRADED, S.ERROR, S.DRAFT, S.DESTROYING}),
    S.RUNNING: frozenset({S.STOPPING, S.STARTING, S.DEGRADED, S.STOPPED, S.PAUSED, S.ERROR, S.DESTROYING}),
    S.DEGRADED: frozenset({S.RUNNING, S.STOPPING, S.STARTING, S.STOPPED, S.PAUSED, S.ERROR, S.DESTROYING}),
    S.STOPPING: frozenset({S.STOPPED, S.DEGRADED, S.RUNNING, S.PAUSED, S.ERROR, S.DESTROYING}),
    S.STOPPED: frozenset({S.STARTING, S.STOPPING, S.DESTROYING, S.DEGRADED, S.RUNNING, S.PAUSED, S.ERROR}),
    S.STARTING: frozenset({S.RUNNING, S.DEGRADED, S.STOPPED, S.PAUSED, S.ERROR, S.DESTROYING}),
    S.PAUSED: frozenset({S.RUNNING, S.STARTING, S.STOPPING, S.STOPPED, S.DEGRADED, S.DESTROYING, S.ERROR}),
    S.ERROR: frozenset({S.DEPLOYING, S.DESTROYING, S.RUNNING, S.DEGRADED}),
    S.DESTROYING: frozenset({S.DESTROYED, S.ERROR}),
    S.DESTROYED: frozenset(),
}

VM_TRANSITIONS: Mapping[VmState, frozenset[VmState]] = {
    V.DEFINED: frozenset({V.STOPPED, V.STARTING, V.DELETING, V.DELETED, V.ERROR}),
    V.STARTING: frozenset({V.RUNNING, V.STOPPED, V.PAUSED, V.ERROR, V.DELETING}),
    V.RUNNING: frozenset({V.PAUSED, V.STOPPING, V.STOPPED, V.STARTING, V.ERROR, V.DELETING}),
    V.PAUSED: frozenset({V.RUNNING, V.STOPPING, V.STOPPED, V.STARTING, V.ERROR, V.DELETING}),
    V.STOPPING: frozenset({V.STOPPED, V.RUNNING, V.PAUSED, V.ERROR, V.DELETING}),
    V.STOPPED: frozenset({V.STARTING, V.RUNNING, V.PAUSED, V.ERROR, V.DELETING, V.DEFINED}),
    V.ERROR: frozenset({V.STARTING, V.STOPPING, V.RUNNING, V.PAUSED, V.STOPPED, V.DELETING, V.DEFINED}),
    V.DELETING: frozenset({V.DELETED, V.DEFINED, V.ERROR}),
    V.DELETED: frozenset(),
}

_SLICE_ALLOWED: Mapping[Action, frozenset[SliceState]] = {
    Action.DEPLOY: frozenset({S.DRAFT, S.ERROR}),
    Action.START: frozenset({S.STOPPED, S.DEGRADED, S.RUNNING}),
    Action.STOP: frozenset({S.RUNNING, S.DEGRADED, S.PAUSED, S.STOPPED}),
    Action.REBOOT: frozenset({S.RUNNING, S.DEGRADED}),
    Action.SUSPEND: frozenset({S.RUNNING, S.PAUSED, S.DEGRADED}),
    Action.RESUME: frozenset({S.PAUSED, S.RUNNING, S.DEGRADED}),
    Action.RESET: SLICE_LIVE,
    Action.DESTROY: frozenset(S) - SLICE_TERMINAL,  # what is under way is cancelled for it
}

_VM_ALLOWED: Mapping[Action, frozenset[VmState]] = {
    Action.START: frozenset({V.STOPPED, V.ERROR, V.RUNNING}),
    Action.STOP: frozenset({V.RUNNING, V.PAUSED, V.STOPPED, V.ERROR}),
    Action.REBOOT: frozenset({V.RUNNING}),
    Action.SUSPEND: frozenset({V.RUNNING, V.PAUSED}),
    Action.RESUME: frozenset({V.PAUSED, V.RUNNING}),
    Action.RESET: frozenset({V.RUNNING, V.PAUSED, V.STOPPED, V.ERROR}),
    Action.UPDATE: frozenset({V.STOPPED, V.DEFINED}),
    Action.DESTROY: frozenset(V) - {V.DELETED},
}


def check_slice_action(action: Action, state: SliceState) -> None:
    """Raise a ``conflict`` error that says what is allowed when ``action`` does not fit ``state``."""
    allowed = _SLICE_ALLOWED[action]
    if state not in allowed:
        raise conflict("slice_state", _sentence("slice", action, state, allowed))


def check_vm_action(action: Action, state: VmState) -> None:
    """Raise a ``conflict`` error that says what is allowed when ``action`` does not fit ``state``."""
    allowed = _VM_ALLOWED.get(action, frozenset())
    if state not in allowed:
        raise conflict("vm_state", _sentence("VM", action, state, allowed))


def _sentence(what: str, action: Action, state: StrEnum, allowed: frozenset[SliceState] | frozenset[VmState]) -> str:
    names = ", ".join(sorted(allowed))
    return f"The {what} is {state}; '{action}' is possible only when it is: {names}."


def slice_transition(old: SliceState, new: SliceState) -> ParcelaError | None:
    """None when the change is in the table (staying is always fine), else the error to raise."""
    if new == old or new in SLICE_TRANSITIONS[old]:
        return None
    return conflict("slice_state", f"A slice cannot go from {old} to {new}.")


def vm_transition(old: VmState, new: VmState) -> ParcelaError | None:
    """None when the change is in the table (staying is always fine), else the error to raise."""
    if new == old or new in VM_TRANSITIONS[old]:
        return None
    return conflict("vm_state", f"A VM cannot go from {old} to {new}.")


def settled_slice_state(vms: list[tuple[VmState, DesiredState]]) -> SliceState:
    """State of a slice without an operation, from (observed, desired) of its living VMs.

    All as desired: running, paused or stopped (mixed counts as running); anything else is degraded.
    An empty list means that nothing is left: destroyed.
    """
    if not vms:
        return S.DESTROYED
    if any(observed.value != desired.value for observed, desired in vms):
        return S.DEGRADED
    observed_states = {observed for observed, _ in vms}
    if observed_states == {V.STOPPED}:
        return S.STOPPED
    if observed_states == {V.PAUSED}:
        return S.PAUSED
    return S.RUNNING
