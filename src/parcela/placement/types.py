"""What placement takes and returns. Plain values: no models, no settings, no clock."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

CROSS_HOST_SEGMENTS = "cross_host_segments"
"""Capability of hosts that can join a segment with other hosts; slices may be spread over such hosts only."""


@dataclass(frozen=True, slots=True)
class HostSnapshot:
    """A host as it is when the decision is made.

    Attributes:
        id: key of the host; ties are broken by it.
        name: for people.
        zone_id: zone it belongs to (the caller offers hosts of one zone only).
        state: ``up``, ``draining``, ``maintenance`` or ``down``.
        reachable: whether it answered lately.
        vcpus_limit: what may be promised, overcommit included.
        memory_limit_mib: the same in MiB.
        disk_limit_gib: the same in GiB.
        vcpus_used: what is promised already; may be above the limit after the limit was lowered.
        memory_used_mib: the same in MiB.
        disk_used_gib: the same in GiB.
        capabilities: what it can do beyond the core contract.
        vms: number of VMs it has.
        under_repair: whether its machine has open corrective maintenance.
        obstacle: whether the last look at it found that no VM can start there.
        disk_shortage: why its disk is short of space, as the end of a sentence; "" when it is not.
    """

    id: int
    name: str
    zone_id: int
    state: str
    reachable: bool
    vcpus_limit: int
    memory_limit_mib: int
    disk_limit_gib: int
    vcpus_used: int = 0
    memory_used_mib: int = 0
    disk_used_gib: int = 0
    capabilities: frozenset[str] = frozenset()
    vms: int = 0
    under_repair: bool = False
    obstacle: bool = False
    disk_shortage: str = ""

    @property
    def vcpus_free(self) -> int:
        """What may still be promised; never negative."""
        return max(0, self.vcpus_limit - self.vcpus_used)

    @property
    def memory_free_mib(self) -> int:
        """What may still be promised, in MiB; never negative."""
        return max(0, self.memory_limit_mib - self.memory_used_mib)

    @property
    def disk_free_gib(self) -> int:
        """What may still be promised, in GiB; never negative."""
        return max(0, self.disk_limit_gib - self.disk_used_gib)


@dataclass(frozen=True, slots=True)
class VmRequest:
    """A VM that wants a host.

    Attributes:
        key: names it in the decision; unique within one call.
        vcpus: >= 0.
        memory_mib: >= 0.
        disk_gib: >= 0.
        needs: capabilities its host must have.
    """

    key: int
    vcpus: int
    memory_mib: int
    disk_gib: int
    needs: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a host cannot take the whole slice."""

    host_name: str
    filter_name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Filter:
    """One rule. ``reject`` takes a host and a demand and gives the reason against it, or None when there is none."""

    name: str
    reject: Callable[[HostSnapshot, VmRequest], str | None]


@dataclass(frozen=True, slots=True)
class Weigher:
    """One preference. ``score`` takes a host and what would be put there and gives 0 (worst) to 1 (best)."""

    name: str
    score: Callable[[HostSnapshot, VmRequest], float]
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Room:
    """Amounts of the three resources."""

    vcpus: int = 0
    memory_mib: int = 0
    disk_gib: int = 0

    def __str__(self) -> str:
        return f"{_vcpus(self.vcpus)}, {self.memory_mib} MiB and {self.disk_gib} GiB"

    def listed(self) -> str:
        """Only what is not 0, e.g. ``2 vCPUs and 7168 MiB of memory``."""
        parts = [_vcpus(self.vcpus)] if self.vcpus else []
        parts += [f"{self.memory_mib} MiB of memory"] if self.memory_mib else []
        parts += [f"{self.disk_gib} GiB of disk"] if self.disk_gib else []
        return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + "".join(parts[-1:])


class Lack(StrEnum):
    """What was in the way."""

    NO_HOST_UP = "no_host_up"
    CAPABILITY = "capability"
    ROOM = "room"
    FRAGMENTED = "fragmented"  # enough in sum, but in pieces that do not fit


@dataclass(frozen=True, slots=True)
class Missing:
    """Why there is no host.

    Attributes:
        lack: the kind of reason.
        vms: number of VMs that were to be placed together.
        needed: what they need in sum (for one VM that is too large by itself: that VM, and ``vms`` is 1).
        free: what the best host has, or all hosts together when the slice may be spread.
        short: by how much ``free`` falls short of ``needed``; 0 where it does not.
        best_host: name of the best host; None when all together are meant, or there is none.
        capability: what no host can do; None for the other kinds.
        hosts: reasons of the hosts that are not up, for NO_HOST_UP.
    """

    lack: Lack
    vms: int
    needed: Room
    free: Room = field(default_factory=Room)
    short: Room = field(default_factory=Room)
    best_host: str | None = None
    capability: str | None = None
    hosts: tuple[str, ...] = ()

    def explain(self) -> str:
        """One public sentence without a full stop."""
        demand = f"{self.vms} VM{'s' if self.vms != 1 else ''} need{'s' if self.vms == 1 else ''} {self.needed}"
        where = f"the best host ({self.best_host}) has" if self.best_host else "all hosts together have"
        match self.lack:
            case Lack.NO_HOST_UP:
                shown = ", ".join(self.hosts[:3]) + (f" and {len(self.hosts) - 3} more" if len(self.hosts) > 3 else "")
                return "no host takes new VMs" + (f": {shown}" if self.hosts else ": there are no hosts in this zone")
            case Lack.CAPABILITY:
                return f"no host that is up can do what is needed: {self.capability}"
            case Lack.ROOM:
                return f"no host has room: {demand}; {where} {self.free} free, so {self.short.listed()} are lacking"
            case Lack.FRAGMENTED:
                return f"no host has room: {demand}; {where} {self.free} free, but in pieces that are too small"


@dataclass(frozen=True, slots=True)
class Decision:
    """Where the VMs go: all of them, or none.

    Attributes:
        assignments: request key -> host id; empty when there is no place.
        rejections: for every host why it could not take them all; empty when they were placed.
        missing: what was lacking; None when they were placed.
    """

    assignments: Mapping[int, int]
    rejections: tuple[Rejection, ...] = ()
    missing: Missing | None = None


def _vcpus(count: int) -> str:
    return f"{count} vCPU{'s' if count != 1 else ''}"
