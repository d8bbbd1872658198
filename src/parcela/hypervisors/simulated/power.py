"""Switching VMs on and off."""

from uuid import UUID

from parcela.core.power import FAULTS
from parcela.hypervisors.errors import FatalDriverError, VmPausedError
from parcela.hypervisors.simulated.calls import HostCalls
from parcela.hypervisors.simulated.machine import SimVm
from parcela.hypervisors.spec import PowerState


class SimulatedPower(HostCalls):
    """Power. See the contract in ``hypervisors.driver``."""

    async def start_vm(self, uuid: UUID, *, paused: bool = False) -> None:
        """See Driver. A VM that is paused already goes on, unless it is to be paused."""
        async with self._call("start_vm", self._world.timing.delays.start_s, uuid):
            vm = self._existing(uuid)
            if vm.is_active:
                if not paused:
                    self._go_on(vm, "start")
                return
            self._check_bootable(vm)
            self._host.switch_on(vm, paused=paused)

    async def shut_down(self, uuid: UUID, *, timeout_s: float) -> bool:
        """See Driver. A paused guest goes on first, for it would not hear the button."""
        async with self._call("shut_down", 0.0, uuid):
            vm = self._existing(uuid)
            if vm.reason in FAULTS:
                return False
            self._host.unpause(vm)
            clock = self._world.timing.clock
            deadline = clock() + timeout_s
            pressed = False
            while True:
                seen = vm.changed.version
                due_s = self._host.advance(vm)
                self._check_reachable()
                if not vm.is_active:
                    return True
                if vm.reason in FAULTS:
                    return False
                now = clock()
                if not pressed and vm.guest is not None and self._hears(vm):
                    vm.guest.press_power_button(now + self._world.timing.shutdown_s)
                    pressed = True
                    continue
                if now >= deadline:
                    return False
                await vm.changed.wait(seen, min(due_s, deadline - now))

    async def power_off(self, uuid: UUID) -> None:
        """See Driver."""
        async with self._call("power_off", self._world.timing.delays.stop_s, uuid):
            vm = self._ours(uuid)
            if vm is not None:
                self._host.switch_off(vm)

    async def reboot(self, uuid: UUID) -> None:
        """See Driver. A guest that does not react (or is paused) is reset hard and runs afterwards."""
        async with self._call("reboot", self._world.timing.delays.stop_s, uuid):
            vm = self._active(uuid, "reboot")
            self._host.restart(vm)
            self._check_going(vm, "reboot")

    async def suspend(self, uuid: UUID) -> None:
        """See Driver."""
        async with self._call("suspend", self._world.timing.delays.pause_s, uuid):
            self._host.pause(self._active(uuid, "pause"))

    async def resume(self, uuid: UUID) -> None:
        """See Driver."""
        async with self._call("resume", self._world.timing.delays.pause_s, uuid):
            self._go_on(self._active(uuid, "resume"), "resume")

    def _go_on(self, vm: SimVm, verb: str) -> None:
        self._host.unpause(vm)
        self._check_going(vm, verb)

    def _check_going(self, vm: SimVm, verb: str) -> None:
        """VmPausedError when it was paused because of a fault as soon as it went on."""
        if vm.reason is not None and vm.reason in FAULTS:
            raise VmPausedError(f"{verb} VM {vm.spec.name}", vm.reason)

    def _hears(self, vm: SimVm) -> bool:
        return vm.power is PowerState.RUNNING and self._world.faults.hears_power_button(vm.spec.name)

    def _check_bootable(self, vm: SimVm) -> None:
        """FatalDriverError when something it needs was taken away behind our back."""
        if vm.files is None:
            raise FatalDriverError(f"could not start VM {vm.spec.name}: its disk is gone")
        for nic in vm.spec.nics:
            if nic.segment is not None and (self._installation, nic.segment.uuid) not in self._host.segments:
                raise FatalDriverError(f"could not start VM {vm.spec.name}: segment {nic.segment.uuid} is gone")
