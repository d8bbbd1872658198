"""What one simulated host holds: its size, images, segments and VMs, and the ledger of side effects."""

from collections import Counter, deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from parcela.core.power import PowerReason
from parcela.hypervisors.simulated.faults import Target
from parcela.hypervisors.simulated.guest import Guest
from parcela.hypervisors.simulated.timing import Signal
from parcela.hypervisors.spec import Capability, PowerState, SegmentSpec, VmSpec

CALLS_KEPT = 200_000


class Effect(StrEnum):
    """Side effects that are counted per object, so that tests can prove that each exists once."""

    IMAGE_COPIED = "image_copied"  # keyed by the image's sha256
    SEGMENT_MADE = "segment_made"
    SEGMENT_REMOVED = "segment_removed"
    OVERLAY_MADE = "overlay_made"
    OVERLAY_REMOVED = "overlay_removed"
    VM_DEFINED = "vm_defined"
    VM_UPDATED = "vm_updated"
    VM_UNDEFINED = "vm_undefined"
    VM_STARTED = "vm_started"
    VM_STOPPED = "vm_stopped"  # whoever switched it off, also by a crash


@dataclass(frozen=True, slots=True)
class Usage:
    """Sums over the defined VMs of a host."""

    vcpus: int = 0
    memory_mib: int = 0
    disk_gib: int = 0
    vms: int = 0

    def plus(self, spec: VmSpec, sign: int = 1) -> "Usage":
        """With one VM more (or less, with ``sign`` -1)."""
        return Usage(
            self.vcpus + sign * spec.vcpus,
            self.memory_mib + sign * spec.memory_mib,
            self.disk_gib + sign * spec.disk_gib,
            self.vms + sign,
        )

    def peak(self, other: "Usage") -> "Usage":
        """The larger of each."""
        return Usage(
            max(self.vcpus, other.vcpus),
            max(self.memory_mib, other.memory_mib),
            max(self.disk_gib, other.disk_gib),
            max(self.vms, other.vms),
        )


@dataclass(frozen=True, slots=True)
class HostSize:
    """What a host has. The simulated hypervisor enforces none of it, as a real one does not: placement has to.

    Attributes:
        vcpus: logical processors.
        memory_mib: memory in MiB.
        disk_gib: room for disks in GiB.
        capabilities: what it can do.
    """

    vcpus: int = 16
    memory_mib: int = 65536
    disk_gib: int = 1000
    capabilities: frozenset[Capability] = frozenset(Capability)


class EndableStream(Protocol):
    """A console stream that can be ended by the next one."""

    def end(self) -> None:
        """End it."""
        ...


@dataclass(slots=True, eq=False)
class SimVm:
    """One VM, or what is left of one.

    Attributes:
        host: name of the host it is on.
        installation: whose mark it carries; None for a stranger's domain.
        spec: what it was made from.
        defined: whether there is a domain; False when only files are left.
        files: what its overlay holds; None when there is no overlay.
        guest: its current run; None when it is off.
        broken: fault that its disk has whenever it writes; None for none.
        reason: why it is paused or off.
        serial: the stream that types on its serial line; None for none.
        changed: notified when it printed something or its power state changed.
    """

    host: str
    installation: str | None
    spec: VmSpec
    defined: bool = False
    power: PowerState = PowerState.STOPPED
    files: dict[str, str] | None = None
    guest: Guest | None = None
    broken: PowerReason | None = None
    reason: PowerReason | None = None
    serial: "EndableStream | None" = None
    changed: Signal = field(default_factory=Signal)

    @property
    def is_active(self) -> bool:
        """Whether it has a running or paused guest."""
        return self.power in {PowerState.RUNNING, PowerState.PAUSED}


@dataclass(frozen=True, slots=True)
class SimSegment:
    """A segment that exists on a host."""

    installation: str
    spec: SegmentSpec


class Cables:
    """Which defined VMs are plugged into which segments, over all hosts. Looking at every VM was too slow at 10,000."""

    def __init__(self) -> None:
        self._vms: dict[tuple[str | None, UUID], dict[SimVm, None]] = {}

    def plug(self, vm: SimVm) -> None:
        """Note the NICs of a VM that was defined."""
        for nic in vm.spec.nics:
            if nic.segment is not None:
                self._vms.setdefault((vm.installation, nic.segment.uuid), {})[vm] = None

    def unplug(self, vm: SimVm) -> None:
        """Forget the NICs of a VM."""
        for nic in vm.spec.nics:
            if nic.segment is not None:
                key = (vm.installation, nic.segment.uuid)
                self._vms.get(key, {}).pop(vm, None)
                if not self._vms.get(key):
                    self._vms.pop(key, None)

    def of(self, installation: str, segment: UUID) -> tuple[SimVm, ...]:
        """Defined VMs of the installation with a NIC in the segment."""
        return tuple(self._vms.get((installation, segment), ()))


@dataclass(slots=True)
class Ledger:
    """What happened in the world so far.

    Attributes:
        calls: driver calls in the order of their beginning (the last 200,000).
        effects: how often each side effect happened to each object, over all hosts.
        cables: what is plugged in where now.
    """

    calls: deque[Target] = field(default_factory=lambda: deque(maxlen=CALLS_KEPT))
    effects: Counter[tuple[Effect, UUID | str]] = field(default_factory=Counter)
    cables: Cables = field(default_factory=Cables)

    def note(self, effect: Effect, key: UUID | str) -> None:
        """Count one side effect."""
        self.effects[effect, key] += 1
