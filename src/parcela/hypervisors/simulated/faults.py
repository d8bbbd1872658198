"""Failures of calls, thrown by switches. See the package's docstring for the list and examples."""

from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from parcela.hypervisors.errors import DriverError, FatalDriverError, HostUnreachableError, RetryableDriverError
from parcela.hypervisors.simulated.timing import Signal


class Failure(StrEnum):
    """Which branch of ``hypervisors.errors`` a failing call raises."""

    RETRYABLE = "retryable"
    FATAL = "fatal"
    UNREACHABLE = "unreachable"


class Moment(StrEnum):
    """Where in a call a switch acts."""

    BEFORE = "before"  # nothing has happened yet
    MIDDLE = "middle"  # half of the side effects are there (calls that have one effect only: before it)
    AFTER = "after"  # everything has happened, only the answer is lost


@dataclass(frozen=True, slots=True)
class Target:
    """One driver call, as the switches and the call log see it.

    Attributes:
        method: name of the driver's method.
        host: name of the host.
        uuid: VM or segment it is about; None for the host itself.
        vm_name: name of the VM, "" when it is about no VM or the VM does not exist.
    """

    method: str
    host: str
    uuid: UUID | None = None
    vm_name: str = ""


@dataclass(slots=True, eq=False)
class Rule:
    """Which calls a switch acts on. ``nth`` counts matching calls from the moment the switch was thrown, from 1."""

    method: str | None
    host: str | None
    vm: str | UUID | None
    nth: int
    times: int | None
    moment: Moment
    failure: Failure | None = None
    gate: "Gate | None" = None
    seen: int = 0

    def matches(self, target: Target) -> bool:
        """Whether the call is one of those the switch was thrown for."""
        return (
            self.method in {None, target.method}
            and self.host in {None, target.host}
            and (self.vm is None or self.vm in {target.vm_name, target.uuid})
        )

    def counts(self) -> bool:
        """Count one matching call; True when the switch acts on it."""
        self.seen += 1
        return self.nth <= self.seen and (self.times is None or self.seen < self.nth + self.times)


class Gate:
    """Holds calls until they are released; the call can also be killed (cancelled) while it is held."""

    def __init__(self) -> None:
        self._signal = Signal()
        self._held = 0
        self._open = False

    @property
    def held(self) -> int:
        """Number of calls that wait here now."""
        return self._held

    def release(self) -> None:
        """Let the held calls go on, and all later ones pass."""
        self._open = True
        self._signal.notify()

    async def reached(self, count: int = 1) -> None:
        """Wait until at least ``count`` calls are held at the same time."""
        while True:
            seen = self._signal.version
            if self._held >= count:
                return
            await self._signal.wait(seen)

    async def hold(self) -> None:
        """Wait here until released; called by the driver."""
        self._held += 1
        self._signal.notify()
        try:
            while True:
                seen = self._signal.version
                if self._open:
                    return
                await self._signal.wait(seen)
        finally:
            self._held -= 1


@dataclass(slots=True)
class Armed:
    """The switches that act on one call that is under way."""

    target: Target
    rules: list[Rule] = field(default_factory=list)

    async def act(self, moment: Moment) -> None:
        """Hold the call and then raise, as the switches of this moment say."""
        acting = [rule for rule in self.rules if rule.moment is moment]
        for rule in acting:
            if rule.gate is not None:
                await rule.gate.hold()
        for rule in acting:
            if rule.failure is not None:
                raise _error(rule.failure, self.target)


class Faults:
    """The board of switches of a world."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._mute: set[str] = set()
        self._deaf: set[str] = set()

    def fail(
        self,
        method: str | None = None,
        *,
        nth: int = 1,
        times: int | None = 1,
        failure: Failure = Failure.RETRYABLE,
        host: str | None = None,
        vm: str | UUID | None = None,
        moment: Moment = Moment.BEFORE,
    ) -> None:
        """Make calls fail.

        Args:
            method: name of the driver's method; None for every method.
            nth: the first call that fails, counted from now among the calls that match, >= 1.
            times: how many calls fail in a row; None for all from then on.
            failure: what is raised.
            host: only on the host of this name.
            vm: only for the VM of this name or UUID (or the segment of this UUID).
            moment: where in the call.
        """
        self._rules.append(Rule(method, host, vm, nth, times, moment, failure=failure))

    def block(
        self,
        method: str | None = None,
        *,
        nth: int = 1,
        times: int | None = 1,
        host: str | None = None,
        vm: str | UUID | None = None,
        moment: Moment = Moment.BEFORE,
    ) -> Gate:
        """Hold calls until the returned gate is released; arguments as in ``fail``."""
        gate = Gate()
        self._rules.append(Rule(method, host, vm, nth, times, moment, gate=gate))
        return gate

    def never_ready(self, vm: str) -> None:
        """VMs of this name hang while booting, from their next start on: they run but never print the ready marker."""
        self._mute.add(vm)

    def ignore_power_button(self, vm: str) -> None:
        """VMs of this name do not react to ACPI."""
        self._deaf.add(vm)

    def clear(self) -> None:
        """Take every switch back. Gates that hold calls are released."""
        for rule in self._rules:
            if rule.gate is not None:
                rule.gate.release()
        self._rules.clear()
        self._mute.clear()
        self._deaf.clear()

    def boots(self, vm: str) -> bool:
        """Whether a VM of this name gets ready."""
        return vm not in self._mute

    def hears_power_button(self, vm: str) -> bool:
        """Whether a VM of this name reacts to ACPI."""
        return vm not in self._deaf

    def arm(self, target: Target) -> Armed:
        """Count the call in every switch that matches and return those that act on it; called by the driver."""
        return Armed(target, [rule for rule in self._rules if rule.matches(target) and rule.counts()])


def _error(failure: Failure, target: Target) -> DriverError:
    what = target.vm_name or str(target.uuid or target.host)
    match failure:
        case Failure.RETRYABLE:
            return RetryableDriverError(f"{target.method} of {what} failed (simulated)", retry_after_s=0.01)
        case Failure.FATAL:
            return FatalDriverError(f"{target.method} of {what} cannot work (simulated)")
        case Failure.UNREACHABLE:
            return HostUnreachableError(f"host {target.host} does not answer (simulated)", retry_after_s=0.01)
