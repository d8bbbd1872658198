"""What reconcilers share, and the loop that runs them on a timer and on a signal.

A reconciler takes no input, is idempotent, and says in its header what it repairs and what it must not touch.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

import structlog

from parcela.core.disks import is_storage_trouble
from parcela.core.errors import ParcelaError
from parcela.core.tasks import end, is_set_within
from parcela.hypervisors.driver import Driver
from parcela.models import Host
from parcela.repositories.uow import UnitOfWorkFactory
from parcela.services.compute.drivers import HostDrivers

REST_S = 1.0
"""After a round: what hints at something meanwhile is looked at once. A deployment gives two hints per VM, and a look
lists everything that is on the host; one look after the other took the deployment's own processor time."""
PAGE_ROWS = 500
"""Rows asked for at a time. Between two pages the loop can be ended: one with 1,000,000 VMs once did not stop."""
T = TypeVar("T")
log = structlog.get_logger(__name__)


class Reconciler(Protocol):
    """Repairs one condition."""

    name: str

    async def run(self) -> int:
        """Look at the world once; how many things were repaired."""
        ...


def pages(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """A sequence in parts of at most ``size``."""
    return (items[start : start + size] for start in range(0, len(items), size))


class DrivenHosts:
    """The hosts this process can drive, each with its driver."""

    def __init__(self, uows: UnitOfWorkFactory, drivers: HostDrivers) -> None:
        """Take the collaborators."""
        self._uows = uows
        self._drivers = drivers

    async def each(self) -> AsyncIterator[tuple[Host, Driver]]:
        """Hosts one by one."""
        async with self._uows.read() as uow:
            hosts = await uow.hosts.with_provider()
        for host, provider in hosts:
            if self._drivers.drives(provider):
                yield host, await self._drivers.get(provider, host.name)


class ReconcilerLoop:
    """Runs all reconcilers one after the other: on a timer, and soon after a signal."""

    def __init__(
        self,
        reconcilers: Sequence[Reconciler],
        interval_s: float,
        observe: Callable[[float, Mapping[str, int]], None] = lambda _took_s, _repairs: None,
        rest_s: float = REST_S,
    ) -> None:
        """Take the reconcilers and when to run them.

        Args:
            reconcilers: in this order.
            interval_s: seconds between two rounds without a signal.
            observe: gets seconds and repairs of each round.
            rest_s: seconds after a round in which no other begins.
        """
        self._rest_s = rest_s
        self._observe = observe
        self._reconcilers = reconcilers
        self._interval_s = interval_s
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def signal(self) -> None:
        """Something happened: look now."""
        self._wake.set()

    async def round(self) -> dict[str, int]:
        """Run each once; repairs by name. One that fails does not stop the others."""
        repairs: dict[str, int] = {}
        began = time.perf_counter()
        for reconciler in self._reconcilers:
            try:
                repairs[reconciler.name] = await reconciler.run()
            except ParcelaError as exc:
                tell = log.debug if is_storage_trouble(exc) else log.warning  # the first is logged once for all
                tell("reconciler.failed", reconciler=reconciler.name, reason=exc.message, internal=exc.internal)
            except Exception:
                log.exception("reconciler.crashed", reconciler=reconciler.name)
        self._observe(time.perf_counter() - began, repairs)
        return repairs

    async def _for_ever(self) -> None:
        while True:
            await is_set_within(self._wake, self._interval_s)
            self._wake.clear()
            await self.round()
            await asyncio.sleep(self._rest_s)

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._for_ever())

    async def aclose(self) -> None:
        """Stop."""
        if self._task:
            await end(self._task)
