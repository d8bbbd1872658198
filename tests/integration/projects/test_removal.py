"""No row stands in a project that is gone: no foreign key says so, the services do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from parcela.core.errors import ParcelaError
from parcela.core.permissions import ProjectKind, ProjectRole
from parcela.repositories.projects import ProjectRepository
from parcela.services.access import Caller
from parcela.services.compute.slices import SliceOrder
from tests.support.furnish import ADMIN, ALICE, TEMPLATE_IDS
from tests.support.lab import Lab, open_lab

pytestmark = pytest.mark.anyio
PATIENCE_S = 30.0


@pytest.fixture
async def anywhere(any_lab_url: str, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Lab]:
    async with open_lab(any_lab_url, tmp_path) as lab:
        yield lab


@pytest.fixture
async def alice(anywhere: Lab) -> Caller:
    """A member of the only project."""
    async with anywhere.stack.uows.write() as uow:
        projects = anywhere.stack.services.projects
        row = await projects.create(uow, ADMIN, name="Networks", kind=ProjectKind.CLASS)
        await projects.add_member(uow, ADMIN, row.id, user=ALICE.username, role=ProjectRole.MEMBER)
        await uow.commit()
    return Caller(ALICE.user_id, ALICE.username, ALICE.role, ALICE.permissions, projects={row.id: ProjectRole.MEMBER})


@pytest.mark.parametrize("first", ["make", "remove"])
async def test_of_a_slice_made_and_a_project_removed_at_once_the_second_is_refused(
    anywhere: Lab, alice: Caller, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = anywhere.stack
    [project_id] = alice.projects
    changed, asking = asyncio.Event(), asyncio.Event()
    name_of_lock = {"make": "hold_members", "remove": "member"}[first]
    lock: Callable[..., Awaitable[object]] = getattr(ProjectRepository, name_of_lock)

    async def note(self: ProjectRepository, *arguments: int) -> object:
        asking.set()
        return await lock(self, *arguments)

    async def work(name: str) -> str:
        async with stack.uows.write() as uow:
            try:
                if name == "make":
                    order = SliceOrder(template_id=TEMPLATE_IDS["single"], project_id=project_id)
                    await stack.services.slices.create(uow, alice, order)
                else:
                    await stack.services.projects.delete(uow, ADMIN, project_id)
            except ParcelaError as exc:
                return exc.code
            if name == first:
                monkeypatch.setattr(ProjectRepository, name_of_lock, note)
                changed.set()
                if not stack.database.is_sqlite:  # there the second cannot even begin
                    async with asyncio.timeout(PATIENCE_S):
                        await asking.wait()
            await uow.commit()
        return "done"

    one = asyncio.create_task(work(first))
    await changed.wait()
    two = asyncio.create_task(work("remove" if first == "make" else "make"))
    assert await one == "done"
    assert await two == ("project_in_use" if first == "make" else "project_not_found")
    async with stack.uows.read() as uow:
        projects, slices = await uow.projects.all(), await uow.slices.all()
    assert [row.id for row in projects] == [row.project_id for row in slices]
