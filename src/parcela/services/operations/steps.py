"""The step kinds: what each does, how it is undone, and what it means for the state of its VM.

``do`` and ``undo`` are idempotent (the driver contract promises it), so a step that was killed in the middle is simply
done again. They run with no transaction open and see only frozen inputs.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from parcela.core.lifecycle import VmState
from parcela.hypervisors.driver import Driver, ReadySignals
from parcela.hypervisors.errors import FatalDriverError
from parcela.hypervisors.spec import ImageSpec, SegmentKind, SegmentSpec, VmSpec

Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class StepInputs:
    """Everything a step needs, loaded in the short transaction before it."""

    provider: str
    host_id: int
    host_name: str
    host_vcpus: int
    vm: VmSpec | None = None
    segment: SegmentSpec | None = None
    image: ImageSpec | None = None
    boot_timeout_s: float = 300.0
    shutdown_timeout_s: float = 30.0
    skip_reason: str = ""
    args: dict[str, Any] = field(default_factory=dict)

    def need_vm(self) -> VmSpec:
        """The VM; a step row without one is our fault."""
        if self.vm is None:
            raise FatalDriverError("step without a VM")
        return self.vm

    def need_segment(self) -> SegmentSpec:
        """The segment; see above."""
        if self.segment is None:
            raise FatalDriverError("step without a segment")
        return self.segment


Call = Callable[[Driver, StepInputs], Awaitable[Result]]


@dataclass(frozen=True, slots=True)
class StepKind:
    """One kind of step.

    Attributes:
        do: the side effect.
        undo: how it is taken back; None with ``no_undo`` saying why there is nothing to take back.
        during: state of the VM while it runs, None to leave it.
        after: state of the VM when it is done.
        after_undo: state of the VM when it is undone.
        boots: True when it holds one of the host's boot slots (few) instead of a call slot (more).
        waits: what is waited for after the side effect. It changes nothing, so a cancel request may end it.
    """

    do: Call
    undo: Call | None = None
    no_undo: str = ""
    during: VmState | None = None
    after: VmState | None = None
    after_undo: VmState | None = None
    boots: bool = False
    waits: Call | None = None


async def _ensure_image(driver: Driver, inputs: StepInputs) -> Result:
    if inputs.image is None:
        raise FatalDriverError("step without an image")
    await driver.ensure_image(inputs.image)
    return {}


async def _ensure_segment(driver: Driver, inputs: StepInputs) -> Result:
    await driver.ensure_segment(inputs.need_segment())
    return {}


async def _remove_segment(driver: Driver, inputs: StepInputs) -> Result:
    if inputs.skip_reason:
        return {"skipped": inputs.skip_reason}
    await driver.remove_segment(inputs.need_segment().uuid)
    return {}


async def _create_vm(driver: Driver, inputs: StepInputs) -> Result:
    await driver.create_vm(inputs.need_vm())
    return {}


async def _remove_vm(driver: Driver, inputs: StepInputs) -> Result:
    await driver.remove_vm(inputs.need_vm().uuid)
    return {}


async def _ensure_wiring(driver: Driver, vm: VmSpec) -> None:
    """Bridges are derived state: a reboot of the host takes them, so every start makes sure of them."""
    for nic in vm.nics:
        if nic.segment is not None:
            await driver.ensure_segment(nic.segment)


async def _boot_vm(driver: Driver, inputs: StepInputs) -> Result:
    vm = inputs.need_vm()
    await _ensure_wiring(driver, vm)
    await driver.start_vm(vm.uuid)
    return {"ready": None}


async def _ready(driver: Driver, inputs: StepInputs) -> Result:
    vm = inputs.need_vm()
    if vm.image.ready_marker is None or not isinstance(driver, ReadySignals):
        return {"ready": None}
    ready = await driver.wait_ready(vm.uuid, vm.image.ready_marker, timeout_s=inputs.boot_timeout_s)
    return {"ready": ready}


async def _start_paused_vm(driver: Driver, inputs: StepInputs) -> Result:
    vm = inputs.need_vm()
    await _ensure_wiring(driver, vm)
    await driver.start_vm(vm.uuid, paused=True)
    return {}


async def _shut_down_vm(driver: Driver, inputs: StepInputs) -> Result:
    vm = inputs.need_vm()
    by_itself = await driver.shut_down(vm.uuid, timeout_s=inputs.shutdown_timeout_s)
    if not by_itself:
        await driver.power_off(vm.uuid)
    return {"by_itself": by_itself}


async def _power_off_vm(driver: Driver, inputs: StepInputs) -> Result:
    await driver.power_off(inputs.need_vm().uuid)
    return {}


async def _reboot_vm(driver: Driver, inputs: StepInputs) -> Result:
    await driver.reboot(inputs.need_vm().uuid)
    return {"ready": None}


async def _suspend_vm(driver: Driver, inputs: StepInputs) -> Result:
    await driver.suspend(inputs.need_vm().uuid)
    return {}


async def _resume_vm(driver: Driver, inputs: StepInputs) -> Result:
    await driver.resume(inputs.need_vm().uuid)
    return {}


async def _reset_disk(driver: Driver, inputs: StepInputs) -> Result:
    await driver.reset_disk(inputs.need_vm())
    return {}


async def _update_vm(driver: Driver, inputs: StepInputs) -> Result:
    await driver.update_vm(inputs.need_vm())
    return {}


V = VmState
KINDS: dict[str, StepKind] = {
    "ensure_image": StepKind(_ensure_image, no_undo="a base image is a cache that others use too"),
    "ensure_segment": StepKind(_ensure_segment, undo=_remove_segment),
    "create_vm": StepKind(_create_vm, undo=_remove_vm, after=V.STOPPED, after_undo=V.DEFINED),
    "boot_vm": StepKind(
        _boot_vm,
        undo=_power_off_vm,
        during=V.STARTING,
        after=V.RUNNING,
        after_undo=V.STOPPED,
        boots=True,
        waits=_ready,
    ),
    "start_paused_vm": StepKind(
        _start_paused_vm, undo=_power_off_vm, during=V.STARTING, after=V.PAUSED, after_undo=V.STOPPED
    ),
    "shut_down_vm": StepKind(_shut_down_vm, no_undo="the owner may start it again", during=V.STOPPING, after=V.STOPPED),
    "power_off_vm": StepKind(_power_off_vm, no_undo="the owner may start it again", during=V.STOPPING, after=V.STOPPED),
    "reboot_vm": StepKind(
        _reboot_vm,
        no_undo="a reboot leaves nothing behind",
        during=V.STARTING,
        after=V.RUNNING,
        boots=True,
        waits=_ready,
    ),
    "suspend_vm": StepKind(_suspend_vm, no_undo="the owner may resume it", after=V.PAUSED),
    "resume_vm": StepKind(_resume_vm, no_undo="the owner may suspend it", after=V.RUNNING),
    "reset_disk": StepKind(_reset_disk, no_undo="the old disk is gone: that is what a reset is for"),
    "update_vm": StepKind(_update_vm, no_undo="the old size can be asked for again"),
    "remove_vm": StepKind(_remove_vm, no_undo="what is deleted is deleted", during=V.DELETING, after=V.DELETED),
    "remove_segment": StepKind(_remove_segment, no_undo="a segment without VMs is of no use"),
    "remove_nat": StepKind(_remove_segment, no_undo="the next VM with public access makes it again"),
}


def uses_nat(inputs: StepInputs) -> bool:
    """Whether the step makes, uses or removes the host's NAT segment; those exclude each other per host."""
    if inputs.segment is not None:
        return inputs.segment.kind is SegmentKind.NAT
    return inputs.vm is not None and any(
        nic.segment is not None and nic.segment.kind is SegmentKind.NAT for nic in inputs.vm.nics
    )
