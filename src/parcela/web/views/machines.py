"""The machines of a slice as people see them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from parcela.core.lifecycle import VM_ON, Action, VmState
from parcela.models import Nic, Segment, VirtualMachine

OFFERED: Mapping[VmState, tuple[Action, ...]] = {
    VmState.RUNNING: (Action.REBOOT, Action.STOP, Action.RESET),
    VmState.PAUSED: (Action.RESUME, Action.STOP, Action.RESET),
    VmState.STOPPED: (Action.START, Action.RESET),
    VmState.ERROR: (Action.START, Action.RESET),
}
"""What one may do with one machine; fewer than are allowed, because some would change nothing."""
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
    """A machine; ``is_on`` means that its console answers."""

    id: int
    name: str
    state: VmState
    error: str
    is_on: bool
    is_ready: bool
    size: tuple[int, int, int]
    ports: tuple[Port, ...]
    actions: tuple[Action, ...]


Wiring = Sequence[tuple[Nic, Segment | None]]


def view_machines(vms: Sequence[VirtualMachine], wiring: Wiring, *, can_write: bool) -> tuple[Machine, ...]:
    """Machines with their network cards; actions only where the reader may do them and nothing is under way."""
    ports: dict[int, list[Port]] = {}
    for nic, segment in wiring:
        port = Port(nic.leased_address or nic.address, segment.name if segment else "", nic.is_public)
        ports.setdefault(nic.vm_id, []).append(port)
    return tuple(_machine(vm, tuple(ports.get(vm.id, ())), can_write=can_write) for vm in vms)


def _machine(vm: VirtualMachine, ports: tuple[Port, ...], *, can_write: bool) -> Machine:
    state = VmState(vm.state)
    free = can_write and vm.operation_id is None
    return Machine(
        id=vm.id,
        name=vm.name,
        state=state,
        error=vm.error,
        is_on=state in VM_ON | {VmState.STARTING} and vm.host_id is not None,
        is_ready=vm.ready_at is not None,
        size=(vm.cores, vm.memory_mib, vm.disk_gib),
        ports=ports,
        actions=OFFERED.get(state, ()) if free else (),
    )
