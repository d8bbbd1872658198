"""A whole control plane in process, on a simulated world that outlives it: it can be stopped, killed and started."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from parcela.core.clock import Clock
from parcela.core.lifecycle import OperationState
from parcela.core.passwords import PasswordHasher
from parcela.core.settings import Settings
from parcela.db.database import Database
from parcela.hypervisors.registry import DriverRegistry
from parcela.hypervisors.simulated import SimulatedDriver, SimulatedWorld
from parcela.models import Operation, OperationStep
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork, UnitOfWorkFactory
from parcela.services.compute.drivers import HostDrivers
from parcela.services.container import Services
from parcela.services.operations.journal import Journal
from parcela.services.signals import Signal
from parcela.wiring.services import build_services
from parcela.wiring.workers import Workers, build_workers
from parcela.workers.executor import OperationExecutor
from tests.support.furnish import ROUNDS


class KilledError(BaseException):
    """The process is dead: what it still tries to do to the database does not happen."""


class MortalUows(UnitOfWorkFactory):
    """Units of work of a process that can be killed, at once or around its nth commit from now."""

    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__(database, clock)
        self.commits = 0
        self.died = asyncio.Event()
        self._last: tuple[int, bool] | None = None

    def die_at(self, commit: int, *, after: bool) -> None:
        """Die just before (or just after) a commit, counted from 1 from now on."""
        self.commits = 0
        self._last = (commit, after)

    def _check_alive(self) -> None:
        if self.died.is_set():
            raise KilledError

    @asynccontextmanager
    async def read(self) -> AsyncIterator[ReadUnitOfWork]:
        self._check_alive()
        async with super().read() as uow:
            yield uow

    @asynccontextmanager
    async def write(self) -> AsyncIterator[UnitOfWork]:
        self._check_alive()
        async with super().write() as uow:
            self._check_alive()
            setattr(uow, "commit", self._mortal(uow, uow.commit))  # noqa: B010 (mypy: a method is no field)
            yield uow

    def _mortal(self, uow: UnitOfWork, commit: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        async def wrapped() -> None:
            self._check_alive()
            self.commits += 1
            mine, after = self._last or (0, False)
            if self.commits == mine and not after:
                self.died.set()
            self._check_alive()
            if self.commits == mine:
                uow._hooks.clear()  # it dies before it can tell anybody
                await commit()
                self.died.set()
            else:
                await commit()
            self._check_alive()

        return wrapped


@dataclass
class Pauses:
    """Waiting between attempts, without waiting: it is only noted, or held until the test lets go."""

    delays: list[float] = field(default_factory=list)
    hold: bool = False
    attempt_s: float = 0.0  # how long each attempt takes, for who looks at the clock
    now_s: float = 0.0
    _begun: asyncio.Condition = field(default_factory=asyncio.Condition)
    _waiting: int = 0

    async def __call__(self, delay_s: float) -> None:
        self.delays.append(delay_s)
        self.now_s += delay_s + self.attempt_s
        if not self.hold:
            await asyncio.sleep(0)
            return
        self._waiting += 1
        try:
            async with self._begun:
                self._begun.notify_all()
                await self._begun.wait_for(lambda: not self.hold)
        finally:
            self._waiting -= 1

    async def reached(self, count: int = 1) -> None:
        """Wait until that many pauses are held at once."""
        async with self._begun:
            await self._begun.wait_for(lambda: self._waiting >= count)

    async def release(self) -> None:
        """Let them all end, and later ones pass."""
        async with self._begun:
            self.hold = False
            self._begun.notify_all()


@dataclass
class Stack:
    """One process: services and workers on a database."""

    database: Database
    uows: MortalUows
    drivers: HostDrivers
    services: Services
    workers: Workers
    pauses: Pauses
    hasher: PasswordHasher

    @property
    def executor(self) -> OperationExecutor:
        return self.workers.engine._executor

    @property
    def journal(self) -> Journal:
        return self.workers.engine._journal

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Wait for a condition that can change only with an event of this process."""
        subscription = self.services.hub.subscribe()
        try:
            while not await condition():
                await subscription.queue.get()
        finally:
            self.services.hub.unsubscribe(subscription)

    async def operation(self, operation_id: int) -> tuple[Operation, dict[str, OperationStep]]:
        """An operation and its steps by key."""
        async with self.uows.read() as uow:
            operation = await uow.operations.get(operation_id)
            steps = await uow.operations.steps(operation_id)
        return operation, {step.key: step for step in steps}

    async def settle(self) -> None:
        """Wait until no operation runs here; every one is taken up first, as the sweep would."""
        await self.workers.engine.sweep()
        await self.workers.engine.idle()

    async def ended(self, operation_id: int) -> OperationState:
        """Wait for the end of everything; the state of one operation."""
        await self.settle()
        operation, _ = await self.operation(operation_id)
        return OperationState(operation.state)

    async def quiet_but(self, operation_id: int, held: str) -> None:
        """Wait until every step is done but a held one and those that need it."""

        async def done() -> bool:
            _, steps = await self.operation(operation_id)
            blocked = {held}
            for key, step in steps.items():  # in plan order: needs come first
                if blocked & set(step.depends_on):
                    blocked.add(key)
            return all(step.state == "done" for key, step in steps.items() if key not in blocked)

        await self.until(done)

    async def round(self) -> dict[str, int]:
        """Run every reconciler once; repairs by name."""
        return await self.workers.reconcilers.round()

    async def kill(self) -> None:
        """End abruptly: no lease is dropped, nothing more is written."""
        self.uows.died.set()
        await self._end()

    async def stop(self) -> None:
        """End in order."""
        await self._end()

    async def _end(self) -> None:
        await self.workers.webhooks.aclose()
        await self.workers.engine.aclose()
        await self.drivers.aclose()
        if not self.uows.died.is_set():
            await self.services.auth.aclose()
        await self.services.images.aclose()
        self.hasher.close()
        await self.database.aclose()


async def start_stack(settings: Settings, world: SimulatedWorld, clock: Clock, *, hold_pauses: bool = False) -> Stack:
    """Start as ``main.running`` does, but with cheap passwords and reconcilers that run when a test says so."""
    database = Database(settings.resolved_database_url)
    uows = MortalUows(database, clock)
    async with uows.write() as uow:
        installation = await uow.installation()
        if database.is_sqlite:
            await uow.operations.drop_all_leases()
        await uow.commit()
    drivers = HostDrivers(
        DriverRegistry({"simulated": lambda name: SimulatedDriver(world, name, installation)}),
    )
    hasher, signal, pauses = PasswordHasher(ROUNDS), Signal(), Pauses(hold=hold_pauses)
    services = build_services(settings, uows, drivers, signal, hasher)
    workers = build_workers(services, signal)
    workers.engine._executor._pause = pauses
    workers.engine._executor._seconds = lambda: pauses.now_s
    stack = Stack(database, uows, drivers, services, workers, pauses, hasher)
    await stack.round()
    await workers.engine.start()
    return stack
