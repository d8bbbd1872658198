"""The hypervisor of one simulated host: indivisible state changes, with their side effects counted and events sent.

Nothing here waits and nothing here fails on purpose; delays and switches are the driver's. ``advance`` is called before
every look at a VM, because guests live by the clock and not by tasks (see ``timing``).
"""

from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from uuid import UUID

from parcela.core.disks import GIB_MIB, DiskSpace
from parcela.core.power import FAULTS, PowerReason
from parcela.hypervisors.simulated.faults import Faults
from parcela.hypervisors.simulated.guest import Guest, Outside, Wish
from parcela.hypervisors.simulated.machine import Effect, HostSize, Ledger, SimSegment, SimVm, Usage
from parcela.hypervisors.simulated.timing import FOREVER_S, Signal, Timing
from parcela.hypervisors.spec import DriverEvent, PowerState, SegmentSpec, VmEventKind, VmSpec

NAT_NETWORK = IPv4Network("172.31.0.0/16")
NAT_GATEWAY = NAT_NETWORK[1]

Subscriber = Callable[[DriverEvent], None]


class SimHost:
    """One host. It may be looked at in tests; changes go through a driver or the switches of the world."""

    def __init__(self, name: str, size: HostSize, *, timing: Timing, ledger: Ledger, faults: Faults) -> None:
        self.name = name
        self.size = size
        self.reachable = True
        self.obstacle = ""  # what the host says keeps VMs from starting; a switch for tests
        self.free_mib: int | None = None  # of its disk, where a test says so
        self.is_full = False  # its disk: whatever writes is paused, nothing new can be made
        self.changed = Signal()  # reachability
        self.images: set[str] = set()
        self.images_used_at: dict[str, float] = {}  # by the clock of the world; what is missing is old
        self.segments: dict[tuple[str, UUID], SimSegment] = {}
        self.vms: dict[UUID, SimVm] = {}
        self.leases: dict[str, IPv4Address] = {}
        self.usage = Usage()
        self.peak = Usage()
        self.ping: Callable[[SimVm, str], bool] = lambda _vm, _address: False
        self._timing = timing
        self._ledger = ledger
        self._faults = faults
        self._subscribers: dict[Subscriber, str] = {}

    @property
    def space(self) -> DiskSpace:
        """Its disk: as good as empty, unless a switch says something else."""
        size_mib = self.size.disk_gib * GIB_MIB
        free_mib = size_mib if self.free_mib is None else self.free_mib
        return DiskSpace(size_mib, 0 if self.is_full else free_mib)

    # ---- watching

    def subscribe(self, installation: str, subscriber: Subscriber) -> Callable[[], None]:
        """Call it for events of this installation's VMs and of the host; returns the unsubscribe function."""
        self._subscribers[subscriber] = installation

        def unsubscribe() -> None:
            self._subscribers.pop(subscriber, None)

        return unsubscribe

    def emit(self, kind: VmEventKind, vm: SimVm | None = None) -> None:
        """Tell those whom it concerns, and wake whoever waits for this VM."""
        if vm is not None:
            vm.changed.notify()
        event = DriverEvent(kind, vm.spec.uuid if vm else None, datetime.now(UTC))
        for subscriber, installation in tuple(self._subscribers.items()):
            if vm is None or vm.installation == installation:
                subscriber(event)

    def advance(self, vm: SimVm) -> float:
        """Let the guest do what was due, and return the seconds until something is due again (endless: nothing is)."""
        now = self._timing.clock()
        if vm.guest is None or vm.power is not PowerState.RUNNING:
            return FOREVER_S
        vm.guest.advance(now)
        match vm.guest.wish:
            case None:
                return vm.guest.due_in(now)
            case Wish.REBOOT:
                self.restart(vm)
                return self.advance(vm)
            case Wish.POWER_OFF:
                self.switch_off(vm, reason=PowerReason.BY_GUEST)
            case Wish.CRASH:
                self.switch_off(vm, PowerState.CRASHED)
        return FOREVER_S

    # ---- segments

    def put_segment(self, installation: str, spec: SegmentSpec) -> None:
        """Make the segment unless it is there."""
        if (installation, spec.uuid) not in self.segments:
            self.segments[installation, spec.uuid] = SimSegment(installation, spec)
            self._ledger.note(Effect.SEGMENT_MADE, spec.uuid)

    def drop_segment(self, installation: str, uuid: UUID) -> None:
        """Remove the segment if it is there."""
        if self.segments.pop((installation, uuid), None) is not None:
            self._ledger.note(Effect.SEGMENT_REMOVED, uuid)

    def plugged(self, installation: str, uuid: UUID) -> list[SimVm]:
        """Defined VMs with a NIC in the segment. A switched-off one counts too: its cable is still in."""
        return [vm for vm in self._ledger.cables.of(installation, uuid) if self.vms.get(vm.spec.uuid) is vm]

    def lease(self, mac: str) -> str:
        """Address with prefix for a MAC on the NAT segment, always the same one for the same MAC."""
        if mac not in self.leases:
            taken = set(self.leases.values())
            self.leases[mac] = next(a for a in NAT_NETWORK.hosts() if a != NAT_GATEWAY and a not in taken)
        return f"{self.leases[mac]}/{NAT_NETWORK.prefixlen}"

    # ---- disks and definitions

    def make_overlay(self, vm: SimVm) -> None:
        """Make a fresh, empty overlay."""
        vm.files = {}
        self._ledger.note(Effect.OVERLAY_MADE, vm.spec.uuid)

    def drop_overlay(self, vm: SimVm) -> None:
        """Remove the overlay if there is one."""
        if vm.files is not None:
            vm.files = None
            self._ledger.note(Effect.OVERLAY_REMOVED, vm.spec.uuid)

    def define(self, vm: SimVm, spec: VmSpec) -> None:
        """Make the domain, or replace its definition."""
        if vm.defined:
            self.usage = self.usage.plus(vm.spec, -1)
            self._ledger.cables.unplug(vm)
        self._ledger.note(Effect.VM_UPDATED if vm.defined else Effect.VM_DEFINED, spec.uuid)
        vm.spec = spec
        vm.defined = True
        self._ledger.cables.plug(vm)
        self.usage = self.usage.plus(spec)
        self.peak = self.peak.peak(self.usage)

    def undefine(self, vm: SimVm) -> None:
        """Switch off and take the domain away; the files stay."""
        self.switch_off(vm)
        if vm.defined:
            vm.defined = False
            vm.power = PowerState.STOPPED
            self._ledger.cables.unplug(vm)
            self.usage = self.usage.plus(vm.spec, -1)
            self._ledger.note(Effect.VM_UNDEFINED, vm.spec.uuid)
            self.emit(VmEventKind.REMOVED, vm)

    def forget(self, vm: SimVm) -> None:
        """Remove the domain and its files."""
        self.undefine(vm)
        self.drop_overlay(vm)
        for nic in vm.spec.nics:
            self.leases.pop(nic.mac, None)
        self.vms.pop(vm.spec.uuid, None)

    # ---- power

    def switch_on(self, vm: SimVm, *, paused: bool) -> None:
        """Switch on a VM that is off."""
        outside = Outside(lambda address: self.ping(vm, address), self.lease, vm.changed)
        vm.guest = Guest(vm.spec, vm.files if vm.files is not None else {}, outside)
        vm.guest.boot(self._boot_s(vm))
        vm.power, vm.reason = PowerState.PAUSED, PowerReason.BY_HAND
        self._ledger.note(Effect.VM_STARTED, vm.spec.uuid)
        self.emit(VmEventKind.STARTED, vm)
        if paused:
            self.emit(VmEventKind.PAUSED, vm)
        else:
            vm.power, vm.reason = PowerState.RUNNING, None
            vm.guest.go(self._timing.clock())
            self.advance(vm)
            self.write(vm)

    def switch_off(
        self, vm: SimVm, power: PowerState = PowerState.STOPPED, reason: PowerReason = PowerReason.BY_HAND
    ) -> None:
        """Off at once; nothing when it is off. ``power`` and ``reason`` say how it is found afterwards."""
        if vm.is_active:
            vm.power = power
            vm.guest = None
            vm.reason = None if power is PowerState.CRASHED else reason
            self._ledger.note(Effect.VM_STOPPED, vm.spec.uuid)
            self.emit(VmEventKind.CRASHED if power is PowerState.CRASHED else VmEventKind.STOPPED, vm)

    def restart(self, vm: SimVm) -> None:
        """Begin a new boot in the same domain: the serial history and the consoles stay."""
        if vm.guest is not None:
            vm.guest.boot(self._boot_s(vm))
            vm.power, vm.reason = PowerState.RUNNING, None
            vm.guest.go(self._timing.clock())
            self.emit(VmEventKind.REBOOTED, vm)
            self.advance(vm)
            self.write(vm)

    def write(self, vm: SimVm) -> None:
        """A running guest writes: it is paused when its disk is broken or its host's is full."""
        fault = vm.broken or (PowerReason.NO_SPACE if self.is_full else None)
        if fault is not None:
            self.pause(vm, fault)

    def pause(self, vm: SimVm, reason: PowerReason = PowerReason.BY_HAND) -> None:
        """Pause a running VM."""
        if vm.guest is not None and vm.power is PowerState.RUNNING:
            vm.guest.halt(self._timing.clock())
            vm.power, vm.reason = PowerState.PAUSED, reason
            self.emit(VmEventKind.PAUSED, vm)

    def unpause(self, vm: SimVm) -> None:
        """Continue a paused VM."""
        if vm.guest is not None and vm.power is PowerState.PAUSED:
            was_fault = vm.reason in FAULTS
            vm.power, vm.reason = PowerState.RUNNING, None
            vm.guest.go(self._timing.clock())
            self.emit(VmEventKind.RESUMED, vm)
            self.advance(vm)
            if was_fault:
                self.write(vm)  # the write that failed is repeated at once

    def _boot_s(self, vm: SimVm) -> float:
        return self._timing.boot_s if self._faults.boots(vm.spec.name) else FOREVER_S
