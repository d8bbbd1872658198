"""The journal: every change of an operation, in a short transaction that checks the fencing token.

The order is always: intent row, side effect, result row. A worker killed anywhere between leaves a step RUNNING; the
next holder of the lease does it again, and the driver contract makes that harmless. Steps that go side by side write
together (see ``group_commit.py``): still no side effect begins before its intent row is committed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from parcela.core.lifecycle import VM_TRANSITIONS, OperationState, StepState, VmState
from parcela.core.power import PowerReason, fault_of
from parcela.core.settings import Settings
from parcela.db.constraints import is_transient
from parcela.models import Operation, OperationStep
from parcela.repositories.uow import UnitOfWork, UnitOfWorkFactory
from parcela.services.operations.destructions import begin_waiting, is_to_stop, why
from parcela.services.operations.group_commit import Together
from parcela.services.operations.outcomes import conclude
from parcela.services.operations.specs import step_inputs
from parcela.services.operations.steps import KINDS, Result, StepInputs, StepKind
from parcela.services.projects.quotas import release
from parcela.services.signals import Signal

log = structlog.get_logger(__name__)
ValueT = TypeVar("ValueT")
TRANSIENT_ATTEMPTS = 5
NOT_UNDONE = " Not undone yet: "


class LeaseLostError(Exception):
    """Another worker holds the operation now: stop at once and write nothing more."""


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step as the executor plans with it; ``host_vcpus``: processors of its host."""

    id: int
    key: str
    kind: str
    state: StepState
    depends_on: tuple[str, ...]
    attempts: int
    host_id: int = 0
    host_vcpus: int = 0
    vm_id: int = 0
    vm_name: str = ""


@dataclass(frozen=True, slots=True)
class StepChange:
    """What is to be written about a step; ``begins``: the inputs of the step are asked for."""

    step: StepRow
    write: Callable[[UnitOfWork, Operation, OperationStep], Awaitable[None]]
    begins: bool = False


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on an operation, and the line in which its steps write."""

    operation_id: int
    token: int
    state: OperationState
    undo_on_failure: bool
    line: Together[StepChange, StepInputs | None] = field(repr=False, compare=False)


def came_from(new: VmState) -> list[VmState]:
    """States from which a VM may get into ``new`` (itself included)."""
    return [old for old, allowed in VM_TRANSITIONS.items() if new in allowed or old == new]


class Journal:
    """Short transactions on operations."""

    def __init__(self, uows: UnitOfWorkFactory, settings: Settings, engine: Signal, owner: str) -> None:
        """``owner`` names this worker in leases; ``engine`` is told of what may begin because something ended."""
        self._uows = uows
        self._engine = engine
        self._settings = settings
        self._owner = owner

    async def _write(self, work: Callable[[UnitOfWork], Awaitable[ValueT]]) -> ValueT:
        """Run ``work`` and commit; the whole unit is repeated when the database asks for it (deadlock)."""
        for attempt in range(TRANSIENT_ATTEMPTS):
            try:
                async with self._uows.write() as uow:
                    value = await work(uow)
                    await uow.commit()
                    return value
            except Exception as exc:
                if not is_transient(exc) or attempt == TRANSIENT_ATTEMPTS - 1:
                    raise
                log.info("journal.repeat", attempt=attempt + 1, reason=str(exc))
                await asyncio.sleep(0)
        raise AssertionError("unreachable")

    async def _fenced(self, uow: UnitOfWork, lease: Lease) -> Operation:
        operation = await uow.operations.fenced(lease.operation_id, lease.token)
        if operation is None:
            raise LeaseLostError(lease.operation_id)
        return operation

    async def claimable(self, limit: int) -> list[int]:
        """Operations that nobody works on."""
        async with self._uows.write() as uow:
            return await uow.operations.claimable(uow.clock(), limit=limit)

    async def claim(self, operation_id: int) -> Lease | None:
        """Take the lease; None when it has ended or somebody else holds it."""

        async def work(uow: UnitOfWork) -> Lease | None:
            operation = await uow.operations.claim(operation_id, self._owner, self._settings.lease_ttl_s)
            if operation is None:
                return None
            if operation.state == OperationState.PENDING.value:
                operation.state = OperationState.RUNNING.value
                operation.started_at = uow.clock()
                _tell(uow, operation, "operation.started")
            return self._lease(operation)

        return await self._write(work)

    def _lease(self, operation: Operation) -> Lease:
        async def commit(changes: list[StepChange]) -> Sequence[StepInputs | None]:
            return await self._change_steps(lease, changes)

        token, state = operation.fencing_token, OperationState(operation.state)
        lease = Lease(operation.id, token, state, operation.undo_on_failure, Together(commit))
        return lease

    async def _change_steps(self, lease: Lease, changes: list[StepChange]) -> Sequence[StepInputs | None]:
        """Write about some steps in one transaction; the inputs of those that begin."""
        # Rows of hosts and VMs are locked in one order, whoever comes with whom: else two workers wait in a circle.
        in_order = sorted(changes, key=lambda change: (change.step.host_id, change.step.vm_id, change.step.id))

        async def work(uow: UnitOfWork) -> list[StepInputs | None]:
            operation = await self._fenced(uow, lease)
            rows = await uow.operations.some_steps([change.step.id for change in changes])
            for change in in_order:
                await change.write(uow, operation, rows[change.step.id])
            begun = [rows[change.step.id] for change in changes if change.begins]
            inputs = await step_inputs(uow, begun, self._settings)
            return [inputs.get(change.step.id) for change in changes]

        return await self._write(work)

    async def renew(self, lease: Lease) -> bool:
        """Make the lease longer; False when it is lost."""

        async def work(uow: UnitOfWork) -> bool:
            return await uow.operations.renew(lease.operation_id, lease.token, self._settings.lease_ttl_s)

        return await self._write(work)

    async def drop(self, lease: Lease) -> None:
        """Let go of an unfinished operation at an orderly stop."""

        async def work(uow: UnitOfWork) -> None:
            await uow.operations.drop_lease(lease.operation_id, lease.token)

        await self._write(work)

    async def load(self, lease: Lease) -> tuple[list[StepRow], bool]:
        """The steps, and whether it is to stop (``is_to_stop``)."""
        async with self._uows.read() as uow:
            operation = await uow.operations.get(lease.operation_id)
            rows = await uow.operations.steps(lease.operation_id)
            hosts = await uow.hosts.get_many({row.host_id for row in rows if row.host_id is not None})
            vms = await uow.vms.get_many({row.vm_id for row in rows if row.vm_id is not None})
            to_stop = await is_to_stop(uow, operation)
        vcpus = {host.id: host.vcpus for host in hosts.values()}
        names = {vm.id: vm.name for vm in vms.values()}
        steps = [
            StepRow(
                row.id,
                row.key,
                row.kind,
                StepState(row.state),
                tuple(row.depends_on),
                row.attempts,
                host_id=row.host_id or 0,
                host_vcpus=vcpus.get(row.host_id or 0, 0),
                vm_id=row.vm_id or 0,
                vm_name=names.get(row.vm_id or 0, ""),
            )
            for row in rows
        ]
        return steps, to_stop

    async def cancel_asked(self, operation_id: int) -> bool:
        """Whether the operation is to stop (``is_to_stop``)."""
        async with self._uows.read() as uow:
            return await is_to_stop(uow, await uow.operations.get(operation_id))

    async def begin_step(self, lease: Lease, step: StepRow, *, undo: bool) -> StepInputs:
        """The intent row: mark it running and load what it needs."""

        async def write(uow: UnitOfWork, operation: Operation, row: OperationStep) -> None:
            row.state = (StepState.UNDOING if undo else StepState.RUNNING).value
            row.attempts += 1
            row.started_at = row.started_at or uow.clock()
            kind = KINDS[row.kind]
            if row.vm_id is not None and not undo and kind.during is not None:
                await self._vm_state(uow, operation, row.vm_id, kind.during)
            _tell_step(uow, operation, row)

        inputs = await lease.line.do(StepChange(step, write, begins=True))
        if inputs is None:
            raise ValueError(f"step {step.key} has no inputs")
        return inputs

    async def note_step(self, lease: Lease, step: StepRow, message: str) -> None:
        """Say why a step waits."""

        async def write(uow: UnitOfWork, operation: Operation, row: OperationStep) -> None:
            if row.message != message[:1000]:
                row.message = message[:1000]
                _tell_step(uow, operation, row)

        await lease.line.do(StepChange(step, write))

    async def end_step(self, lease: Lease, step: StepRow, result: Result, *, undo: bool) -> None:
        """The result row: it is done (or undone), and so is its VM's change of state."""

        async def write(uow: UnitOfWork, operation: Operation, row: OperationStep) -> None:
            row.state = (StepState.UNDONE if undo else StepState.DONE).value
            row.finished_at, row.message = uow.clock(), ""
            if not undo:
                row.result = result
            await self._apply(uow, operation, row, KINDS[row.kind], result, undo=undo)
            _tell_step(uow, operation, row)

        await lease.line.do(StepChange(step, write))

    async def _apply(
        self, uow: UnitOfWork, operation: Operation, row: OperationStep, kind: StepKind, result: Result, *, undo: bool
    ) -> None:
        """What the step means for its VM."""
        if row.vm_id is None:
            return
        new = kind.after_undo if undo else kind.after
        extra: dict[str, Any] = {"error": ""}
        if kind.boots and not undo:
            ready = result.get("ready")
            extra["ready_at"] = uow.clock() if ready is not False else None
            if ready is False:
                extra["error"] = f"It gave no sign of being ready within {self._settings.boot_timeout_s} s."
        elif new in {VmState.STOPPED, VmState.DEFINED, VmState.DELETED}:
            extra["ready_at"] = None
        if new is VmState.DELETED:
            extra["deleted_at"] = uow.clock()
            extra["host_id"] = None
            await release(uow, row.vm_id)
            await uow.segments.remove_nics(row.vm_id)
        if new is not None:
            await self._vm_state(uow, operation, row.vm_id, new, **extra)

    async def fail_step(
        self, lease: Lease, step: StepRow, message: str, *, undo: bool, paused: PowerReason | None = None
    ) -> None:
        """It failed for good; ``paused``: the fault that its VM is paused for, when that is known."""

        async def write(uow: UnitOfWork, operation: Operation, row: OperationStep) -> None:
            row.state = (StepState.UNDO_FAILED if undo else StepState.FAILED).value
            row.finished_at, row.message = uow.clock(), message[:1000]
            if row.vm_id is not None and paused is not None:
                facts = {"error": fault_of(paused), "reason": paused.value}
                await self._vm_state(uow, operation, row.vm_id, VmState.PAUSED, **facts)
            elif row.vm_id is not None:
                await self._vm_state(uow, operation, row.vm_id, VmState.ERROR, error=message[:1000])
            _tell_step(uow, operation, row)

        await lease.line.do(StepChange(step, write))

    async def skip_steps(self, lease: Lease, steps: list[StepRow], message: str) -> None:
        """They will not be done, because something they need failed."""

        async def work(uow: UnitOfWork) -> None:
            operation = await self._fenced(uow, lease)
            for row in (await uow.operations.some_steps([step.id for step in steps])).values():
                row.state, row.message, row.finished_at = StepState.SKIPPED.value, message[:1000], uow.clock()
                _tell_step(uow, operation, row)

        if steps:
            await self._write(work)

    async def start_undo(self, lease: Lease, error: str) -> None:
        """From now on the plan goes backwards, also after a restart."""

        async def work(uow: UnitOfWork) -> None:
            operation = await self._fenced(uow, lease)
            operation.state = OperationState.UNDOING.value
            operation.error = (await why(uow, operation, error))[:1000]
            _tell(uow, operation, "operation.undoing")

        await self._write(work)

    async def finish(self, lease: Lease, state: OperationState, error: str) -> None:
        """The operation has ended (or is stuck): settle what it worked on and let go, in one transaction.

        ``error`` says why, or what is not undone yet; "" keeps what ``start_undo`` said.
        """

        async def work(uow: UnitOfWork) -> None:
            operation = await self._fenced(uow, lease)
            if operation.slice_id is not None:
                await uow.slices.lock(operation.slice_id)  # before its VMs, as requests do: else they wait in a circle
            operation.state = state.value
            operation.error = _last_words(operation.error, state, await why(uow, operation, error))
            operation.finished_at = uow.clock()
            operation.lease_owner = operation.lease_expires_at = None
            await uow.flush()  # the settlement below reads what is written above
            await conclude(uow, operation, state)
            _tell(uow, operation, f"operation.{state.value}")
            begun = await begin_waiting(uow, operation) if state is not OperationState.STUCK else None
            if begun is not None:
                uow.after_commit(lambda: self._engine.send(begun))

        await self._write(work)

    async def _vm_state(self, uow: UnitOfWork, operation: Operation, vm_id: int, new: VmState, **values: Any) -> None:
        changed = await uow.vms.change_state(vm_id, new, expected=came_from(new), operation_id=operation.id, **values)
        if not changed:
            log.warning("journal.vm_state_not_set", vm_id=vm_id, state=new.value, operation_id=operation.id)
            return
        facts = {"state": new.value, "error": values.get("error", "")}
        if values.get("reason"):
            facts["reason"] = values["reason"]
        uow.add_event(
            "vm.state",
            owner_id=operation.owner_id,
            slice_id=operation.slice_id,
            vm_id=vm_id,
            operation_id=operation.id,
            data=facts,
        )


def _last_words(before: str, state: OperationState, error: str) -> str:
    """What the operation says at its end; why it failed is kept while its undoing is stuck, and after that."""
    if state is OperationState.SUCCEEDED:
        return ""
    reason = before.split(NOT_UNDONE, 1)[0]
    if state is OperationState.STUCK:
        return f"{reason[:500]}{NOT_UNDONE}{error}"[:1000]
    return (error or reason)[:1000]


def _tell(uow: UnitOfWork, operation: Operation, event_type: str) -> None:
    uow.add_event(
        event_type,
        owner_id=operation.owner_id,
        actor_id=operation.requested_by,
        slice_id=operation.slice_id,
        vm_id=operation.vm_id,
        operation_id=operation.id,
        data={"kind": operation.kind, "error": operation.error},
    )


def _tell_step(uow: UnitOfWork, operation: Operation, row: OperationStep) -> None:
    uow.add_event(
        "operation.step",
        owner_id=operation.owner_id,
        slice_id=operation.slice_id,
        vm_id=row.vm_id,
        operation_id=operation.id,
        data={"step": row.key, "label": row.label, "state": row.state, "message": row.message},
    )
