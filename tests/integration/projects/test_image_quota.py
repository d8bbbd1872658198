"""Uploads of several members into one project at the same time, on all databases."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from parcela.core.errors import ParcelaError
from parcela.core.permissions import ProjectKind, ProjectRole
from parcela.models.projects import RESOURCES
from parcela.services.access import Caller
from parcela.services.catalogue.images import NewImage
from parcela.services.projects import image_quota
from tests.integration.catalogue.disks import raw_disk
from tests.support.furnish import ADMIN, ALICE, BOB
from tests.support.lab import Lab, open_lab

pytestmark = pytest.mark.anyio
MIB = 1024**2
DISK = raw_disk(MIB)
PART = MIB // 4


@pytest.fixture
async def lab(
    any_lab_url: str, tmp_path: Path, anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Lab]:
    monkeypatch.setattr(image_quota, "GIB", MIB)
    monkeypatch.setattr(image_quota, "STEP_BYTES", PART)
    async with open_lab(any_lab_url, tmp_path) as lab:
        yield lab


async def project_of(lab: Lab, images_gib: int) -> int:
    projects = lab.stack.services.projects
    async with lab.stack.uows.write() as uow:
        row = await projects.create(uow, ADMIN, name="Networks", kind=ProjectKind.CLASS)
        for caller in (ALICE, BOB):
            await projects.add_member(uow, ADMIN, row.id, user=caller.username, role=ProjectRole.MEMBER)
        limits = dict.fromkeys(RESOURCES) | {"images_gib": images_gib}
        await projects.set_quota_of_project(uow, ADMIN, row.id, limits, lambda _: None)
        await uow.commit()
    return row.id


async def upload(lab: Lab, project_id: int, caller: Caller, name: str, *, announced: bool) -> str:
    """``made``, or the code of the refusal."""

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, MIB, PART):
            yield DISK[start : start + PART]

    images = lab.stack.services.images
    new = NewImage(name, project_id=project_id)
    try:
        async with (
            images.receive(caller, new, chunks(), announced_bytes=MIB if announced else None) as file,
            images.publishing(),
            lab.stack.uows.write() as uow,
        ):
            await images.register(uow, caller, new, file)
            await uow.commit()
    except ParcelaError as refused:
        return refused.code
    return "made"


async def used_bytes(lab: Lab, project_id: int) -> int:
    async with lab.stack.uows.read() as uow:
        return await uow.image_space.bytes_of_project(project_id)


@pytest.mark.parametrize("announced", [True, False])
async def test_members_do_not_share_the_last_of_it(lab: Lab, announced: bool) -> None:
    project_id = await project_of(lab, images_gib=2)
    callers = (ALICE, BOB, ALICE, BOB, ALICE)
    uploads = (upload(lab, project_id, who, f"image-{i}", announced=announced) for i, who in enumerate(callers))
    answers = await asyncio.gather(*uploads)
    assert set(answers) <= {"made", "quota_exceeded"}
    assert answers.count("made") == 2 if announced else answers.count("made") <= 2
    assert await used_bytes(lab, project_id) == answers.count("made") * MIB


async def test_who_is_removed_at_the_same_time_leaves_nothing_behind(lab: Lab) -> None:
    project_id = await project_of(lab, images_gib=10)

    async def remove(who: Caller) -> str:
        try:
            async with lab.stack.uows.write() as uow:
                await lab.stack.services.projects.remove_member(uow, ADMIN, project_id, who.user_id)
                await uow.commit()
        except ParcelaError as refused:
            return refused.code
        return "removed"

    uploads = (
        upload(lab, project_id, who, f"{who.username}-{i}", announced=False) for i in (1, 2) for who in (ALICE, BOB)
    )
    *answers, of_bob = await asyncio.gather(*uploads, remove(BOB))
    assert answers[::2] == ["made", "made"]
    assert set(answers[1::2]) <= {"made", "project_not_found"}
    assert of_bob == ("member_owns_things" if "made" in answers[1::2] else "removed")
    assert await used_bytes(lab, project_id) == answers.count("made") * MIB
