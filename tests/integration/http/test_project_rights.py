"""Every route once more, for people in the owner's project: the table of strangers counts but for the lines here."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.integration.http.asgi import open_stream
from tests.integration.http.lab import API, Lab, Person
from tests.integration.http.rights_table import PAGE_RULES, RULES, Rule
from tests.integration.http.rights_targets import TARGETS, Made, filled_path, request_of
from tests.integration.http.test_rights import FORMS, browser_headers, socket_status

pytestmark = pytest.mark.anyio

TABLE = """
# What members and managers of the owner's project get where it is not what strangers get. The owner is a member.
# route                                                      member manager
GET    /api/v1/templates/{template_id}                       200 200
PUT    /api/v1/templates/{template_id}                       403 200
DELETE /api/v1/templates/{template_id}                       403 204
GET    /api/v1/templates/{template_id}/versions              200 200
GET    /api/v1/templates/{template_id}/versions/{version}    200 200
GET    /api/v1/templates/{template_id}/export                200 200
POST   /api/v1/slices/                                       201 201

GET    /api/v1/slices/{slice_id}                             404 200
GET    /api/v1/slices/{slice_id}/vms                         404 200
POST   /api/v1/slices/{slice_id}/deploy                      404 202
POST   /api/v1/slices/{slice_id}/extend                      404 200
DELETE /api/v1/slices/{slice_id}                             404 202
POST   /api/v1/slices/{slice_id}/start                       404 202
POST   /api/v1/slices/{slice_id}/stop                        404 202
POST   /api/v1/slices/{slice_id}/reboot                      404 202
POST   /api/v1/slices/{slice_id}/suspend                     404 202
POST   /api/v1/slices/{slice_id}/resume                      404 202
POST   /api/v1/slices/{slice_id}/reset                       404 202

GET    /api/v1/virtual-machines/{vm_id}                      404 200
PUT    /api/v1/virtual-machines/{vm_id}                      404 200
DELETE /api/v1/virtual-machines/{vm_id}                      404 202
GET    /api/v1/virtual-machines/{vm_id}/nics                 404 200
POST   /api/v1/virtual-machines/{vm_id}/console              404 201
POST   /api/v1/virtual-machines/{vm_id}/start                404 202
POST   /api/v1/virtual-machines/{vm_id}/stop                 404 202
POST   /api/v1/virtual-machines/{vm_id}/reboot               404 202
POST   /api/v1/virtual-machines/{vm_id}/suspend              404 202
POST   /api/v1/virtual-machines/{vm_id}/resume               404 202
POST   /api/v1/virtual-machines/{vm_id}/reset                404 202
WS     /api/v1/virtual-machines/{vm_id}/console/{kind}       4401 101

GET    /api/v1/operations/{operation_id}                     404 200
POST   /api/v1/operations/{operation_id}/cancel              404 202
POST   /api/v1/operations/{operation_id}/retry               404 202

GET    /api/v1/projects/{project_id}                         200 200
PATCH  /api/v1/projects/{project_id}                         403 200
DELETE /api/v1/projects/{project_id}                         403 403
GET    /api/v1/projects/{project_id}/members                 200 200
POST   /api/v1/projects/{project_id}/members                 403 201
PATCH  /api/v1/projects/{project_id}/members/{user_id}       403 200
DELETE /api/v1/projects/{project_id}/members/{user_id}       403 204
GET    /api/v1/projects/{project_id}/quota                   200 200
PUT    /api/v1/projects/{project_id}/quota                   403 403

PUT    /templates/{template_id}                              403 200
DELETE /templates/{template_id}                              403 204
GET    /templates/{template_id}/export                       200 200
POST   /slices                                               201 201
GET    /slices/{slice_id}/details                            404 200
POST   /slices/{slice_id}/destroy                            404 202
DELETE /slices/{slice_id}/destroy                            404 202
POST   /deployments/trigger                                  404 202

GET    /vms/{vm_id}                                          404 200

GET    /templates/{template_id}                              200 200
POST   /templates/{template_id}/launch                       303 303
GET    /slices/{slice_id}                                    404 200
GET    /slices/{slice_id}/confirm/{action}                   404 200
POST   /slices/{slice_id}/extend                             404 303
POST   /slices/{slice_id}/cancel/{operation_id}              404 303
POST   /slices/{slice_id}/{action}                           404 303
GET    /vms/{vm_id}/confirm/reset                            404 200
POST   /vms/{vm_id}/{action}                                 404 303
GET    /vms/{vm_id}/console                                  404 200
POST   /vms/{vm_id}/console/ticket                           404 201
"""


def parse(table: str) -> dict[str, dict[str, int]]:
    """Statuses by route."""
    rows = [line.split() for line in table.splitlines() if line.strip() and not line.startswith("#")]
    return {f"{method} {path}": {"member": int(m), "manager": int(g)} for method, path, m, g in rows}


OTHERWISE = parse(TABLE)
EVERYTHING = RULES | PAGE_RULES
# What a session has to itself, or what makes one, has nothing to do with projects.
CASES = [
    pytest.param(rule, who, id=f"{rule.route} {who}")
    for rule in EVERYTHING.values()
    for who in ("member", "manager")
    if rule.target not in {None, "fresh_login"}
]


def test_the_table_speaks_of_routes_that_exist() -> None:
    assert set(OTHERWISE) <= set(EVERYTHING)


@pytest.fixture(scope="module")
async def in_project(lab: Lab) -> AsyncIterator[Lab]:
    """Whatever the owner makes is in a project with a member and a manager."""
    for key in ("member", "manager"):
        made = await lab.user(username=key, email=f"{key}@class.example")
        await lab.enter(key, key, made["id"])
    project = await lab.project(owner="member", member="member", manager="manager")
    lab.in_project["project_id"] = project["id"]
    yield lab
    lab.in_project.clear()


async def made_for(lab: Lab, rule: Rule) -> Made:
    if rule.target == "project":
        return await lab.project(owner="member", member="member", manager="manager")
    return await TARGETS[str(rule.target)](lab)


@pytest.mark.parametrize(("rule", "who"), CASES)
async def test_right_in_a_project(in_project: Lab, rule: Rule, who: str) -> None:
    lab = in_project
    made = await made_for(lab, rule)
    expected = OTHERWISE.get(rule.route, {}).get(who, rule.statuses["stranger"])
    path = rule.path.replace("{version}", "1").replace("{kind}", "serial").replace("{action}", "reset")
    path = filled_path(path, made)
    person = lab.people[who]
    if rule.route in PAGE_RULES:
        headers = {"Accept": "text/html"} | await browser_headers(lab, rule, person)
        lab.http.cookies.clear()
        options: dict[str, Any] = {"data": FORMS.get(rule.path)}
    else:
        headers, options = person.headers, await request_of(lab, rule.route, made)
    if rule.method == "WS":
        status = await socket_status(lab, path, headers)
    elif path.endswith("/stream"):
        async with open_stream(lab.app, path, headers=headers) as stream:
            status = stream.status
    else:
        status = (await lab.http.request(rule.method, path, headers=headers, **options)).status_code
    await lab.settle()
    if str(rule.target).endswith("operation_held"):
        await lab.release(made["id"])
    assert status == expected


async def test_members_find_only_their_own_slices_and_managers_all(in_project: Lab) -> None:
    lab = in_project
    slice_row, vm = await lab.slice_("draft"), await lab.vm("running")
    for path, row in (("/slices/?sort=-id", slice_row), ("/virtual-machines/?sort=-id", vm)):
        for who, seen in (("owner", True), ("member", False), ("manager", True)):
            items = (await lab.call("GET", path, who)).json()["items"]
            assert (row["id"] in {item["id"] for item in items}) is seen, (path, who)


async def test_managers_are_told_what_happens_in_their_project(in_project: Lab) -> None:
    lab = in_project
    async with lab.services.uows.read() as uow:
        before = await uow.events.last_id()
    vm = await lab.vm("running")
    for who, seen in (("owner", True), ("member", False), ("manager", True), ("stranger", False)):
        items = (await lab.call("GET", f"/events?since={before}&limit=1000", who)).json()["items"]
        assert any(event["vm_id"] == vm["id"] for event in items) is seen, who


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
    await lab.make(f"/projects/{project_id}/members", "manager", json={"user": leaver.name, "role": "manager"})
    vm = await lab.vm("running")
    assert (await lab.call("GET", f"/virtual-machines/{vm['id']}", "leaver")).status_code == 200
    answer = await lab.call("DELETE", f"/projects/{project_id}/members/{made['id']}", "leaver")
    assert answer.status_code == 204, "everybody may leave"
    assert (await lab.call("GET", f"/virtual-machines/{vm['id']}", "leaver")).status_code == 404
    assert (await lab.call("GET", f"/projects/{project_id}", "leaver")).status_code == 404
