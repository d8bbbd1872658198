"""The embedded engine: operations as asyncio tasks of the API process. The default."""

import asyncio

import structlog

from parcela.core.disks import is_storage_trouble
from parcela.core.errors import ParcelaError
from parcela.core.origin import detach
from parcela.core.tasks import end
from parcela.services.operations.journal import Journal
from parcela.workers.executor import OperationExecutor

log = structlog.get_logger(__name__)
SWEEP_LIMIT = 200


class EmbeddedEngine:
    """Runs every operation in a task of its own, and sweeps for those nobody told it of."""

    def __init__(self, journal: Journal, executor: OperationExecutor, sweep_s: float) -> None:
        """``sweep_s``: seconds between two looks for operations that nobody holds."""
        self._journal = journal
        self._executor = executor
        self._sweep_s = sweep_s
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._looks: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take up what is in the journal, and go on doing so."""
        await self.sweep()
        self._sweeper = asyncio.create_task(self._sweep_for_ever())

    def notify(self, operation_id: int) -> None:
        """Run an operation, or wake it when it runs already (a cancel request)."""
        if operation_id not in self._tasks:
            self._tasks[operation_id] = asyncio.create_task(self._run(operation_id))
            return
        look = asyncio.create_task(self._executor.look_for_cancel(operation_id))
        self._looks.add(look)
        look.add_done_callback(self._looks.discard)

    async def _run(self, operation_id: int) -> None:
        detach()  # a task inherits the request that started it
        structlog.contextvars.clear_contextvars()
        try:
            await self._executor.run(operation_id)
        except ParcelaError as exc:
            # The lease runs out and the sweep takes it up again: neither a database that is away nor one whose disk is
            # full makes an operation fail. The second is logged once for all (StorageWatch).
            tell = log.debug if is_storage_trouble(exc) else log.warning
            tell("operation.interrupted", operation_id=operation_id, reason=exc.message)
        except Exception:
            log.exception("operation.crashed", operation_id=operation_id)
        finally:
            self._tasks.pop(operation_id, None)

    async def sweep(self) -> None:
        """Run every operation nobody holds."""
        for operation_id in await self._journal.claimable(SWEEP_LIMIT):
            self.notify(operation_id)

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._sweep_s)
            try:
                await self.sweep()
            except ParcelaError as exc:
                tell = log.debug if is_storage_trouble(exc) else log.warning
                tell("engine.sweep_failed", reason=exc.message, internal=exc.internal)
            except Exception:
                log.exception("engine.sweep_failed")

    async def idle(self) -> None:
        """Wait until no operation runs in this process."""
        while self._tasks:
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def aclose(self) -> None:
        """Stop at once; steps are idempotent, so the next process repeats those that were under way."""
        tasks = [*self._tasks.values(), *self._looks, *([self._sweeper] if self._sweeper else [])]
        await end(*tasks)
