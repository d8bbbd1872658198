"""What every driver call of the simulated provider goes through: the log, reachability, switches and delays."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

from parcela.hypervisors.errors import FatalDriverError, HostUnreachableError
from parcela.hypervisors.simulated.faults import Moment, Target
from parcela.hypervisors.simulated.host import SimHost
from parcela.hypervisors.simulated.machine import SimVm
from parcela.hypervisors.simulated.world import SimulatedWorld

Midpoint = Callable[[], Awaitable[None]]


class HostCalls:
    """Base of the driver's parts: one host as one installation sees it."""

    def __init__(self, world: SimulatedWorld, host_name: str, installation: str) -> None:
        """Stand for a host of the world.

        Args:
            world: where the truth is.
            host_name: name of the host; made with the world's default size when it was not added.
            installation: id that marks what is ours.
        """
        self._world = world
        self._installation = installation
        self._host: SimHost = world.host(host_name)

    @asynccontextmanager
    async def _call(
        self, method: str, delay_s: float, uuid: UUID | None = None, *, name: str = ""
    ) -> AsyncIterator[Midpoint]:
        """Wrap one call: half of the delay comes first, half at the midpoint (or at the end when there is none).

        A kill (cancellation) can hit at each of them, so a call of two effects can be cut between the two.
        """
        vm = self._host.vms.get(uuid) if uuid is not None else None
        target = Target(method, self._host.name, uuid, name or (vm.spec.name if vm else ""))
        self._world.calls.append(target)
        armed = self._world.faults.arm(target)
        halves = 2

        async def pass_time(moment: Moment) -> None:
            nonlocal halves
            self._check_reachable()
            await armed.act(moment)
            if halves:
                halves -= 1
                await self._world.timing.sleep(delay_s / 2)
            self._check_reachable()

        async def midpoint() -> None:
            await pass_time(Moment.MIDDLE)

        await pass_time(Moment.BEFORE)
        # A call with a single effect has no middle of its own: its MIDDLE switches act just before the effect.
        if method not in _IN_TWO_PARTS:
            await midpoint()
        yield midpoint
        await pass_time(Moment.AFTER)

    def _check_reachable(self) -> None:
        if not self._host.reachable:
            raise HostUnreachableError(f"host {self._host.name} does not answer")

    def _ours(self, uuid: UUID) -> SimVm | None:
        """Our VM or its remains, with everything done that was due; a stranger's is as good as none."""
        vm = self._host.vms.get(uuid)
        if vm is None or vm.installation != self._installation:
            return None
        self._host.advance(vm)
        return vm

    def _existing(self, uuid: UUID) -> SimVm:
        """Our VM. FatalDriverError when there is none, or only files of it."""
        vm = self._ours(uuid)
        if vm is None or not vm.defined:
            raise FatalDriverError(f"there is no VM {uuid} on host {self._host.name}")
        return vm

    def _active(self, uuid: UUID, doing: str) -> SimVm:
        """Our VM, running or paused. FatalDriverError when it is off."""
        vm = self._existing(uuid)
        if not vm.is_active:
            raise FatalDriverError(f"could not {doing} VM {vm.spec.name}: it is switched off")
        return vm

    def _switched_off(self, uuid: UUID, doing: str) -> SimVm:
        """Our VM, switched off. FatalDriverError when it is running or paused."""
        vm = self._existing(uuid)
        if vm.is_active:
            raise FatalDriverError(f"could not {doing} VM {vm.spec.name}: it has to be switched off first")
        return vm


_IN_TWO_PARTS = frozenset({"create_vm", "remove_vm"})


async def digest_fits(path: str, sha256: str) -> bool:
    """Whether the file has this digest. A file that is not there is believed: the demo has no need of real images."""

    def check() -> bool:
        file = Path(path)
        if not file.is_file():
            return True
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == sha256

    return not path or await asyncio.to_thread(check)
