"""Leases: an operation has one worker at a time, and one that lost its lease can write nothing more."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

import pytest
from sqlalchemy import update

from parcela.core.lifecycle import OperationState
from parcela.hypervisors.simulated import Effect, Moment
from parcela.models import Operation
from parcela.services.operations.journal import Journal, Lease, LeaseLostError, StepRow
from parcela.services.signals import Signal
from parcela.workers.executor import OperationExecutor
from parcela.workers.limits import HostLimits
from tests.support.checks import check_consistent
from tests.support.lab import LEASE_S, Lab, deploy, make_slice, make_vm

pytestmark = pytest.mark.anyio
Write = Callable[[Journal, Lease, StepRow], Awaitable[object]]


def another_worker(lab: Lab, name: str = "another", *, heartbeat_s: float = LEASE_S) -> OperationExecutor:
    """A second worker on the same database, with drivers of its own journal only."""
    journal = Journal(lab.stack.uows, lab.settings, Signal(), name)
    return OperationExecutor(journal, lab.stack.drivers, HostLimits(0), heartbeat_s, lab.stack.pauses)


async def open_without_engine(lab: Lab) -> int:
    """A deployment that nobody was told of."""
    lab.stack.services.operations._engine._listeners.clear()
    _, operation = await make_vm(lab)
    return operation.id


async def test_two_workers_claim_at_once_and_one_gets_it(faulty_anywhere: Lab) -> None:
    lab = faulty_anywhere
    for _ in range(5):
        operation_id = await open_without_engine(lab)
        workers = [another_worker(lab, f"worker {number}") for number in range(3)]
        held = await asyncio.gather(*(worker.run(operation_id) for worker in workers))
        assert sorted(held) == [False, False, True]
    await check_consistent(lab)


async def test_a_silent_worker_is_replaced_and_its_late_writes_are_refused(faulty_anywhere: Lab) -> None:
    lab = faulty_anywhere
    gate = lab.world.faults.block("create_vm", vm="alone", moment=Moment.AFTER)
    vm_id, operation = await make_vm(lab)
    await gate.reached()
    second = another_worker(lab)
    assert not await second.run(operation.id)  # the lease is held
    lab.clock.turn(LEASE_S + 1)
    assert operation.id in await second._journal.claimable(10)
    assert await second.run(operation.id)
    done, steps = await lab.stack.operation(operation.id)
    assert OperationState(done.state) is OperationState.SUCCEEDED

    before = await check_consistent(lab)
    gate.release()  # the first one wakes up, and has something to say
    await lab.stack.workers.engine.idle()
    after = await check_consistent(lab)
    assert after.last_event == before.last_event
    assert {key: step.attempts for key, step in steps.items() if step.attempts != 1} == {f"create:{vm_id}": 2}
    vm = await lab.vm(vm_id)
    assert [lab.world.count(e, vm.uuid) for e in (Effect.OVERLAY_MADE, Effect.VM_DEFINED, Effect.VM_STARTED)] == [
        1,
        1,
        1,
    ]


WRITES: dict[str, Write] = {
    "begin": lambda journal, lease, step: journal.begin_step(lease, step, undo=False),
    "begin to undo": lambda journal, lease, step: journal.begin_step(lease, step, undo=True),
    "note": lambda journal, lease, step: journal.note_step(lease, step, "waiting"),
    "end": lambda journal, lease, step: journal.end_step(lease, step, {}, undo=False),
    "end undoing": lambda journal, lease, step: journal.end_step(lease, step, {}, undo=True),
    "fail": lambda journal, lease, step: journal.fail_step(lease, step, "broken", undo=False),
    "skip": lambda journal, lease, step: journal.skip_steps(lease, [step], "not needed"),
    "start undoing": lambda journal, lease, _step: journal.start_undo(lease, "broken"),
    "finish": lambda journal, lease, _step: journal.finish(lease, OperationState.SUCCEEDED, ""),
}


@pytest.mark.parametrize("write", WRITES)
async def test_no_write_passes_with_an_old_token(faulty: Lab, write: str) -> None:
    operation_id = await open_without_engine(faulty)
    first, second = another_worker(faulty, "first")._journal, another_worker(faulty, "second")._journal
    lease = await first.claim(operation_id)
    assert lease is not None
    faulty.clock.turn(LEASE_S + 1)
    newer = await second.claim(operation_id)
    assert newer is not None
    assert newer.token > lease.token
    steps, _ = await first.load(lease)
    before, _ = await faulty.stack.operation(operation_id)
    with pytest.raises(LeaseLostError):
        await WRITES[write](first, lease, steps[0])
    after, rows = await faulty.stack.operation(operation_id)
    assert (after.state, after.fencing_token, after.lease_owner) == (before.state, newer.token, "second")
    assert {row.state for row in rows.values()} == {"pending"}
    assert not await first.renew(lease)
    await first.drop(lease)  # says nothing and does nothing
    assert (await faulty.stack.operation(operation_id))[0].lease_owner == "second"
    await WRITES[write](second, newer, steps[0])


async def test_a_worker_that_learns_of_its_loss_stops_in_the_middle_of_a_call(faulty: Lab) -> None:
    gate = faulty.world.faults.block("create_vm")
    operation_id = await open_without_engine(faulty)
    worker = another_worker(faulty, heartbeat_s=0)
    running = asyncio.create_task(worker.run(operation_id))
    await gate.reached()
    async with faulty.stack.database.write_session() as session:
        await session.execute(update(Operation).values(fencing_token=Operation.fencing_token + 1))
        await session.commit()
    assert await running
    assert gate.held == 0
    assert (await faulty.stack.operation(operation_id))[0].state == "running"  # left to whoever has it now


async def renewed(lab: Lab, operation_id: int, *, after: datetime) -> None:
    """Wait until the lease lasts longer than that; no event tells of it."""
    expires_at = None
    while expires_at is None or expires_at < after:
        operation, _ = await lab.stack.operation(operation_id)
        expires_at = operation.lease_expires_at


async def test_the_heartbeat_keeps_a_long_step(faulty: Lab) -> None:
    gate = faulty.world.faults.block("create_vm")
    operation_id = await open_without_engine(faulty)
    running = asyncio.create_task(another_worker(faulty, heartbeat_s=0).run(operation_id))
    await gate.reached()
    for _ in range(3):
        faulty.clock.turn(LEASE_S / 2)
        await renewed(faulty, operation_id, after=faulty.clock.now)
        assert not await another_worker(faulty, "late").run(operation_id)
    gate.release()
    assert await running
    assert (await faulty.stack.operation(operation_id))[0].state == "succeeded"


async def test_an_orderly_stop_leaves_the_operation_to_the_next_one_at_once(faulty_anywhere: Lab) -> None:
    lab = faulty_anywhere
    slice_id = await make_slice(lab)
    gate = lab.world.faults.block("start_vm", vm="web")
    operation = await deploy(lab, slice_id)
    await gate.reached()
    await lab.stack.stop()
    lab.stacks.clear()
    lab.world.faults.clear()
    await lab.start()  # no time has passed
    assert await lab.stack.ended(operation.id) is OperationState.SUCCEEDED
    await check_consistent(lab)


async def test_an_ended_operation_cannot_be_claimed(faulty: Lab) -> None:
    _, operation = await make_vm(faulty)
    assert await faulty.stack.ended(operation.id) is OperationState.SUCCEEDED
    faulty.clock.turn(LEASE_S + 1)
    assert not await another_worker(faulty).run(operation.id)
    assert await another_worker(faulty)._journal.claimable(10) == []


async def test_a_driver_that_raises_what_it_must_not_ends_the_operation(
    faulty: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise KeyError("a mistake")

    monkeypatch.setattr("parcela.hypervisors.simulated.driver.SimulatedDriver.start_vm", broken)
    vm_id, operation = await make_vm(faulty)
    assert await faulty.stack.ended(operation.id) is OperationState.FAILED
    assert (await faulty.vm(vm_id)).error == "Something went wrong on our side; the log says more."
    await check_consistent(faulty)
