"""Carries out one operation: claims it, walks its graph of steps, undoes it when it must."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace

import structlog

from parcela.core.lifecycle import OperationState, StepState
from parcela.core.tasks import end
from parcela.hypervisors.errors import (
    DriverError,
    FatalDriverError,
    HostUnreachableError,
    RetryableDriverError,
    VmPausedError,
)
from parcela.services.compute.drivers import HostDrivers
from parcela.services.operations.destructions import CANCELLED
from parcela.services.operations.journal import Journal, Lease, LeaseLostError, StepRow
from parcela.services.operations.steps import KINDS, Call, Result, StepInputs
from parcela.workers.limits import HostLimits

log = structlog.get_logger(__name__)
MAX_ATTEMPTS = 5
RETRY_BUDGET_S = 30.0
"""No attempt is begun later than this after the first one failed. A hiccup is over by then: where each attempt fails at
once, all five fit (15 s); where each took 15 s, a boot was repeated for minutes that could not succeed."""
UNREACHABLE_RETRY_S = 2.0
MAX_BACKOFF_S = 30.0
Pause = Callable[[float], Awaitable[None]]


class StepFailedError(Exception):
    """A step failed for good; the text is public."""

    def __init__(self, message: str, step: StepRow) -> None:
        """Take the text and the step."""
        super().__init__(message)
        self.step = step


class OperationExecutor:
    """Works on operations with the drivers of this process."""

    def __init__(
        self,
        journal: Journal,
        drivers: HostDrivers,
        limits: HostLimits,
        heartbeat_s: float,
        pause: Pause = asyncio.sleep,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """``pause`` waits between attempts, ``seconds`` is a clock (tests turn both)."""
        self._journal = journal
        self._drivers = drivers
        self._limits = limits
        self._heartbeat_s = heartbeat_s
        self._pause = pause
        self._seconds = seconds
        self._cancelled: dict[int, asyncio.Event] = {}

    async def look_for_cancel(self, operation_id: int) -> None:
        """Let an operation of this process know when somebody asked to cancel it."""
        if operation_id in self._cancelled and await self._journal.cancel_asked(operation_id):
            asked = self._cancelled.get(operation_id)
            if asked is not None:
                asked.set()

    async def run(self, operation_id: int) -> bool:
        """Work on an operation until it has ended; False when somebody else holds it or it has ended already."""
        lease = await self._journal.claim(operation_id)
        if lease is None:
            return False
        self._cancelled[operation_id] = asyncio.Event()
        heartbeat = asyncio.create_task(self._heartbeat(lease))
        work = asyncio.create_task(self._work(lease))
        try:
            await asyncio.wait({heartbeat, work}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
            else:
                log.warning("operation.lease_lost", operation_id=operation_id)
        except LeaseLostError:
            log.warning("operation.lease_lost", operation_id=operation_id)
        except asyncio.CancelledError:
            await end(heartbeat, work)
            await self._journal.drop(lease)
            raise
        finally:
            await end(heartbeat, work)
            del self._cancelled[operation_id]
        return True

    async def _heartbeat(self, lease: Lease) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_s)
            if not await self._journal.renew(lease):
                return
            await self.look_for_cancel(lease.operation_id)

    async def _work(self, lease: Lease) -> None:
        with structlog.contextvars.bound_contextvars(operation_id=lease.operation_id):
            if lease.state is not OperationState.UNDOING:
                state, error = await self._forward(lease)
                if state is OperationState.SUCCEEDED or not lease.undo_on_failure:
                    await self._journal.finish(lease, state, error)
                    return
                await self._journal.start_undo(lease, error)
            await self._backward(lease)

    async def _forward(self, lease: Lease) -> tuple[OperationState, str]:
        steps, cancelled = await self._journal.load(lease)
        if cancelled:
            self._cancelled[lease.operation_id].set()
        walk = _Walk(steps, done=[s.key for s in steps if s.state is StepState.DONE])
        for failed in (s for s in steps if s.state is StepState.FAILED):
            walk.fail(failed.key)
        await self._journal.skip_steps(lease, walk.take_skipped(), "Something it needs failed.")
        errors = await self._walk(lease, walk, undo=False, stop_on_error=lease.undo_on_failure)
        if self._cancelled[lease.operation_id].is_set() and not walk.complete:
            await self._leave(lease, walk.waiting())
            return OperationState.CANCELLED, CANCELLED
        failed_before = [s.key for s in steps if s.state is StepState.FAILED]
        if errors or failed_before:
            # What is undone on a failure is never done in part.
            told = "; ".join(str(error) for error in errors) if lease.undo_on_failure else _told(steps, errors)
            return OperationState.FAILED, told or f"Failed: {', '.join(failed_before)}"
        return OperationState.SUCCEEDED, ""

    async def _leave(self, lease: Lease, steps: Iterable[StepRow]) -> None:
        """Close what a cancel request leaves undone. What a killed worker had begun may have had its effect."""
        skipped = []
        for step in steps:
            if step.state is StepState.RUNNING:
                await self._journal.fail_step(lease, step, "Cancelled while it was under way.", undo=False)
            else:
                skipped.append(step)
        await self._journal.skip_steps(lease, skipped, "The operation was cancelled.")

    async def _backward(self, lease: Lease) -> None:
        """Undo in reverse order everything that may have had an effect; what cannot be undone makes it stuck."""
        steps, cancelled = await self._journal.load(lease)
        pending = [s for s in steps if s.state is StepState.PENDING]
        await self._journal.skip_steps(lease, pending, "Not reached.")
        touched = {StepState.RUNNING, StepState.DONE, StepState.FAILED, StepState.UNDOING, StepState.UNDO_FAILED}
        todo = [s for s in steps if s.state in touched and KINDS[s.kind].undo is not None]
        keys = {s.key for s in todo}
        users: dict[str, list[str]] = {key: [] for key in keys}
        for step in todo:
            for need in step.depends_on:
                if need in keys:
                    users[need].append(step.key)
        backwards = [replace(s, depends_on=tuple(users[s.key])) for s in todo]
        errors = await self._walk(lease, _Walk(backwards, done=[]), undo=True, stop_on_error=False)
        if errors:
            await self._journal.finish(lease, OperationState.STUCK, "; ".join(str(error) for error in errors))
        else:
            ended = OperationState.CANCELLED if cancelled else OperationState.FAILED
            await self._journal.finish(lease, ended, "")

    async def _walk(self, lease: Lease, walk: "_Walk", *, undo: bool, stop_on_error: bool) -> list[StepFailedError]:
        """Run the graph; the errors of the steps that failed."""
        errors: list[StepFailedError] = []
        hopeless = asyncio.Event()  # it will be undone anyway: nothing is repeated any more
        running: dict[asyncio.Task[None], StepRow] = {}
        try:
            while True:
                stopped = (errors and stop_on_error) or (self._cancelled[lease.operation_id].is_set() and not undo)
                for step in () if stopped else walk.take_ready():
                    running[asyncio.create_task(self._step(lease, step, hopeless, undo=undo))] = step
                if not running:
                    return errors
                finished, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in finished:
                    step = running.pop(task)
                    try:
                        task.result()
                        walk.finish(step.key)
                    except StepFailedError as exc:
                        errors.append(exc)
                        walk.fail(step.key)
                        if stop_on_error:
                            hopeless.set()
                if not stop_on_error and not undo:
                    await self._journal.skip_steps(lease, walk.take_skipped(), "Something it needs failed.")
        finally:
            await end(*running)

    async def _step(self, lease: Lease, step: StepRow, hopeless: asyncio.Event, *, undo: bool) -> None:
        failures, first_failed_s = 0, 0.0
        while True:
            try:
                await self._attempt(lease, step, undo=undo)
            except HostUnreachableError as exc:
                # The host's fault, not the step's: it waits as long as it takes, without using up attempts.
                await self._journal.note_step(lease, step, f"Waiting for the host: {exc.message}")
                last = FatalDriverError(f"Given up while it waited for the host: {exc.message}")
                delay_s = UNREACHABLE_RETRY_S
            except RetryableDriverError as exc:
                failures += 1
                now_s = self._seconds()
                first_failed_s = first_failed_s if failures > 1 else now_s
                delay_s = min(exc.retry_after_s * 2 ** (failures - 1), MAX_BACKOFF_S)
                last = FatalDriverError(f"{exc.message} (given up after {_attempts(failures)})", internal=exc.internal)
                if failures >= MAX_ATTEMPTS or now_s + delay_s - first_failed_s > RETRY_BUDGET_S:
                    await self._give_up(lease, step, last, undo=undo)
                note = f"Trying again (attempt {failures + 1} of at most {MAX_ATTEMPTS}): {exc.message}"
                await self._journal.note_step(lease, step, note)
            except DriverError as exc:
                await self._give_up(lease, step, exc, undo=undo)
            else:
                return
            if await self._wait(lease, delay_s, hopeless, undo=undo):
                await self._give_up(lease, step, FatalDriverError("Cancelled while it was waiting."), undo=undo)
            if hopeless.is_set():
                await self._give_up(lease, step, last, undo=undo)

    async def _attempt(self, lease: Lease, step: StepRow, *, undo: bool) -> None:
        kind = KINDS[step.kind]
        async with self._limits.slot(step.kind, step.host_id, step.host_vcpus):
            inputs = await self._journal.begin_step(lease, step, undo=undo)
            async with self._limits.nat_order(step.kind, inputs):
                result = await self._call(kind.undo if undo else kind.do, inputs)
                if kind.waits is not None and not undo:
                    result |= await self._wait_for_guest(lease, kind.waits, inputs)
            await self._journal.end_step(lease, step, result, undo=undo)

    async def _wait_for_guest(self, lease: Lease, waits: Call, inputs: StepInputs) -> Result:
        """What comes after the side effect; a guest that hangs keeps nobody from cancelling.

        A deployment is undone then. What is not undone has had its effect: the guest runs, and nobody waits for it.
        """
        waiting = asyncio.create_task(self._call(waits, inputs))
        asked = asyncio.create_task(self._cancelled[lease.operation_id].wait())
        try:
            await asyncio.wait({waiting, asked}, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                return waiting.result()
        finally:
            await end(waiting, asked)
        if lease.undo_on_failure:
            raise FatalDriverError("Cancelled while the guest was booting.")
        return {}

    async def _call(self, call: Call | None, inputs: StepInputs) -> Result:
        """The side effect. A driver that raises what it must not is taken for failed: else the operation never ends."""
        try:
            driver = await self._drivers.get(inputs.provider, inputs.host_name)
            return await call(driver, inputs) if call else {}
        except DriverError:
            raise
        except Exception as exc:
            log.exception("step.crashed", host=inputs.host_name)
            text = "Something went wrong on our side; the log says more."
            raise FatalDriverError(text, internal=repr(exc)) from exc

    async def _give_up(self, lease: Lease, step: StepRow, exc: DriverError, *, undo: bool) -> None:
        log.warning("step.failed", step=step.key, undo=undo, message=exc.message, internal=exc.internal)
        paused = exc.reason if isinstance(exc, VmPausedError) else None
        await self._journal.fail_step(lease, step, exc.message, undo=undo, paused=paused)
        raise StepFailedError(exc.message, step) from exc

    async def _wait(self, lease: Lease, delay_s: float, hopeless: asyncio.Event, *, undo: bool) -> bool:
        """Wait before the next attempt; True when a cancel request ended the waiting, and with it the step."""
        if undo:
            await self._pause(delay_s)
            return False
        cancelled = self._cancelled[lease.operation_id]
        waits = [
            asyncio.ensure_future(self._pause(delay_s)),
            *(asyncio.ensure_future(e.wait()) for e in (cancelled, hopeless)),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(*waits)
        return cancelled.is_set()


def _told(steps: Sequence[StepRow], errors: Sequence[StepFailedError]) -> str:
    """What failed on which VM, and how many others are done: where there are several, one does not stop the others."""
    vms = {step.vm_id for step in steps if step.vm_id}
    failed = {error.step.vm_id for error in errors if error.step.vm_id}
    if len(vms) < 2 or not failed:
        return "; ".join(str(error) for error in errors)
    told = "; ".join(f"{error.step.vm_name}: {error}" if error.step.vm_name else str(error) for error in errors)
    return f"{told} ({len(failed)} of {len(vms)} VMs failed)"


def _attempts(count: int) -> str:
    return f"{count} attempt{'s' if count != 1 else ''}"


class _Walk:
    """Which steps of a graph may run now."""

    def __init__(self, steps: Iterable[StepRow], *, done: Iterable[str]) -> None:
        self._done = set(done)
        self._waiting = {s.key: s for s in steps if s.key not in self._done and s.state is not StepState.SKIPPED}
        self._taken: set[str] = set()
        self._failed: set[str] = set()
        self._skipped: list[StepRow] = []

    @property
    def complete(self) -> bool:
        """Whether every step is done."""
        return not self._waiting and not self._failed

    def take_ready(self) -> list[StepRow]:
        """Steps whose needs are all done, each given out once."""
        ready = [
            step
            for key, step in self._waiting.items()
            if key not in self._taken and all(need in self._done for need in step.depends_on)
        ]
        self._taken.update(step.key for step in ready)
        return ready

    def finish(self, key: str) -> None:
        """A step is done."""
        self._waiting.pop(key, None)
        self._done.add(key)

    def fail(self, key: str) -> None:
        """A step failed: everything that needs it, directly or not, is skipped."""
        self._waiting.pop(key, None)
        self._failed.add(key)
        for step in list(self._waiting.values()):
            if key in step.depends_on and step.key in self._waiting:
                self._skipped.append(step)
                self.fail(step.key)

    def take_skipped(self) -> list[StepRow]:
        """Steps that were skipped since the last call."""
        skipped, self._skipped = self._skipped, []
        return skipped

    def waiting(self) -> list[StepRow]:
        """Steps that were never given out."""
        return [step for key, step in self._waiting.items() if key not in self._taken]
