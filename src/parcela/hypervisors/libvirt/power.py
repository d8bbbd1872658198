"""Switching VMs on and off."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from uuid import UUID

import libvirt

from parcela.core.power import PowerReason
from parcela.core.tasks import is_set_within
from parcela.hypervisors.errors import FatalDriverError, VmPausedError
from parcela.hypervisors.libvirt.context import HostContext, find_domain, require_domain
from parcela.hypervisors.libvirt.failures import is_code, refused
from parcela.hypervisors.libvirt.reasons import current_fault
from parcela.hypervisors.libvirt.taps import Port
from parcela.hypervisors.libvirt.xml.domain import without_cpu_limit
from parcela.hypervisors.libvirt.xml.ports import read_ports, with_own_taps
from parcela.hypervisors.spec import PowerState

log = logging.getLogger(__name__)

# How often the state is asked for when no event comes (events can be lost with the connection).
POLL_S = 1.0
# A guest that is still booting does not notice the button; pressing it again does no harm.
PRESS_AGAIN_S = 5.0
REBOOT_TIMEOUT_S = 30.0
# How long a guest that was paused because of a fault is watched after it was resumed.
PAUSED_AGAIN_S = 3.0
# The kernel breaks off the check of a BPF program (libvirt's rules for a guest's devices) when a signal comes to
# libvirtd meanwhile, such as the end of another QEMU. It passes at once; libbpf also tries five times.
START_ATTEMPTS = 5
_BROKEN_OFF = "resource temporarily unavailable"

_POWER = {
    libvirt.VIR_DOMAIN_RUNNING: PowerState.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: PowerState.RUNNING,
    libvirt.VIR_DOMAIN_SHUTDOWN: PowerState.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: PowerState.PAUSED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: PowerState.PAUSED,
    libvirt.VIR_DOMAIN_CRASHED: PowerState.CRASHED,
}
_CRASH_REASONS = frozenset({libvirt.VIR_DOMAIN_SHUTOFF_CRASHED, libvirt.VIR_DOMAIN_SHUTOFF_FAILED})
OFF = frozenset({PowerState.STOPPED, PowerState.CRASHED})


def power_state(state: int, reason: int) -> PowerState:
    """Put libvirt's state and reason in our words."""
    if state == libvirt.VIR_DOMAIN_SHUTOFF and reason in _CRASH_REASONS:
        return PowerState.CRASHED
    return _POWER.get(state, PowerState.STOPPED)


def current_power(domain: libvirt.virDomain) -> PowerState:
    """Ask for a domain's state; blocks."""
    state, reason = domain.state()
    return power_state(state, reason)


class PowerActions:
    """The power methods of the driver."""

    _host: HostContext

    async def admit_nat_ports(self, ports: Sequence[Port]) -> None:
        """See ``SegmentActions.admit_nat_ports``."""
        raise NotImplementedError

    async def start_vm(self, uuid: UUID, *, paused: bool = False) -> None:
        """See ``Driver.start_vm``."""
        host = self._host

        def prepare(connection: libvirt.virConnect) -> Sequence[Port]:
            domain = require_domain(connection, host.installation, uuid)
            if host.is_session or current_power(domain) not in OFF:
                return ()
            ports = _ports(connection, domain, host.installation)
            host.taps.ensure(uuid, ports)
            return ports

        def work(connection: libvirt.virConnect) -> bool:
            domain = require_domain(connection, host.installation, uuid)
            power = current_power(domain)
            if power in OFF:
                host.forget_reboot(uuid)
                try:
                    self._create(connection, domain, paused=paused)
                except libvirt.libvirtError as error:
                    fatal = refused(error, f"start VM {uuid}")
                    if fatal is None:
                        raise
                    raise fatal from error
            elif power is PowerState.PAUSED and not paused:
                return True
            return False

        async with host.alone(uuid):
            await self.admit_nat_ports(await host.calls.run(f"make the taps of VM {uuid}", prepare))
            if await host.calls.run(f"start VM {uuid}", work):
                await self._go_on(uuid, "start")

    def _create(self, connection: libvirt.virConnect, domain: libvirt.virDomain, *, paused: bool) -> None:
        flags = libvirt.VIR_DOMAIN_START_PAUSED if paused else 0
        try:
            _start(domain, flags)
        except libvirt.libvirtError as error:
            if domain.isActive():
                return  # started by somebody else between the question and the call
            limited = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE)
            unlimited = without_cpu_limit(limited)
            if "cgroup" not in str(error).lower() or _was_broken_off(error) or unlimited is None:
                raise
            log.warning("host %s refuses CPU limits, going on without: %s", self._host.name, error)
            self._host.cpu_limits_refused = True
            _start(connection.defineXML(unlimited), flags)

    async def shut_down(self, uuid: UUID, *, timeout_s: float) -> bool:
        """See ``Driver.shut_down``."""
        host = self._host
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        press_at_s = loop.time()

        def press(connection: libvirt.virConnect) -> bool:
            domain = require_domain(connection, host.installation, uuid)
            power = current_power(domain)
            if power in OFF:
                return True
            if power is PowerState.PAUSED:
                _tolerating(domain.resume, PowerState.RUNNING, domain)
            return not _while_on(lambda: domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN), domain)

        if await self._fault(uuid) is not None:
            return False

        with host.events.watching(uuid) as watch:
            while True:
                if loop.time() >= press_at_s:
                    press_at_s = loop.time() + PRESS_AGAIN_S
                    if await host.calls.run(f"shut down VM {uuid}", press):
                        return True
                left_s = deadline_s - loop.time()
                if left_s <= 0:
                    return await self._power(uuid) in OFF
                await watch.news(min(POLL_S, left_s))
                ended = await self._ended(uuid)
                if ended is not None:
                    return ended

    async def _ended(self, uuid: UUID) -> bool | None:
        """True when it is off, False when what it wrote while it shut down has filled the host's disk, None else."""
        power = await self._power(uuid)
        if power in OFF:
            return True
        return False if power is PowerState.PAUSED and await self._fault(uuid) is not None else None

    async def power_off(self, uuid: UUID) -> None:
        """See ``Driver.power_off``."""
        host = self._host

        def work(connection: libvirt.virConnect) -> None:
            domain = find_domain(connection, host.installation, uuid)
            if domain is not None and domain.isActive():
                pull_plug(domain)

        await host.calls.run(f"power off VM {uuid}", work)

    async def reboot(self, uuid: UUID) -> None:
        """See ``Driver.reboot``."""
        host = self._host

        def reset(connection: libvirt.virConnect) -> None:
            require_domain(connection, host.installation, uuid).reset(0)

        if await self._fault(uuid) is None:
            if await self._reboots_by_itself(uuid):
                return
            if await self._power(uuid) in OFF:
                await self.start_vm(uuid)
                return
        await host.calls.run(f"reset VM {uuid}", reset)
        host.note_reboot(uuid)
        await self._go_on(uuid, "reboot")

    async def _reboots_by_itself(self, uuid: UUID) -> bool:
        """Press the button until it reboots; False when it does not, or is off."""
        host = self._host

        def press(connection: libvirt.virConnect) -> None:
            domain = self._switched_on(connection, uuid)
            if current_power(domain) is PowerState.PAUSED:
                domain.resume()
            domain.reboot(libvirt.VIR_DOMAIN_REBOOT_ACPI_POWER_BTN)

        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + REBOOT_TIMEOUT_S
        with host.events.rebooting(uuid) as rebooted:
            host.note_reboot(uuid)
            await host.calls.run(f"reboot VM {uuid}", press)
            while not rebooted.is_set() and loop.time() < deadline_s:
                if not await is_set_within(rebooted, PRESS_AGAIN_S):
                    # libvirt's reboot is a shutdown with a promise to reset: repeat the button while it boots.
                    if await self._ended(uuid) is not None:
                        return False
                    await host.calls.run(f"reboot VM {uuid}", press)
            return rebooted.is_set()

    async def suspend(self, uuid: UUID) -> None:
        """See ``Driver.suspend``."""
        host = self._host

        def work(connection: libvirt.virConnect) -> None:
            domain = self._switched_on(connection, uuid)
            if current_power(domain) is not PowerState.PAUSED:
                _tolerating(domain.suspend, PowerState.PAUSED, domain)

        await host.calls.run(f"pause VM {uuid}", work)

    async def resume(self, uuid: UUID) -> None:
        """See ``Driver.resume``."""
        await self._go_on(uuid, "resume")

    def _switched_on(self, connection: libvirt.virConnect, uuid: UUID) -> libvirt.virDomain:
        domain = require_domain(connection, self._host.installation, uuid)
        if current_power(domain) in OFF:
            raise FatalDriverError(f"VM {uuid} is switched off")
        return domain

    async def _go_on(self, uuid: UUID, verb: str) -> None:
        """Resume it. After a fault, watch whether it is paused again: libvirt says "done" before the guest has written.

        QEMU repeats the write that failed as soon as it goes on, so a few seconds tell.
        """
        host = self._host

        def work(connection: libvirt.virConnect) -> bool:
            domain = self._switched_on(connection, uuid)
            if current_power(domain) is not PowerState.PAUSED:
                return False
            was_fault = current_fault(domain) is not None
            _tolerating(domain.resume, PowerState.RUNNING, domain)
            return was_fault

        loop = asyncio.get_running_loop()
        with host.events.watching(uuid) as watch:
            if not await host.calls.run(f"{verb} VM {uuid}", work):
                return
            deadline_s = loop.time() + PAUSED_AGAIN_S
            while True:
                fault = await self._fault(uuid)
                if fault is not None:
                    raise VmPausedError(f"{verb} VM {uuid}", fault)
                left_s = deadline_s - loop.time()
                if left_s <= 0:
                    return
                await watch.news(left_s)

    async def _fault(self, uuid: UUID) -> PowerReason | None:
        """Why QEMU paused it, when it did so because of a fault."""
        host = self._host
        return await host.watch.run(
            f"ask for the state of VM {uuid}",
            lambda connection: current_fault(require_domain(connection, host.installation, uuid)),
        )

    async def _power(self, uuid: UUID) -> PowerState:
        host = self._host
        return await host.watch.run(
            f"ask for the state of VM {uuid}", lambda c: current_power(require_domain(c, host.installation, uuid))
        )


def pull_plug(domain: libvirt.virDomain) -> None:
    """Destroy a domain; fine when it ends at the same moment."""
    _while_on(domain.destroy, domain)


def _ports(connection: libvirt.virConnect, domain: libvirt.virDomain, installation: str) -> Sequence[Port]:
    """The taps a domain needs; one of before we made them ourselves is defined anew."""
    text = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE)
    rewritten = with_own_taps(text, installation)
    if rewritten is not None:
        log.info("domain %s: its taps are made by us from now on", domain.name())
        connection.defineXML(rewritten)
    return read_ports(rewritten or text)


def _start(domain: libvirt.virDomain, flags: int) -> None:
    for attempt in range(1, START_ATTEMPTS + 1):
        try:
            domain.createWithFlags(flags)
        except libvirt.libvirtError as error:
            if attempt == START_ATTEMPTS or not _was_broken_off(error) or domain.isActive():
                raise
        else:
            return


def _was_broken_off(error: libvirt.libvirtError) -> bool:
    text = str(error).lower()
    return "bpf" in text and _BROKEN_OFF in text


def _while_on(call: Callable[[], object], domain: libvirt.virDomain) -> bool:
    """Call it; False when the domain turns out to be off."""
    try:
        call()
    except libvirt.libvirtError as error:
        if is_code(error, libvirt.VIR_ERR_NO_DOMAIN):
            return False
        if is_code(error, libvirt.VIR_ERR_OPERATION_INVALID) and not domain.isActive():
            return False
        raise
    return True


def _tolerating(call: Callable[[], object], wanted: PowerState, domain: libvirt.virDomain) -> None:
    """Call it; fine when it fails because somebody else did it at the same moment."""
    try:
        call()
    except libvirt.libvirtError:
        if current_power(domain) is not wanted:
            raise
