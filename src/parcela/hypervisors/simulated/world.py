"""The simulated world: all hosts and what is on them. It outlives every driver."""

from uuid import UUID, uuid4

from parcela.core.power import PowerReason
from parcela.hypervisors.simulated.host import SimHost
from parcela.hypervisors.simulated.hosts import Hosts
from parcela.hypervisors.simulated.machine import SimVm
from parcela.hypervisors.spec import (
    GuestConfig,
    ImageFormat,
    ImageSpec,
    PowerState,
    VmEventKind,
    VmSpec,
)


class SimulatedWorld(Hosts):
    """All hosts, and the accidents that can happen to them and to their VMs. See the package's docstring."""

    # ---- accidents to hosts

    def disconnect_host(self, name: str) -> None:
        """The host does not answer any more; its VMs go on. Consoles end; HOST_LOST is sent."""
        host = self.host(name)
        if host.reachable:
            host.reachable = False
            self._wake(host)
            host.emit(VmEventKind.HOST_LOST)

    def reconnect_host(self, name: str) -> None:
        """The host answers again; HOST_BACK is sent."""
        host = self.host(name)
        if not host.reachable:
            host.reachable = True
            self._wake(host)
            host.emit(VmEventKind.HOST_BACK)

    def crash_host(self, name: str) -> None:
        """Power loss: every VM is off, segments are gone, and the host does not answer until ``reconnect_host``."""
        host = self.host(name)
        self.disconnect_host(name)
        for vm in tuple(host.vms.values()):
            # Nobody is told: no event comes from a host that is dead.
            vm.power, vm.guest = PowerState.STOPPED, None
            vm.changed.notify()
        host.segments.clear()

    @staticmethod
    def _wake(host: SimHost) -> None:
        host.changed.notify()
        for vm in tuple(host.vms.values()):
            vm.changed.notify()

    def fill_disk(self, name: str) -> None:
        """The disk of the host is full: running guests write and are paused, and nothing new can be made."""
        host = self.host(name)
        host.is_full = True
        for vm in tuple(host.vms.values()):
            host.advance(vm)
            host.write(vm)

    def free_disk(self, name: str) -> None:
        """There is space again; what is paused stays so."""
        self.host(name).is_full = False

    # ---- accidents to VMs, behind the back of the control plane

    def crash_vm(self, uuid: UUID) -> None:
        """The emulator dies: CRASHED, with its event."""
        host, vm = self._find(uuid)
        host.switch_off(vm, PowerState.CRASHED)

    def break_disk(self, uuid: UUID, reason: PowerReason = PowerReason.IO_ERROR) -> None:
        """Its disk cannot be written any more: it is paused, and again whenever it goes on."""
        host, vm = self._find(uuid)
        vm.broken = reason
        host.write(vm)

    def mend_disk(self, uuid: UUID) -> None:
        """Its disk can be written again; it stays paused."""
        self._find(uuid)[1].broken = None

    def pause_vm(self, uuid: UUID, reason: PowerReason = PowerReason.BY_HAND) -> None:
        """Somebody or something pauses it on the host."""
        host, vm = self._find(uuid)
        host.pause(vm, reason)

    def stop_vm(self, uuid: UUID) -> None:
        """Somebody switches it off by hand, with its event."""
        host, vm = self._find(uuid)
        host.switch_off(vm)

    def remove_vm(self, uuid: UUID) -> None:
        """Somebody removes it by hand, disk and all, with its event."""
        host, vm = self._find(uuid)
        host.forget(vm)

    def remove_segment(self, host: str, uuid: UUID) -> None:
        """Somebody removes a segment by hand, whatever is plugged in."""
        segments = self.host(host).segments
        for key in [key for key in segments if key[1] == uuid]:
            del segments[key]

    def add_foreign_domain(self, host: str, name: str = "stranger", *, uuid: UUID | None = None) -> UUID:
        """A running domain that carries nobody's mark; returns its UUID."""
        spec = _bare_spec(uuid or uuid4(), name, None)
        self._place(host, SimVm(host, None, spec), defined=True)
        return spec.uuid

    def add_partial_vm(
        self, host: str, installation: str, *, uuid: UUID | None = None, slice_uuid: UUID | None = None
    ) -> UUID:
        """Files of a VM without a domain, as a killed ``create_vm`` leaves them; returns its UUID."""
        spec = _bare_spec(uuid or uuid4(), "partial", slice_uuid)
        self._place(host, SimVm(host, installation, spec), defined=False)
        return spec.uuid

    def _place(self, host_name: str, vm: SimVm, *, defined: bool) -> None:
        host = self.host(host_name)
        host.vms[vm.spec.uuid] = vm
        host.make_overlay(vm)
        if defined:
            host.define(vm, vm.spec)
            host.switch_on(vm, paused=False)


def _bare_spec(uuid: UUID, name: str, slice_uuid: UUID | None) -> VmSpec:
    image = ImageSpec("0" * 64, ImageFormat.QCOW2, "", 0)
    return VmSpec(uuid, name, slice_uuid, "", 1, 64, 1, image, (), GuestConfig(hostname=name))
