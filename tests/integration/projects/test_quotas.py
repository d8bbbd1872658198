"""Ceilings: never exceeded, whoever asks at the same time, and given back with what they were taken for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.core.lifecycle import Action, OperationState
from parcela.core.permissions import ProjectKind, ProjectRole
from parcela.hypervisors.simulated import Failure
from parcela.models import Operation, Quota
from parcela.models.projects import RESOURCES
from parcela.repositories.paging import PageRequest
from parcela.repositories.quotas import Amount, QuotaRepository, used_of
from parcela.services.access import Caller
from parcela.services.compute.vms import VmChange
from parcela.services.projects.projects import QuotaState
from tests.support.checks import check_consistent
from tests.support.furnish import ADMIN, ALICE, ALICE_ID, BOB
from tests.support.lab import Lab, deploy, make_running_slice, make_running_vm, make_slice, open_lab

pytestmark = pytest.mark.anyio
NONE = dict.fromkeys(RESOURCES)


@pytest.fixture
async def anywhere(any_lab_url: str, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Lab]:
    async with open_lab(any_lab_url, tmp_path, hosts=2) as lab:
        yield lab


@pytest.fixture
async def lab(sqlite_lab_url: str, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Lab]:
    async with open_lab(sqlite_lab_url, tmp_path, hosts=2) as lab:
        yield lab


async def limit(lab: Lab, *, user_id: int = ALICE_ID, **limits: int | None) -> None:
    async with lab.stack.uows.write() as uow:
        projects = lab.stack.services.projects
        await projects.set_quota_of_user(uow, ADMIN, user_id, NONE | limits, lambda _: None)
        await uow.commit()


@pytest.mark.parametrize("holder", ["user", "project"])
async def test_a_precondition_is_judged_by_the_locked_row(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, holder: str
) -> None:
    project_id, _ = await project_of(lab)
    lock = QuotaRepository.lock_or_add

    async def late(self: QuotaRepository, **whose: int) -> Quota:
        """Another administrator was faster while this one waited for the lock."""
        row = await lock(self, **whose)
        row.max_vms = 7
        return row

    monkeypatch.setattr(QuotaRepository, "lock_or_add", late)
    seen: list[QuotaState] = []
    projects = lab.stack.services.projects
    async with lab.stack.uows.write() as uow:
        if holder == "user":
            await projects.set_quota_of_user(uow, ADMIN, ALICE_ID, NONE, seen.append)
        else:
            await projects.set_quota_of_project(uow, ADMIN, project_id, NONE, seen.append)
    assert [state.limits["vms"] for state in seen] == [7]


async def project_of(lab: Lab, *callers: Caller, **limits: int | None) -> tuple[int, list[Caller]]:
    """A project with members; its id, and the callers as they are from then on."""
    async with lab.stack.uows.write() as uow:
        projects = lab.stack.services.projects
        row = await projects.create(uow, ADMIN, name="Networks", kind=ProjectKind.CLASS)
        for caller in callers:
            await projects.add_member(uow, ADMIN, row.id, user=caller.username, role=ProjectRole.MEMBER)
        await projects.set_quota_of_project(uow, ADMIN, row.id, NONE | limits, lambda _: None)
        await uow.commit()
    members = [
        Caller(c.user_id, c.username, c.role, c.permissions, projects={row.id: ProjectRole.MEMBER}) for c in callers
    ]
    return row.id, members


async def used(lab: Lab, *, user_id: int | None = None, project_id: int | None = None) -> Amount:
    async with lab.stack.uows.read() as uow:
        row = await (uow.quotas.of_user(user_id) if user_id else uow.quotas.of_project(project_id or 0))
        return used_of(row) if row else Amount()


async def launch(lab: Lab, slice_id: int, caller: Caller) -> Operation | ParcelaError:
    try:
        return await deploy(lab, slice_id, caller=caller)
    except ParcelaError as refused:
        return refused


async def test_many_at_once_never_go_beyond_a_quota(anywhere: Lab) -> None:
    lab = anywhere
    await limit(lab, vms=6)
    made = [await make_slice(lab, "duo") for _ in range(6)]
    answers = await asyncio.gather(*(launch(lab, slice_id, ALICE) for slice_id in made))
    refused = [answer for answer in answers if isinstance(answer, ParcelaError)]
    assert len(refused) == 3
    for error in refused:
        assert (error.kind, error.code) == (ErrorKind.NO_CAPACITY, "quota_exceeded")
        assert "At most 6 VMs: 6 in use, 2 more asked for." in error.message
        assert [problem.where for problem in error.problems] == ["quota.vms"]
    assert (await used(lab, user_id=ALICE_ID)).vms == 6
    await lab.stack.settle()
    await check_consistent(lab)
    assert await used(lab, user_id=ALICE_ID) == Amount(vcpus=6, memory_mib=6 * 128, disk_gib=6, vms=6, slices=3)


async def test_what_is_given_back_can_be_taken_again(anywhere: Lab) -> None:
    lab = anywhere
    await limit(lab, slices=1)
    first, second = await make_running_slice(lab, "pair"), await make_slice(lab, "single")
    assert isinstance(await launch(lab, second, ALICE), ParcelaError)
    async with lab.stack.uows.write() as uow:
        await lab.stack.services.slices.destroy(uow, ALICE, first)
        await uow.commit()
    await lab.stack.settle()
    assert await used(lab, user_id=ALICE_ID) == Amount()
    assert isinstance(await launch(lab, second, ALICE), Operation)
    await lab.stack.settle()
    await check_consistent(lab)


async def test_a_deployment_that_fails_gives_everything_back(lab: Lab) -> None:
    slice_id = await make_slice(lab, "pair")
    lab.world.faults.fail("create_vm", vm="db", failure=Failure.FATAL)
    operation = await deploy(lab, slice_id)
    assert await lab.stack.ended(operation.id) is OperationState.FAILED
    assert await used(lab, user_id=ALICE_ID) == Amount()


async def test_a_vm_grows_within_the_quota_only(lab: Lab) -> None:
    vm_id = await make_running_vm(lab)
    await limit(lab, vcpus=2)
    async with lab.stack.uows.write() as uow:
        await lab.stack.services.vms.act(uow, ALICE, vm_id, Action.STOP)
        await uow.commit()
    await lab.stack.settle()
    async with lab.stack.uows.write() as uow:
        with pytest.raises(ParcelaError, match="At most 2 vCPUs: 1 in use, 3 more asked for"):
            await lab.stack.services.vms.update(uow, ALICE, vm_id, VmChange(cores=4))
    async with lab.stack.uows.write() as uow:
        await lab.stack.services.vms.update(uow, ALICE, vm_id, VmChange(cores=2))
        await uow.commit()
    await lab.stack.settle()
    assert (await used(lab, user_id=ALICE_ID)).vcpus == 2
    await check_consistent(lab)


async def test_a_project_counts_for_itself(lab: Lab) -> None:
    await limit(lab, vms=0)
    project_id, (alice, bob) = await project_of(lab, ALICE, BOB, vms=2)
    mine = await make_slice(lab, "single", caller=alice)
    assert isinstance(await launch(lab, mine, alice), ParcelaError), "outside the project she may have no VM"
    assert isinstance(
        await launch(lab, await make_slice(lab, "single", caller=alice, project_id=project_id), alice), Operation
    )
    assert isinstance(
        await launch(lab, await make_slice(lab, "single", caller=bob, project_id=project_id), bob), Operation
    )
    third = await launch(lab, await make_slice(lab, "single", caller=bob, project_id=project_id), bob)
    assert isinstance(third, ParcelaError)
    assert "the quota of the project" in third.message
    await lab.stack.settle()
    assert (await used(lab, project_id=project_id)).vms == 2
    assert await used(lab, user_id=ALICE_ID) == Amount()


async def test_strangers_make_nothing_in_a_project(lab: Lab) -> None:
    project_id, _ = await project_of(lab, ALICE)
    with pytest.raises(ParcelaError) as refused:
        await make_slice(lab, "single", caller=BOB, project_id=project_id)
    assert refused.value.code == "project_not_found"


async def test_who_was_let_go_launches_nothing_whatever_their_session_remembers(lab: Lab) -> None:
    project_id, (alice,) = await project_of(lab, ALICE)
    async with lab.stack.uows.write() as uow:
        await lab.stack.services.projects.remove_member(uow, ADMIN, project_id, ALICE_ID)
        await uow.commit()
    assert project_id in alice.projects, "as another process remembers it for half a minute"
    with pytest.raises(ParcelaError) as refused:
        await make_slice(lab, "single", caller=alice, project_id=project_id)
    assert refused.value.code == "project_not_found"


async def test_viewers_launch_nothing(lab: Lab) -> None:
    project_id, (alice,) = await project_of(lab, ALICE)
    async with lab.stack.uows.write() as uow:
        projects = lab.stack.services.projects
        await projects.change_member(uow, ADMIN, project_id, ALICE_ID, ProjectRole.VIEWER)
        await uow.commit()
    with pytest.raises(ParcelaError) as refused:
        await make_slice(lab, "single", caller=alice, project_id=project_id)
    assert refused.value.code == "project_role"


async def test_a_refused_removal_of_a_project_keeps_its_members(lab: Lab) -> None:
    project_id, (alice,) = await project_of(lab, ALICE)
    await make_slice(lab, "single", caller=alice, project_id=project_id)
    projects = lab.stack.services.projects
    async with lab.stack.uows.write() as uow:
        with pytest.raises(ParcelaError):
            await projects.delete(uow, ADMIN, project_id)
    async with lab.stack.uows.read() as uow:
        assert len(await uow.projects.members(project_id)) == 1


async def test_a_long_name_whose_lower_case_is_longer(anywhere: Lab) -> None:
    async with anywhere.stack.uows.write() as uow:
        row = await anywhere.stack.services.projects.create(uow, ADMIN, name="\u0130" * 100, kind=ProjectKind.CLASS)
        await uow.commit()
    assert len(row.name_key) == 200


async def test_the_next_project_shows_nothing_of_a_removed_one(lab: Lab) -> None:
    old_id, _ = await project_of(lab, ALICE)
    projects = lab.stack.services.projects
    async with lab.stack.uows.write() as uow:
        await projects.delete(uow, ADMIN, old_id)
        await uow.commit()
    new_id, _ = await project_of(lab, BOB)
    assert new_id != old_id
    manager = replace(BOB, projects={new_id: ProjectRole.MANAGER})
    async with lab.stack.uows.read() as uow:
        seen = await lab.stack.services.events.since(uow, manager, 0, limit=1000)
    # That the manager was added is told to them alone, until they open the project.
    assert {event.project_id or event.data["project_id"] for event in seen} == {new_id}


async def test_a_stream_follows_the_role_of_its_reader(lab: Lab) -> None:
    project_id, (alice,) = await project_of(lab, ALICE)
    projects, events = lab.stack.services.projects, lab.stack.services.events

    async def become(role: ProjectRole) -> None:
        async with lab.stack.uows.write() as uow:
            await projects.add_member(uow, ADMIN, project_id, user=BOB.username, role=role)
            await uow.commit()

    async def leave() -> None:
        async with lab.stack.uows.write() as uow:
            await projects.remove_member(uow, ADMIN, project_id, BOB.user_id)
            await uow.commit()

    async with lab.stack.uows.read() as uow:
        start = await uow.events.last_id()
    await become(ProjectRole.VIEWER)
    async with aclosing(events.stream(BOB, start)) as stream:

        async def told() -> str:
            record = await anext(stream)
            assert record is not None
            return record.type

        assert await told() == "project.member_added"  # from here on it is live
        await leave()
        await become(ProjectRole.MANAGER)
        await make_slice(lab, "single", caller=alice, project_id=project_id)
        await leave()
        await make_slice(lab, "single", caller=alice, project_id=project_id)
        await become(ProjectRole.VIEWER)
        live = [await told() for _ in range(6)]
    assert live == [
        "project.member_removed",
        "project.member_added",
        "project.member_joined",  # whose things are in a project is seen there
        "slice.created",
        "project.member_removed",
        "project.member_added",
    ]


async def test_a_project_with_something_in_it_stays(lab: Lab) -> None:
    project_id, (alice,) = await project_of(lab, ALICE)
    slice_id = await make_running_slice(lab, "single", caller=alice, project_id=project_id)
    projects = lab.stack.services.projects
    async with lab.stack.uows.write() as uow:
        with pytest.raises(ParcelaError) as refused:
            await projects.delete(uow, ADMIN, project_id)
        assert [problem.where for problem in refused.value.problems] == [f"slices[{slice_id}]"]
        with pytest.raises(ParcelaError) as refused:
            await projects.remove_member(uow, ADMIN, project_id, ALICE_ID)
        assert refused.value.code == "member_owns_things"
    async with lab.stack.uows.write() as uow:
        await lab.stack.services.slices.destroy(uow, alice, slice_id)
        await uow.commit()
    await lab.stack.settle()
    async with lab.stack.uows.write() as uow:
        await projects.delete(uow, ADMIN, project_id)
        await uow.commit()
    async with lab.stack.uows.read() as uow:
        assert (await projects.page(uow, ADMIN, PageRequest())).rows == []


async def test_administrators_are_counted_but_not_stopped(lab: Lab) -> None:
    await limit(lab, user_id=ADMIN.user_id, vms=0)
    slice_id = await make_running_slice(lab, "duo", caller=ADMIN)
    assert (await used(lab, user_id=ADMIN.user_id)).vms == 2
    assert (await lab.slice(slice_id)).state == "running"


async def test_wrong_sums_are_corrected(anywhere: Lab) -> None:
    lab = anywhere
    await make_running_slice(lab, "duo")
    truth = await used(lab, user_id=ALICE_ID)
    async with lab.stack.uows.write() as uow:
        row = await uow.quotas.of_user(ALICE_ID)
        assert row is not None
        await uow.quotas.take(row.id, Amount(vcpus=7, slices=1), None)
        await uow.commit()
    assert (await lab.stack.round())["quota_sums"] == 1
    assert await used(lab, user_id=ALICE_ID) == truth
    assert (await lab.stack.round())["quota_sums"] == 0
