"""More slices than there is room for, all at once: exactly those that fit run, the others learn what is missing."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.core.lifecycle import OperationState
from parcela.models import Host, Operation, Reservation
from tests.support.checks import check_consistent
from tests.support.furnish import ALICE_ID, STUDENTS, student
from tests.support.lab import Lab, deploy, make_running_slice, make_slice, open_lab

pytestmark = pytest.mark.anyio
SLICES = 60
VMS = 2  # of the template ``duo``
HOSTS = 3
ROOM = SLICES * VMS // 2 // HOSTS  # vCPUs of a host: half of what is asked for
LACKING = re.compile(r"no host has room: .* (has|have) 0 vCPUs, .* free, so \d vCPUs? are lacking")


@pytest.fixture
async def small(any_lab_url: str, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Lab]:
    async with open_lab(any_lab_url, tmp_path, hosts=HOSTS, vcpus=ROOM) as lab:
        yield lab


class Watch:
    """Looks at the books after every event until it is told to stop."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.looks = 0

    async def run(self) -> None:
        events = self._lab.stack.services.hub.subscribe()
        while True:
            await events.queue.get()
            while not events.queue.empty():
                events.queue.get_nowait()
            await self._look()

    def _usage(self, name: str) -> int:
        return self._lab.world.host(name).usage.vcpus

    async def _look(self) -> None:
        reserved = (
            select(func.coalesce(func.sum(Reservation.vcpus), 0))
            .where(Reservation.host_id == Host.id)
            .correlate(Host)
            .scalar_subquery()
        )
        before = {host.name: self._usage(host.name) for host in self._lab.world.hosts}
        async with self._lab.stack.database.read_session() as session:
            rows = (await session.execute(select(Host.name, Host.used_vcpus, Host.vcpus_limit, reserved))).all()
        for name, used, limit, held in rows:
            assert used == held, name
            assert used <= limit, name
            # What is made or removed while the answer is on its way is not in the books of then.
            assert min(before[name], self._usage(name)) <= used, name
        self.looks += 1


async def launch(lab: Lab, slice_id: int, number: int) -> Operation | ParcelaError:
    try:
        return await deploy(lab, slice_id, caller=student(number % STUDENTS))
    except ParcelaError as refused:
        return refused


async def test_more_slices_than_there_is_room_for(small: Lab) -> None:
    lab = small
    made = [await make_slice(lab, "duo", caller=student(number % STUDENTS)) for number in range(SLICES)]
    watch = Watch(lab)
    watching = asyncio.create_task(watch.run())
    answers = await asyncio.gather(*(launch(lab, slice_id, number) for number, slice_id in enumerate(made)))
    await lab.stack.settle()
    refused = [answer for answer in answers if isinstance(answer, ParcelaError)]
    assert len(refused) == SLICES // 2
    assert {error.kind for error in refused} == {ErrorKind.NO_CAPACITY}
    for error in refused:
        assert LACKING.search(error.message), error.message
    rows = await check_consistent(lab)
    assert sorted(row.state for row in rows.slices) == ["draft"] * (SLICES // 2) + ["running"] * (SLICES // 2)
    assert [host.used_vcpus for host in rows.hosts] == [ROOM] * HOSTS
    assert [lab.world.peak(host.name).vcpus for host in rows.hosts] == [ROOM] * HOSTS

    # Five go, and all who were refused ask again.
    winners = [slice_id for slice_id, answer in zip(made, answers, strict=True) if isinstance(answer, Operation)]
    losers = [slice_id for slice_id in made if slice_id not in winners]
    await asyncio.gather(*(_give_back(lab, slice_id) for slice_id in winners[:5]))
    await lab.stack.settle()
    again = await asyncio.gather(*(launch(lab, slice_id, made.index(slice_id)) for slice_id in losers))
    await lab.stack.settle()
    assert sum(isinstance(answer, Operation) for answer in again) == 5
    rows = await check_consistent(lab)
    assert [lab.world.peak(host.name).vcpus for host in rows.hosts] == [ROOM] * HOSTS
    watching.cancel()
    assert isinstance((await asyncio.gather(watching, return_exceptions=True))[0], asyncio.CancelledError)
    assert watch.looks > 0


async def _give_back(lab: Lab, slice_id: int) -> None:
    row = await lab.slice(slice_id)
    async with lab.stack.uows.write() as uow:
        caller = student(row.owner_id - ALICE_ID)
        await lab.stack.services.slices.destroy(uow, caller, slice_id)
        await uow.commit()


async def test_a_host_that_can_start_no_vm_is_left_out_until_it_can(faulty: Lab) -> None:
    await faulty.add_host("h2")
    faulty.world.host("h1").obstacle = "No VM can start: QEMU may not enter /secret."
    await faulty.stack.round()
    slice_id = await make_running_slice(faulty)
    async with faulty.stack.uows.read() as uow:
        names = {host.id: host.name for host in await uow.hosts.all()}
    assert {names[vm.host_id or 0] for vm in (await faulty.vms(slice_id)).values()} == {"h2"}

    faulty.world.disconnect_host("h2")
    await faulty.stack.round()
    other = await make_slice(faulty)
    with pytest.raises(ParcelaError) as refused:
        await deploy(faulty, other)
    error = refused.value
    assert (error.kind, error.code) == (ErrorKind.NO_CAPACITY, "no_capacity")
    assert "/secret" not in error.message + str(error.problems), "paths are for administrators"
    assert [(problem.where, problem.code) for problem in error.problems] == [
        ("host h1", "obstacle"),
        ("host h2", "reachable"),
    ]
    assert all(name in error.message for name in ("h1 can start no VM", "h2 does not answer"))

    faulty.world.host("h1").obstacle = ""
    await faulty.stack.round()
    operation = await deploy(faulty, other)
    assert await faulty.stack.ended(operation.id) is OperationState.SUCCEEDED
