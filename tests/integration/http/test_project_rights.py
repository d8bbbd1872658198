"""What the rights table cannot say of people in a project: what they are told, and what changes with time."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.http.lab import API, Lab, Person
from tests.integration.http.rights_table import PAGE_RULES
from tests.integration.http.rights_walk import browser_headers

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def in_project(lab: Lab) -> AsyncIterator[Lab]:
    """Whatever the owner makes is in a project with a member and a manager."""
    lab.in_project["project_id"] = await lab.classroom()
    yield lab
    lab.in_project.clear()


async def test_the_first_page_says_whose_slices_a_manager_sees(in_project: Lab) -> None:
    lab = in_project
    await lab.slice_("draft")
    for who, said in (("owner", False), ("manager", True), ("admin", True)):
        headers = await browser_headers(lab, PAGE_RULES["GET /"], lab.people[who])
        lab.http.cookies.clear()
        page = (await lab.http.get("/", headers=headers)).text
        assert ('data-label="Owner">owner<' in page) is said, (who, page)


async def test_a_token_that_may_only_look_looks_at_its_own_kind_of_thing(in_project: Lab) -> None:
    lab = in_project
    async with lab.services.uows.read() as uow:
        before = await uow.events.last_id()
    vm, draft = await lab.vm("running"), await lab.slice_("draft")
    looking = Person("looking", 0, (await lab.token("owner", "vm:read"))["token"])
    for path, status in (
        (f"/virtual-machines/{vm['id']}", 200),
        ("/virtual-machines/", 200),
        (f"/slices/{draft['id']}", 404),
        ("/slices/", 403),
    ):
        assert (await lab.http.get(f"{API}{path}", headers=looking.headers)).status_code == status, path
    stop = await lab.http.post(f"{API}/virtual-machines/{vm['id']}/stop", headers=looking.headers)
    assert stop.status_code == 403
    events = (await lab.http.get(f"{API}/events?since={before}&limit=1000", headers=looking.headers)).json()["items"]
    assert {event["type"].split(".")[0] for event in events} == {"vm"}
    refused = await lab.call("POST", "/tokens/", json={"name": "x", "scopes": ["host:read"]})
    assert refused.status_code == 403, "a right that the owner has not is no scope of theirs"


async def test_somebody_who_was_taken_out_sees_nothing_any_more(in_project: Lab) -> None:
    lab = in_project
    made = await lab.user()
    leaver = await lab.enter("leaver", made["username"], made["id"])
    project_id = lab.in_project["project_id"]
    await lab.make(f"/projects/{project_id}/members", "admin", json={"user": leaver.name, "role": "manager"})
    await lab.make(f"/projects/{project_id}/accept", "leaver", 200)
    vm = await lab.vm("running")
    assert (await lab.call("GET", f"/virtual-machines/{vm['id']}", "leaver")).status_code == 200
    answer = await lab.call("DELETE", f"/projects/{project_id}/members/{made['id']}", "leaver")
    assert answer.status_code == 204, "everybody may leave"
    assert (await lab.call("GET", f"/virtual-machines/{vm['id']}", "leaver")).status_code == 404
    assert (await lab.call("GET", f"/projects/{project_id}", "leaver")).status_code == 404
