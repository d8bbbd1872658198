"""Who has become a viewer of a project, or is no longer in it, builds nothing there any more; what is there can go."""

from typing import Any

import pytest
from sqlalchemy import delete

from parcela.models import ProjectMember
from tests.integration.http.lab import Lab, problem
from tests.integration.http.rights_table import PAGE_RULES
from tests.integration.http.rights_walk import browser_headers

pytestmark = pytest.mark.anyio


class Course:
    """A project of the owner (a member at first) and people ``member`` and ``manager``."""

    def __init__(self, lab: Lab, project_id: int) -> None:
        self.lab, self.project_id = lab, project_id

    async def becomes(self, role: str) -> None:
        """The owner gets another role in it."""
        path = f"/projects/{self.project_id}/members/{self.lab.people['owner'].id}"
        answer = await self.lab.call("PATCH", path, "admin", json={"role": role})
        assert answer.status_code == 200, answer.text

    async def used(self) -> dict[str, Any]:
        return dict((await self.lab.call("GET", f"/projects/{self.project_id}/quota", "admin")).json())

    async def actions(self, path: str, by: str = "owner") -> list[str]:
        return list((await self.lab.call("GET", path, by)).json()["allowed_actions"])


@pytest.fixture(scope="module")
async def course(lab: Lab) -> Course:
    project_id = await lab.classroom()
    lab.in_project["project_id"] = project_id
    return Course(lab, project_id)


@pytest.fixture(autouse=True)
async def _member_again(course: Course) -> None:
    await course.becomes("member")


async def test_a_viewer_does_not_deploy_a_draft_made_before(course: Course) -> None:
    lab = course.lab
    path = f"/slices/{(await lab.slice_('draft'))['id']}"
    await course.becomes("viewer")
    before = await course.used()
    problem(await lab.call("POST", f"{path}/deploy"), 403, "project_role")
    assert await course.used() == before
    assert await course.actions(path) == ["extend", "destroy"]
    headers = await browser_headers(lab, PAGE_RULES["GET /slices/{slice_id}"], lab.people["owner"])
    lab.http.cookies.clear()
    page = (await lab.http.get(path, headers=headers)).text
    assert 'id="do-destroy"' in page
    assert 'id="do-deploy"' not in page
    for who in ("manager", "admin"):
        assert "deploy" in await course.actions(path, who), who
    await lab.make(f"{path}/deploy", "manager", 202)
    await lab.settle()


async def test_a_viewer_does_not_repeat_a_failed_deployment(course: Course) -> None:
    lab = course.lab
    failed = await lab.slice_operation("failed")
    lab.world.faults.clear()
    single = await lab.operation("failed")
    lab.world.faults.clear()
    await course.becomes("viewer")
    before = await course.used()
    for operation in (failed, single):
        path = f"/operations/{operation['id']}"
        assert "retry" not in await course.actions(path)
        problem(await lab.call("POST", f"{path}/retry"), 403, "project_role")
    assert await course.used() == before
    await course.becomes("member")
    for operation in (failed, single):
        await lab.make(f"/operations/{operation['id']}/retry", "owner", 202)
    await lab.settle()


async def test_a_viewer_does_not_build_a_vm_by_starting_it(course: Course) -> None:
    lab = course.lab
    vm_id = (await lab.operation("failed"))["vm_id"]
    lab.world.faults.clear()
    path = f"/virtual-machines/{vm_id}"
    await course.becomes("viewer")
    before = await course.used()
    problem(await lab.call("POST", f"{path}/start"), 403, "project_role")
    assert "start" not in await course.actions(path)
    assert await course.used() == before
    assert (await lab.call("DELETE", path)).status_code == 202
    await lab.settle()


async def test_a_viewer_does_not_enlarge_a_vm(course: Course) -> None:
    lab = course.lab
    vm = await lab.vm("stopped")
    path = f"/virtual-machines/{vm['id']}"
    await course.becomes("viewer")
    before = await course.used()
    problem(await lab.call("PUT", path, json={"cores": vm["cores"] + 1}), 403, "project_role")
    assert await course.used() == before
    assert (await lab.call("GET", path)).json()["cores"] == vm["cores"]
    assert (await lab.call("PUT", path, json={"name": lab.unique("vm")})).status_code in {200, 202}
    await lab.settle()


async def test_what_a_viewer_built_before_goes_on_and_can_go(course: Course) -> None:
    lab = course.lab
    path = f"/slices/{(await lab.slice_('stopped'))['id']}"
    await course.becomes("viewer")
    for method, suffix in (("POST", "/start"), ("POST", "/stop"), ("DELETE", "")):
        answer = await lab.call(method, f"{path}{suffix}")
        assert answer.status_code == 202, answer.text
        await lab.settle()


async def test_the_membership_counts_as_it_is_stored_now(course: Course) -> None:
    """Removed in another process: here the caller is remembered as a member for up to half a minute."""
    lab = course.lab
    path = f"/slices/{(await lab.slice_('draft'))['id']}"
    await lab.call("GET", path)  # remembered
    mine = (ProjectMember.project_id == course.project_id) & (ProjectMember.user_id == lab.people["owner"].id)
    async with lab.services.uows.write() as uow:
        await uow._session.execute(delete(ProjectMember).where(mine))
        await uow.commit()
    try:
        problem(await lab.call("POST", f"{path}/deploy"), 403, "project_role")
        assert (await lab.call("DELETE", path)).status_code == 202
        await lab.settle()
    finally:
        await lab.make(f"/projects/{course.project_id}/members", "admin", json={"user": "owner", "role": "member"})
