"""The machines of a slice as people see them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from parcela.core.lifecycle import Action, VmState
from parcela.models import Nic, Segment, Slice, VirtualMachine
from parcela.services.access import Caller
from parcela.services.allowed_compute import ALLOWED, CONSOLE, VM_OPEN, VmFacts

USUAL: Mapping[VmState, tuple[Action, ...]] = {
    VmState.RUNNING: (Action.REBOOT, Action.STOP, Action.RESET),
    VmState.PAUSED: (Action.RESUME, Action.STOP, Action.RESET),
    VmState.STOPPED: (Action.START, Action.RESET),
    VmState.ERROR: (Action.START, Action.RESET),
    VmState.DEFINED: (Action.START,),
}
"""Buttons that stand first, by state. What is allowed beyond them would mostly change nothing, and is folded away."""
BUTTONS = tuple(action.value for action in Action if action not in {Action.DEPLOY, Action.UPDATE, Action.DESTROY})
"""What the page of a slice has buttons for, per machine."""
CONFIRMED = frozenset({Action.RESET, Action.DESTROY})
"""What loses data: a page asks first."""


@dataclass(frozen=True, slots=True)
class Port:
    """A network card: address (None while it has none) and the network it is plugged into."""

    address: str | None
    network: str
    is_public: bool


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine.

    Attributes:
        name: host name.
        label: what its owner calls it, or the host name.
        reason: a ``PowerReason``, or "".
        is_on: whether its console answers.
        has_console: whether the reader may open it now.
        actions: the usual ones of those that the reader may take now; ``more`` are the others.
    """

    id: int
    name: str
    label: str
    state: VmState
    error: str
    reason: str
    is_on: bool
    is_ready: bool
    size: tuple[int, int, int]
    ports: tuple[Port, ...]
    has_console: bool
    actions: tuple[str, ...]
    more: tuple[str, ...]


Wiring = Sequence[tuple[Nic, Segment | None]]


def view_machines(
    caller: Caller, slice_row: Slice, vms: Sequence[VirtualMachine], wiring: Wiring
) -> tuple[Machine, ...]:
    """Machines with their network cards, and with what the reader may do with each now."""
    ports: dict[int, list[Port]] = {}
    for nic, segment in wiring:
        port = Port(nic.leased_address or nic.address, segment.name if segment else "", nic.is_public)
        ports.setdefault(nic.vm_id, []).append(port)
    return tuple(_machine(vm, tuple(ports.get(vm.id, ())), ALLOWED.of(caller, VmFacts.of(vm, slice_row))) for vm in vms)


def split(
    allowed: Sequence[str], usual: Sequence[Action], buttons: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is allowed and has a button: the usual actions in their order, and the others. Nothing is left out."""
    first = tuple(action.value for action in usual if action.value in allowed)
    return first, tuple(action for action in buttons if action in allowed and action not in first)


def _machine(vm: VirtualMachine, ports: tuple[Port, ...], allowed: Sequence[str]) -> Machine:
    state = VmState(vm.state)
    actions, more = split(allowed, USUAL.get(state, ()), BUTTONS)
    return Machine(
        id=vm.id,
        name=vm.name,
        label=vm.label or vm.name,
        state=state,
        error=vm.error,
        reason=vm.status_reason,
        is_on=state in VM_OPEN and vm.host_id is not None,
        is_ready=vm.ready_at is not None,
        size=(vm.cores, vm.memory_mib, vm.disk_gib),
        ports=ports,
        has_console=CONSOLE in allowed,
        actions=actions,
        more=more,
    )
