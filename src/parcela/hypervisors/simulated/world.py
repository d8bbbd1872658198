"""The simulated world: all hosts and what is on them. It outlives every driver."""

from uuid import UUID, uuid4

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

    # ---- accidents to VMs, behind the back of the control plane

    def crash_vm(self, uuid: UUID) -> None:
        """The emulator dies: CRASHED, with its event."""
        host, vm = self._find(uuid)
        host.switch_off(vm, PowerState.CRASHED)

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
