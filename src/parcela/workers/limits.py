"""How much may happen on one host at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from parcela.services.operations.steps import KINDS, StepInputs, uses_nat

CALLS_PER_HOST = 8


class HostLimits:
    """Slots per host.

    Unlimited parallel boots starve guests until their kernels panic (12 of 40 in the spike), and a limit of cores + 1
    shortens the median time to ready by 40 %; other calls are cheap, but libvirtd's queue should stay short.
    """

    def __init__(self, boots_per_host: int) -> None:
        """Take the number of boots at once; 0 means the host's processors plus one."""
        self._boots_per_host = boots_per_host
        self._boots: dict[int, asyncio.Semaphore] = {}
        self._calls: dict[int, asyncio.Semaphore] = {}
        self._nat: dict[int, asyncio.Lock] = {}

    @asynccontextmanager
    async def slot(self, kind: str, host_id: int, host_vcpus: int) -> AsyncIterator[None]:
        """Hold a slot of a host while a step runs; a boot holds it until the guest is ready."""
        if KINDS[kind].boots:
            width = self._boots_per_host or host_vcpus + 1
            slots = self._boots.setdefault(host_id, asyncio.Semaphore(width))
        else:
            slots = self._calls.setdefault(host_id, asyncio.Semaphore(CALLS_PER_HOST))
        async with slots:
            yield

    @asynccontextmanager
    async def nat_order(self, kind: str, inputs: StepInputs) -> AsyncIterator[None]:
        """Removing the host's NAT segment excludes laying it: the check for users and the removal are two things."""
        if uses_nat(inputs) and not KINDS[kind].boots:
            async with self._nat.setdefault(inputs.host_id, asyncio.Lock()):
                yield
        else:
            yield
