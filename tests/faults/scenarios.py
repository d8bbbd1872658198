"""Every kind of operation, with the steps of its plan: the tests of this folder are generated from this table."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid5

from parcela.core.lifecycle import Action, VmState
from parcela.hypervisors.simulated import Moment
from parcela.models import Operation, OperationStep
from parcela.services.compute.segments import NAT_NAMESPACE
from parcela.services.compute.vms import SentBack, VmChange
from tests.support.furnish import ALICE
from tests.support.lab import (
    Lab,
    deploy,
    make_running_slice,
    make_running_vm,
    make_slice,
    make_vm,
)

# The driver call with the side effect of each kind of step.
CALLS: Final = {
    "ensure_image": "ensure_image",
    "ensure_segment": "ensure_segment",
    "create_vm": "create_vm",
    "boot_vm": "start_vm",
    "start_paused_vm": "start_vm",
    "shut_down_vm": "shut_down",
    "power_off_vm": "power_off",
    "reboot_vm": "reboot",
    "suspend_vm": "suspend",
    "resume_vm": "resume",
    "reset_disk": "reset_disk",
    "update_vm": "update_vm",
    "remove_vm": "remove_vm",
    "remove_segment": "remove_segment",
    "remove_nat": "remove_segment",
}
UNDO_CALLS: Final = {
    "ensure_segment": "remove_segment",
    "create_vm": "remove_vm",
    "boot_vm": "power_off",
    "start_paused_vm": "power_off",
}
IN_TWO_PARTS: Final = ("create_vm", "remove_vm")
WAITS_READY: Final = ("boot_vm", "reboot_vm")


@dataclass
class Subject:
    """What an operation works on."""

    slice_id: int | None = None
    vm_id: int | None = None

    def need_slice(self) -> int:
        assert self.slice_id is not None
        return self.slice_id

    def need_vm(self) -> int:
        assert self.vm_id is not None
        return self.vm_id


Before = Callable[[Lab], Awaitable[Subject]]
Open = Callable[[Lab, Subject], Awaitable[Operation]]


@dataclass(frozen=True)
class Scenario:
    """One kind of operation.

    Attributes:
        name: unique; begins with the kind of the operation.
        steps: kind of step by its name, ``<first part of its key>:<what it is about>``.
        before: brings about what the operation is asked of.
        open: asks for it.
        vms: states of the VMs afterwards.
        slice_state: state of the slice afterwards; "" for a VM that stands alone.
    """

    name: str
    steps: dict[str, str]
    before: Before
    open: Open
    vms: dict[str, str]
    slice_state: str = ""

    @property
    def kind(self) -> str:
        return self.name.split(" ", 1)[0]

    @property
    def is_deployment(self) -> bool:
        return self.kind.endswith(".deploy")

    @property
    def is_destruction(self) -> bool:
        return self.kind.endswith(".destroy")

    @property
    def about(self) -> set[str]:
        """Names of everything it is about, but for what others share."""
        return {step.split(":", 1)[1] for step in self.steps} - {"tiny", "outside"}


# ---- what there is before


def _slice(*actions: Action) -> Before:
    async def before(lab: Lab) -> Subject:
        slice_id = await make_running_slice(lab)
        for action in actions:
            await act_on_slice(lab, slice_id, action)
            await lab.stack.settle()
        return Subject(slice_id)

    return before


async def _draft(lab: Lab) -> Subject:
    return Subject(await make_slice(lab))


def _vm(*actions: Action) -> Before:
    """The VM ``web`` of a running slice."""

    async def before(lab: Lab) -> Subject:
        slice_id = await make_running_slice(lab)
        vm_id = (await lab.vms(slice_id))["web"].id
        for action in actions:
            await act_on_vm(lab, vm_id, action)
            await lab.stack.settle()
        return Subject(slice_id, vm_id)

    return before


async def _broken_vm(lab: Lab) -> Subject:
    """Somebody removed the VM ``web`` of a running slice from its host, and it was noticed."""
    subject = await _vm()(lab)
    lab.world.remove_vm((await lab.vm(subject.need_vm())).uuid)
    await lab.stack.round()
    assert (await lab.vm(subject.need_vm())).state == "error"
    return subject


async def _alone(lab: Lab) -> Subject:
    return Subject(vm_id=await make_running_vm(lab))


async def _nothing(lab: Lab) -> Subject:
    return Subject()


# ---- asking


async def act_on_slice(lab: Lab, slice_id: int, action: Action) -> Operation:
    async with lab.stack.uows.write() as uow:
        operation = await lab.stack.services.slices.act(uow, ALICE, slice_id, action)
        await uow.commit()
    return operation


async def act_on_vm(lab: Lab, vm_id: int, action: Action) -> Operation:
    async with lab.stack.uows.write() as uow:
        operation = await lab.stack.services.vms.act(uow, ALICE, vm_id, action)
        await uow.commit()
    return operation


async def destroy_slice(lab: Lab, slice_id: int) -> Operation:
    async with lab.stack.uows.write() as uow:
        operation = await lab.stack.services.slices.destroy(uow, ALICE, slice_id)
        await uow.commit()
    return operation


async def destroy_vm(lab: Lab, vm_id: int) -> Operation:
    async with lab.stack.uows.write() as uow:
        operation = await lab.stack.services.vms.destroy(uow, ALICE, vm_id)
        await uow.commit()
    return operation


async def grow_vm(lab: Lab, vm_id: int) -> Operation:
    async with lab.stack.uows.write() as uow:
        _, operation = await lab.stack.services.vms.update(uow, ALICE, vm_id, VmChange(cores=2, ram=256, disk=3))
        await uow.commit()
    assert operation is not None
    return operation


def _slice_act(action: Action) -> Open:
    return lambda lab, subject: act_on_slice(lab, subject.need_slice(), action)


def _vm_act(action: Action) -> Open:
    return lambda lab, subject: act_on_vm(lab, subject.need_vm(), action)


async def _deploy(lab: Lab, subject: Subject) -> Operation:
    return await deploy(lab, subject.need_slice())


async def _deploy_paused(lab: Lab, subject: Subject) -> Operation:
    return await deploy(lab, subject.need_slice(), paused=True)


async def _destroy(lab: Lab, subject: Subject) -> Operation:
    return await destroy_slice(lab, subject.need_slice())


async def _deploy_vm(lab: Lab, subject: Subject) -> Operation:
    if subject.vm_id is not None:  # a repeat
        return await act_on_vm(lab, subject.vm_id, Action.START)
    subject.vm_id, operation = await make_vm(lab)
    return operation


async def _destroy_vm(lab: Lab, subject: Subject) -> Operation:
    return await destroy_vm(lab, subject.need_vm())


async def _grow_vm(lab: Lab, subject: Subject) -> Operation:
    vm = await lab.vm(subject.need_vm())
    if vm.state == "error":  # a repeat: a change asks for a VM that is known to be off
        await act_on_vm(lab, vm.id, Action.STOP)
        await lab.stack.settle()
    return await grow_vm(lab, subject.need_vm())


def _grow_and(status: VmState) -> Open:
    """Other sizes and another status in one request."""

    async def ask(lab: Lab, subject: Subject) -> Operation:
        vm = await lab.vm(subject.need_vm())
        if vm.state == "error":  # a repeat, as above
            await act_on_vm(lab, vm.id, Action.STOP)
            await lab.stack.settle()
        async with lab.stack.uows.write() as uow:
            change = VmChange(cores=2, ram=256, disk=3)
            await lab.stack.services.vms.replace(uow, ALICE, vm.id, change, SentBack(status=status))
            operation = await uow.operations.get((await uow.vms.get(vm.id)).operation_id or 0)
            await uow.commit()
        return operation

    return ask


# ---- the table

_IMAGE = {"image:tiny": "ensure_image"}
_LAY = {f"segment:{name}": "ensure_segment" for name in ("cable", "lan", "outside")}
_TAKE_UP = {"segment:cable": "remove_segment", "segment:lan": "remove_segment", "segment:outside": "remove_nat"}


def _each(prefix: str, kind: str) -> dict[str, str]:
    return {f"{prefix}:{name}": kind for name in ("web", "db")}


def _reset(name: str) -> dict[str, str]:
    return {f"off:{name}": "power_off_vm", f"disk:{name}": "reset_disk", f"boot:{name}": "boot_vm"}


RUNNING, STOPPED, PAUSED = _slice(), _slice(Action.STOP), _slice(Action.SUSPEND)
VM_RUNNING, VM_STOPPED, VM_PAUSED = _vm(), _vm(Action.STOP), _vm(Action.SUSPEND)
_RUN = {"web": "running", "db": "running"}
_OFF = {"web": "stopped", "db": "stopped"}
_HALT = {"web": "paused", "db": "paused"}
A = Action

SCENARIOS: Final = [
    Scenario(
        "slice.deploy",
        _IMAGE | _LAY | _each("create", "create_vm") | _each("boot", "boot_vm"),
        _draft,
        _deploy,
        _RUN,
        "running",
    ),
    Scenario(
        "slice.deploy paused",
        _IMAGE | _LAY | _each("create", "create_vm") | _each("boot", "start_paused_vm"),
        _draft,
        _deploy_paused,
        _HALT,
        "paused",
    ),
    Scenario("slice.start", _each("start", "boot_vm"), STOPPED, _slice_act(A.START), _RUN, "running"),
    Scenario("slice.stop", _each("stop", "shut_down_vm"), RUNNING, _slice_act(A.STOP), _OFF, "stopped"),
    Scenario("slice.reboot", _each("reboot", "reboot_vm"), RUNNING, _slice_act(A.REBOOT), _RUN, "running"),
    Scenario("slice.suspend", _each("suspend", "suspend_vm"), RUNNING, _slice_act(A.SUSPEND), _HALT, "paused"),
    Scenario("slice.resume", _each("resume", "resume_vm"), PAUSED, _slice_act(A.RESUME), _RUN, "running"),
    Scenario("slice.reset", _reset("web") | _reset("db"), RUNNING, _slice_act(A.RESET), _RUN, "running"),
    Scenario("slice.destroy", _each("remove", "remove_vm") | _TAKE_UP, RUNNING, _destroy, {}, "destroyed"),
    Scenario(
        "vm.deploy",
        _IMAGE | {"segment:outside": "ensure_segment", "create:alone": "create_vm", "boot:alone": "boot_vm"},
        _nothing,
        _deploy_vm,
        {"alone": "running"},
    ),
    Scenario("vm.start", {"start:web": "boot_vm"}, VM_STOPPED, _vm_act(A.START), _RUN, "running"),
    Scenario(
        "vm.start of a broken one",
        _IMAGE | _LAY | {"create:web": "create_vm", "boot:web": "boot_vm"},
        _broken_vm,
        _vm_act(A.START),
        _RUN,
        "running",
    ),
    Scenario(
        "vm.stop", {"stop:web": "shut_down_vm"}, VM_RUNNING, _vm_act(A.STOP), _RUN | {"web": "stopped"}, "running"
    ),
    Scenario("vm.reboot", {"reboot:web": "reboot_vm"}, VM_RUNNING, _vm_act(A.REBOOT), _RUN, "running"),
    Scenario(
        "vm.suspend", {"suspend:web": "suspend_vm"}, VM_RUNNING, _vm_act(A.SUSPEND), _RUN | {"web": "paused"}, "running"
    ),
    Scenario("vm.resume", {"resume:web": "resume_vm"}, VM_PAUSED, _vm_act(A.RESUME), _RUN, "running"),
    Scenario("vm.reset", _reset("web"), VM_RUNNING, _vm_act(A.RESET), _RUN, "running"),
    Scenario(
        "vm.reset of a broken one",
        _IMAGE | _LAY | {"create:web": "create_vm"} | _reset("web"),
        _broken_vm,
        _vm_act(A.RESET),
        _RUN,
        "running",
    ),
    Scenario("vm.update", {"update:web": "update_vm"}, VM_STOPPED, _grow_vm, _RUN | {"web": "stopped"}, "running"),
    Scenario(
        "vm.update and a start",
        {"update:web": "update_vm", "start:web": "boot_vm"},
        VM_STOPPED,
        _grow_and(VmState.RUNNING),
        _RUN,
        "running",
    ),
    Scenario(
        "vm.update after a stop",
        {"stop:web": "shut_down_vm", "update:web": "update_vm"},
        VM_RUNNING,
        _grow_and(VmState.STOPPED),
        _RUN | {"web": "stopped"},
        "running",
    ),
    Scenario("vm.destroy", {"remove:alone": "remove_vm", "segment:outside": "remove_nat"}, _alone, _destroy_vm, {}),
]
BY_NAME: Final = {scenario.name: scenario for scenario in SCENARIOS}
EVERY_STEP: Final = [
    (scenario.name, step)
    for scenario in SCENARIOS
    for step, kind in scenario.steps.items()
    # The others of a paused deployment are those of a deployment.
    if scenario.name != "slice.deploy paused" or kind == "start_paused_vm"
]
"""(name of the scenario, name of the step)."""


def kill_points(kind: str) -> list[tuple[str, Moment]]:
    """(driver call, moment) at which a step of this kind is killed.

    In the simulated world a call with a single effect has no middle of its own: it is the moment before the effect.
    """
    moments = Moment if kind in IN_TWO_PARTS else (Moment.BEFORE, Moment.AFTER)
    points = [(CALLS[kind], moment) for moment in moments]
    return [*points, ("wait_ready", Moment.AFTER)] if kind in WAITS_READY else points


# ---- steps by their names


async def named_steps(lab: Lab, operation: Operation) -> dict[str, OperationStep]:
    """Steps of an operation by their names in the table."""
    _, steps = await lab.stack.operation(operation.id)
    return {await _name(lab, step): step for step in steps.values()}


async def _name(lab: Lab, step: OperationStep) -> str:
    async with lab.stack.uows.read() as uow:
        if step.vm_id is not None:
            about = (await uow.vms.get(step.vm_id)).name
        elif step.segment_id is not None:
            about = (await uow.segments.get(step.segment_id)).name
        else:
            about = "tiny"
    return f"{step.key.split(':', 1)[0]}:{about}"


async def target(lab: Lab, subject: Subject, step: str) -> UUID | str | None:
    """What the switches of the world know the object of a step by; None for an image."""
    about = step.split(":", 1)[1]
    if about == "tiny":
        return None
    async with lab.stack.uows.read() as uow:
        if step.startswith("segment:"):
            found = [s for s in await uow.segments.all() if s.name == about and s.slice_id in {subject.slice_id, None}]
            return found[0].uuid if found else uuid5(NAT_NAMESPACE, await uow.installation())
        if subject.vm_id is not None and subject.slice_id is None:
            return (await uow.vms.get(subject.vm_id)).uuid
    vms = await lab.vms(subject.slice_id) if subject.slice_id is not None else {}
    return vms[about].uuid if about in vms else about  # a stand-alone VM has no row yet before it is asked for


async def states(lab: Lab, subject: Subject) -> dict[str, str]:
    """States of the VMs by name."""
    if subject.slice_id is not None:
        return {name: vm.state for name, vm in (await lab.vms(subject.slice_id)).items()}
    if subject.vm_id is None:
        return {}
    vm = await lab.vm(subject.vm_id)
    return {} if vm.state == "deleted" else {vm.name: vm.state}


async def check_outcome(lab: Lab, scenario: Scenario, subject: Subject) -> None:
    """VMs and slice are as the scenario says."""
    assert await states(lab, subject) == scenario.vms
    if subject.slice_id is not None:
        row = await lab.slice(subject.slice_id)
        assert (row.state, row.error) == (scenario.slice_state, "")
    for vm in (await lab.vms(subject.slice_id)).values() if subject.slice_id else []:
        assert vm.error == ""
