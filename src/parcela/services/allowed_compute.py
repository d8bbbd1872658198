"""What a caller may do with slices, VMs and operations: see ``allowed``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from parcela.core.errors import conflict, not_found
from parcela.core.lifecycle import (
    VM_ON,
    Action,
    OperationState,
    SliceState,
    VmState,
    check_slice_action,
    check_vm_action,
)
from parcela.core.permissions import Permission
from parcela.core.scopes import Scope
from parcela.models import Operation, Slice, VirtualMachine
from parcela.repositories.uow import ReadUnitOfWork
from parcela.services.access import Caller
from parcela.services.allowed import TEMPLATE_RULES, Allowed, Rule, Rules, TemplateFacts, Thing, busy, writing
from parcela.services.projects.launching import may_build

EXTEND, CONSOLE, CANCEL, RETRY = "extend", "console", "cancel", "retry"
TOUCHED: Mapping[Action, frozenset[VmState]] = {
    Action.START: frozenset({VmState.STOPPED, VmState.ERROR, VmState.RUNNING}),
    Action.STOP: frozenset({VmState.RUNNING, VmState.PAUSED, VmState.ERROR, VmState.STOPPED}),
    Action.REBOOT: frozenset({VmState.RUNNING}),
    Action.SUSPEND: frozenset({VmState.RUNNING, VmState.PAUSED}),
    Action.RESUME: frozenset({VmState.PAUSED, VmState.RUNNING}),
    Action.RESET: frozenset({VmState.RUNNING, VmState.PAUSED, VmState.STOPPED, VmState.ERROR}),
}
"""VMs that an action on their slice acts on; the others are left as they are."""
VM_OPEN = VM_ON | {VmState.STARTING}
"""States of a VM whose console answers."""
REPEATABLE = frozenset({OperationState.FAILED, OperationState.CANCELLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class VmFacts(Thing):
    """A VM.

    Attributes:
        state: what it was last seen doing.
        operation_id: what works on it; None for nothing.
        is_placed: whether it has a place on a host.
        slice_id: slice it belongs to; None when it stands alone.
        slice_is_held: whether an operation works on the whole slice, or is going to destroy it.
    """

    noun: ClassVar[str] = "virtual machine"
    read_all: ClassVar[Permission] = Permission.VM_READ_ALL
    write_all: ClassVar[Permission] = Permission.VM_WRITE_ALL

    name: str
    state: VmState
    operation_id: int | None
    is_placed: bool
    slice_id: int | None
    slice_is_held: bool = False

    @classmethod
    def of(cls, vm: VirtualMachine, slice_row: Slice | None = None) -> "VmFacts":
        """The facts of a row, and of the slice it belongs to."""
        return cls(
            id=vm.id,
            owner_id=vm.owner_id,
            project_id=vm.project_id,
            name=vm.name,
            state=VmState(vm.state),
            operation_id=vm.operation_id,
            is_placed=vm.host_id is not None,
            slice_id=vm.slice_id,
            slice_is_held=slice_row is not None
            and (slice_row.operation_id is not None or slice_row.state == SliceState.DESTROYING.value),
        )

    def check_writable(self, caller: Caller, scope: Scope) -> None:
        """A deleted VM is gone for everybody who would change it."""
        if self.state is VmState.DELETED:
            raise not_found(self.noun, self.id)
        # By the name: a dataclass with slots is another class than the one that ``super()`` would mean here.
        Thing.check_writable(self, caller, scope)

    def check_free(self) -> None:
        """Raise ``busy`` when something works on it or on its whole slice."""
        if self.operation_id is not None:
            text = f"Operation {self.operation_id} is working on this VM; wait for it or cancel it."
            raise conflict("busy", text)
        if self.slice_is_held:
            raise busy(f"the slice of VM {self.name}", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceFacts(Thing):
    """A slice with its living VMs; ``operation_id`` is what works on the whole of it."""

    noun: ClassVar[str] = "slice"
    read_all: ClassVar[Permission] = Permission.SLICE_READ_ALL
    write_all: ClassVar[Permission] = Permission.SLICE_WRITE_ALL

    name: str
    state: SliceState
    operation_id: int | None
    vms: tuple[VmFacts, ...]

    @classmethod
    def of(cls, row: Slice, vms: Sequence[VirtualMachine] = ()) -> "SliceFacts":
        """The facts of a row and of its VMs; without these, only rights can be asked."""
        return cls(
            id=row.id,
            owner_id=row.owner_id,
            project_id=row.project_id,
            name=row.name,
            state=SliceState(row.state),
            operation_id=row.operation_id,
            vms=tuple(VmFacts.of(vm, row) for vm in vms),
        )

    def touched(self, action: Action) -> list[VmFacts]:
        """The VMs that an action on the slice acts on."""
        return [vm for vm in self.vms if vm.state in TOUCHED[action] and vm.is_placed]

    def check_free(self, vms: Sequence[VmFacts]) -> None:
        """Raise ``busy`` when something works on the slice or on one of these VMs."""
        if self.operation_id is not None:
            raise busy(f"the slice {self.name}", self.operation_id)
        held = next((vm for vm in vms if vm.operation_id is not None), None)
        if held is not None:
            raise busy(f"the VM {held.name}", held.operation_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationFacts(Thing):
    """An operation; ``subject`` is what it works or worked on, None when that is gone or not asked for."""

    noun: ClassVar[str] = "operation"
    read_all: ClassVar[Permission] = Permission.OPERATION_READ_ALL
    write_all: ClassVar[Permission] = Permission.OPERATION_WRITE_ALL

    kind: str
    state: OperationState
    subject: Thing | None

    @classmethod
    def of(cls, row: Operation, subject: Thing | None = None) -> "OperationFacts":
        """The facts of a row."""
        return cls(
            id=row.id,
            owner_id=row.owner_id,
            project_id=row.project_id,
            kind=row.kind,
            state=OperationState(row.state),
            subject=subject,
        )


def _may_deploy(caller: Caller, row: SliceFacts) -> None:
    row.check_writable(caller, Scope.SLICE_DEPLOY)
    may_build(caller, row.project_id, row.write_all)


def _deploy(_caller: Caller, row: SliceFacts) -> None:
    check_slice_action(Action.DEPLOY, row.state)
    if not row.vms or any(vm.is_placed for vm in row.vms):
        raise conflict("slice_half_destroyed", "Its destruction ended half-way; only 'destroy' is possible now.")
    row.check_free(row.vms)


def _slice_act(action: Action) -> Rule:
    def state(_caller: Caller, row: SliceFacts) -> None:
        check_slice_action(action, row.state)
        vms = row.touched(action)
        if not vms:
            raise conflict("slice_state", f"No VM of the slice is in a state in which '{action.value}' does anything.")
        row.check_free(vms)

    return writing(Scope.SLICE_RESET if action is Action.RESET else Scope.SLICE_POWER, state)


def _extend(_caller: Caller, row: SliceFacts) -> None:
    if row.state in {SliceState.DESTROYED, SliceState.DESTROYING}:
        raise conflict("slice_state", f"The slice is {row.state}; there is nothing to extend.")


def _destroy_slice(_caller: Caller, row: SliceFacts) -> None:
    check_slice_action(Action.DESTROY, row.state)


def _vm_act(action: Action) -> Rule:
    def state(caller: Caller, vm: VmFacts) -> None:
        # One that stands alone and was never built, or whose building was undone, is built by a start.
        builds = action is Action.START and vm.state is VmState.DEFINED and vm.slice_id is None
        if builds:
            may_build(caller, vm.project_id, vm.write_all)
        else:
            check_vm_action(action, vm.state)
        vm.check_free()
        if builds and vm.is_placed:
            check_vm_action(action, vm.state)  # its removal ended half-way

    return writing(Scope.VM_RESET if action is Action.RESET else Scope.VM_POWER, state)


def _update_vm(_caller: Caller, vm: VmFacts) -> None:
    vm.check_free()
    check_vm_action(Action.UPDATE, vm.state)


def _destroy_vm(_caller: Caller, vm: VmFacts) -> None:
    if vm.slice_id is not None:
        raise conflict("vm_in_slice", f"The VM belongs to slice {vm.slice_id}; destroy the slice instead.")
    check_vm_action(Action.DESTROY, vm.state)


def _console(_caller: Caller, vm: VmFacts) -> None:
    if vm.state not in VM_OPEN:
        raise conflict("vm_is_off", f"The VM is {vm.state}; a console answers only while it is on.")


def _cancel(_caller: Caller, operation: OperationFacts) -> None:
    if operation.kind.endswith(".destroy"):
        raise conflict("operation_not_cancellable", "A destruction cannot be cancelled: what is gone is gone.")
    if operation.state not in {OperationState.PENDING, OperationState.RUNNING}:
        raise conflict("operation_ended", f"The operation is {operation.state}; there is nothing to cancel.")


def _may_retry(caller: Caller, operation: OperationFacts) -> None:
    """Who may look at it and do the same again; a stuck one is taken up where it is, which changes the operation."""
    operation.check_visible(caller)
    if operation.state is OperationState.STUCK:
        operation.check_writable(caller, Scope.OPERATION_RETRY)
    else:
        caller.require_scope(Scope.OPERATION_RETRY)


def _retry(caller: Caller, operation: OperationFacts) -> None:
    if operation.state is OperationState.STUCK:
        return
    if operation.state not in REPEATABLE:
        raise conflict("operation_not_failed", f"The operation is {operation.state}; there is nothing to repeat.")
    subject = operation.subject
    if subject is None:
        raise conflict("operation_not_repeatable", "What it worked on is gone.")
    action = repeated(operation.kind)
    if action is Action.UPDATE:
        ALLOWED.check_right(caller, subject, action.value)
        raise conflict("operation_not_repeatable", "Ask for the change again; it may name other values now.")
    ALLOWED.check(caller, subject, action.value)


def repeated(kind: str) -> Action:
    """What is asked for when an operation of this kind is repeated: a stand-alone VM is built by a start."""
    return Action.START if kind == "vm.deploy" else Action(kind.split(".", 1)[1])


SLICE_RULES: Rules = {
    Action.DEPLOY.value: Rule(_may_deploy, _deploy),
    **{action.value: _slice_act(action) for action in TOUCHED},
    EXTEND: writing(Scope.SLICE_UPDATE, _extend),
    Action.DESTROY.value: writing(Scope.SLICE_DELETE, _destroy_slice),
}
VM_RULES: Rules = {
    CONSOLE: writing(Scope.VM_CONSOLE, _console),
    **{action.value: _vm_act(action) for action in TOUCHED},
    Action.UPDATE.value: writing(Scope.VM_UPDATE, _update_vm),
    Action.DESTROY.value: writing(Scope.VM_DELETE, _destroy_vm),
}
OPERATION_RULES: Rules = {
    CANCEL: writing(Scope.OPERATION_CANCEL, _cancel),
    RETRY: Rule(_may_retry, _retry),
}
ALLOWED = Allowed(
    {
        SliceFacts: SLICE_RULES,
        VmFacts: VM_RULES,
        OperationFacts: OPERATION_RULES,
        TemplateFacts: TEMPLATE_RULES,
    }
)


async def slice_facts(uow: ReadUnitOfWork, row: Slice) -> SliceFacts:
    """A slice with its VMs as they are now."""
    return SliceFacts.of(row, await uow.vms.of_slice(row.id))


async def vm_facts(uow: ReadUnitOfWork, vm: VirtualMachine) -> VmFacts:
    """A VM with what holds its slice."""
    return VmFacts.of(vm, None if vm.slice_id is None else await uow.slices.get_or_none(vm.slice_id))


async def operation_facts(uow: ReadUnitOfWork, row: Operation) -> OperationFacts:
    """An operation with what it worked on, where that matters: when it can be repeated."""
    subject: Thing | None = None
    if OperationState(row.state) in REPEATABLE:
        if row.vm_id is not None:
            vm = await uow.vms.get_or_none(row.vm_id)
            subject = None if vm is None else await vm_facts(uow, vm)
        elif row.slice_id is not None:
            slice_row = await uow.slices.get_or_none(row.slice_id)
            subject = None if slice_row is None else await slice_facts(uow, slice_row)
    return OperationFacts.of(row, subject)
