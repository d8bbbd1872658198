"""Installations in a certain state, brought about once and copied for every test that begins there."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, TypeVar
from uuid import UUID, uuid4

from parcela.hypervisors.simulated import Delays, SimulatedWorld
from parcela.hypervisors.simulated.machine import SimVm
from parcela.hypervisors.spec import PowerState
from tests.support.clock import Clock
from tests.support.lab import Lab, lab_settings, open_lab

SubjectT = TypeVar("SubjectT")


def copy_world(old: SimulatedWorld) -> SimulatedWorld:
    """A world with the same things in it, each made once. Guests boot anew."""
    new = SimulatedWorld(delays=Delays.none())
    for host in old.hosts:
        size = host.size
        twin = new.add_host(host.name, vcpus=size.vcpus, memory_mib=size.memory_mib, disk_gib=size.disk_gib)
        twin.images |= host.images
        for (installation, _), segment in host.segments.items():
            twin.put_segment(installation, segment.spec)
        for uuid, vm in host.vms.items():
            made = SimVm(host.name, vm.installation, vm.spec)
            twin.vms[uuid] = made
            twin.make_overlay(made)
            if vm.defined:
                twin.define(made, vm.spec)
            if vm.is_active:
                twin.switch_on(made, paused=vm.power is PowerState.PAUSED)
    return new


@dataclass
class _Snapshot(Generic[SubjectT]):
    database: Path
    world: SimulatedWorld
    clock: Clock
    names: dict[UUID, str]
    subject: SubjectT


@dataclass
class Snapshots(Generic[SubjectT]):
    """Snapshots on SQLite by what brings them about."""

    empty: Callable[[Path], str]
    folder: Path
    _made: dict[Hashable, _Snapshot[SubjectT]] = field(default_factory=dict)

    @asynccontextmanager
    async def open(
        self, before: Callable[[Lab], Awaitable[SubjectT]], folder: Path
    ) -> AsyncIterator[tuple[Lab, SubjectT]]:
        """A started installation in that state, and what it is about."""
        if before not in self._made:
            self._made[before] = await self._make(before)
        kept = self._made[before]
        path = folder / f"parcela-{uuid4().hex[:8]}.db"
        shutil.copyfile(kept.database, path)
        settings = lab_settings(f"sqlite:///{path}", folder)
        lab = Lab(settings, copy_world(kept.world), replace(kept.clock), names=dict(kept.names))
        try:
            await lab.start()
            yield lab, deepcopy(kept.subject)
        finally:
            await lab.aclose()

    async def _make(self, before: Callable[[Lab], Awaitable[SubjectT]]) -> _Snapshot[SubjectT]:
        url = self.empty(self.folder)
        async with open_lab(url, self.folder) as lab:
            subject = await before(lab)
            await lab.stack.stop()
            lab.stacks.clear()
            return _Snapshot(Path(url.removeprefix("sqlite:///")), lab.world, lab.clock, lab.names, subject)
