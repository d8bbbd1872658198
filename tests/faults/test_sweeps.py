"""Rounds of the reconcilers: what they tell of hosts, and how much they read at a time."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from uuid import UUID

import pytest
from sqlalchemy import event
from structlog.testing import capture_logs

from parcela.models import VirtualMachine
from parcela.repositories.segments import SegmentRepository
from parcela.repositories.vms import Judged, Placed, VmRepository
from parcela.workers.reconcilers.base import DrivenHosts
from parcela.workers.reconcilers.orphan_sweep import OrphanSweep
from parcela.workers.reconcilers.vm_drift import VmDrift
from tests.support.checks import check_consistent
from tests.support.lab import Lab, make_running_slice

pytestmark = pytest.mark.anyio
CLOSED = "QEMU runs as the user nobody, who may not enter /root."
PAGE_ROWS = 2


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each question of a sweep asked for or got."""
    seen: list[int] = []
    placed, to_judge, living = VmRepository.placed, VmRepository.to_judge, SegmentRepository.living_among

    async def note_placed(self: VmRepository, uuids: Sequence[UUID]) -> dict[UUID, Placed]:
        seen.append(len(uuids))
        return await placed(self, uuids)

    async def note_living(self: SegmentRepository, uuids: Sequence[UUID]) -> set[UUID]:
        seen.append(len(uuids))
        return await living(self, uuids)

    async def note_to_judge(
        self: VmRepository, host_id: int, before: datetime, *, after_id: int, limit: int
    ) -> list[Judged]:
        rows = await to_judge(self, host_id, before, after_id=after_id, limit=limit)
        seen.append(len(rows))
        return rows

    monkeypatch.setattr(VmRepository, "placed", note_placed)
    monkeypatch.setattr(VmRepository, "to_judge", note_to_judge)
    monkeypatch.setattr(SegmentRepository, "living_among", note_living)
    return seen


@pytest.fixture
def entities() -> Iterator[list[object]]:
    """VMs that were loaded as entities."""
    loaded: list[object] = []

    def note(entity: object, _context: object) -> None:
        loaded.append(entity)

    event.listen(VirtualMachine, "load", note)
    yield loaded
    event.remove(VirtualMachine, "load", note)


async def test_the_orphan_sweep_looks_up_a_page_at_a_time(
    faulty: Lab, sizes: list[int], entities: list[object]
) -> None:
    for _ in range(3):
        await make_running_slice(faulty)
    async with faulty.stack.uows.read() as uow:
        installation = await uow.installation()
    orphans = {faulty.world.add_partial_vm("h1", installation) for _ in range(3)}
    stack = faulty.stack
    sweep = OrphanSweep(stack.uows, DrivenHosts(stack.uows, stack.drivers), page_rows=PAGE_ROWS)
    entities.clear()
    sizes.clear()
    assert await sweep.run() == len(orphans)
    assert entities == []
    assert max(sizes) == PAGE_ROWS
    assert sum(sizes) == 3 * 2 + len(orphans) + 3 * 2  # VMs and segments of three pairs
    assert all(faulty.world.where(uuid) == () for uuid in orphans)
    assert await sweep.run() == 0
    await check_consistent(faulty)


async def test_drift_is_found_a_page_at_a_time(faulty: Lab, sizes: list[int], entities: list[object]) -> None:
    slices = [await make_running_slice(faulty) for _ in range(3)]
    vms = sorted([vm for slice_id in slices for vm in (await faulty.vms(slice_id)).values()], key=lambda vm: vm.id)
    stack = faulty.stack
    drift = VmDrift(stack.uows, DrivenHosts(stack.uows, stack.drivers), stack.services.vms, page_rows=PAGE_ROWS)
    await drift.run()  # learns addresses
    entities.clear()
    sizes.clear()
    assert await drift.run() == 0
    assert entities == []
    assert sizes == [2, 2, 2, 0]
    for vm in (vms[0], vms[-1]):  # on the first and on the last page
        faulty.world.crash_vm(vm.uuid)
    assert await drift.run() == 2
    states = [(await faulty.vm(vm.id)).state for vm in vms]
    assert states == ["error", "running", "running", "running", "running", "error"]


async def test_what_keeps_vms_from_starting_is_told_once_and_after_every_start(faulty: Lab) -> None:
    host = faulty.world.host("h1")

    async def told() -> list[str]:
        with capture_logs() as lines:
            await faulty.stack.round()
        return [line["event"] for line in lines if line["event"].startswith("host.obstacle")]

    async def health() -> tuple[str, str]:
        checks = {check.name: check for check in await faulty.stack.services.health.checks()}
        return checks["host h1"].status, checks["host h1"].detail

    assert (await health())[0] == "ok"
    host.obstacle = CLOSED
    assert await told() == ["host.obstacle"]
    assert await told() == []
    status, detail = await health()
    assert status == "down"
    assert "/root" not in detail  # everyone may ask for health
    with capture_logs() as lines:
        await faulty.restart()
        await faulty.stack.round()
    assert [line["reason"] for line in lines if line["event"] == "host.obstacle"] == [CLOSED]
    host.obstacle = ""
    assert await told() == ["host.obstacle_gone"]
    assert (await health())[0] == "ok"
