"""What is offered is what is accepted: by ``allowed_actions``, by the buttons of the page, and by the API's answers.

Every kind of caller, in every state of a slice and of a VM, with an operation under way and without. The states are put
into the database of a real installation; each action is then really asked for, in a transaction that is not kept.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import update

from parcela.core.lifecycle import OperationState, SliceState, VmState
from parcela.models import Operation, Slice, VirtualMachine
from parcela.repositories.uow import UnitOfWork
from tests.integration.http.lab import API, Lab, Person
from tests.integration.http.rights_table import PAGE_RULES
from tests.integration.http.rights_walk import browser_headers

pytestmark = pytest.mark.anyio
S, V = SliceState, VmState
SESSIONS = ("owner", "stranger", "member", "viewer", "manager", "admin", "watcher", "operator")
"""``watcher`` has a role that looks at everything, ``operator`` one that changes all slices and VMs."""
TOKENS = {
    "token: power": ("owner", ("vm:power", "slice:power", "operation:cancel")),
    "token: delete": ("owner", ("vm:delete", "slice:delete", "operation:retry")),
    "token: create": ("owner", ("vm:create", "slice:create", "template:create")),
    "token: update": ("owner", ("vm:update", "slice:update", "template:update")),
    "token: reset, console": ("owner", ("vm:reset", "vm:console", "slice:reset", "slice:deploy")),
    "token: all of vm": ("owner", ("vm:*",)),
    "token: reading": ("owner", ("vm:read", "slice:read", "operation:read", "template:read")),
    "token: everything of a manager": ("manager", ("*",)),
    "token: reading of an admin": ("admin", ("vm:read_all", "slice:read_all", "operation:read_all", "vm:delete")),
    "token: writing of an admin": ("admin", ("vm:write_all", "slice:write_all", "vm:read_all", "slice:read_all")),
}
CALLERS = (*SESSIONS, *TOKENS)
ALWAYS = ("owner", "manager")
"""Who is asked in every single case; of the others, three at a time take turns."""
SLICE_REQUESTS = {
    **{name: ("POST", f"/{name}") for name in ("start", "stop", "reboot", "suspend", "resume", "reset", "deploy")},
    "extend": ("POST", "/extend"),
    "destroy": ("DELETE", ""),
}
VM_REQUESTS = {
    **{name: ("POST", f"/{name}") for name in ("start", "stop", "reboot", "suspend", "resume", "reset")},
    "console": ("POST", "/console"),
    "update": ("PUT", ""),
    "destroy": ("DELETE", ""),
}
BODIES = {"extend": {"expires_in_s": 3600}, "console": {"kind": "serial"}, "update": {"cores": 2}}
REFUSED = {403, 404, 409}


def some_callers(*case: object) -> tuple[str, ...]:
    """Different ones for neighbouring cases, the same in every run."""
    turn = sum(map(ord, "".join(map(str, case))))
    others = [who for who in CALLERS if who not in ALWAYS]
    return (*ALWAYS, *(others[(turn + step * 5) % len(others)] for step in range(3)))


@contextmanager
def nothing_kept() -> Iterator[None]:
    """Every request is carried out to its end, and then forgotten: the next one finds the same state."""

    async def forget(uow: UnitOfWork) -> None:
        await uow._session.rollback()
        uow._hooks.clear()

    with patch.object(UnitOfWork, "commit", forget):
        yield


class School:
    """One slice and one stand-alone VM of a student, in a class with everybody of the table."""

    def __init__(self, lab: Lab, people: dict[str, Person], slice_id: int, vm_id: int, inner_id: int) -> None:
        self.lab, self.people = lab, people
        self.slice_id, self.vm_id, self.inner_id = slice_id, vm_id, inner_id
        self.operation_id = 0

    async def put(self, model: Any, row_id: int, **values: Any) -> None:
        async with self.lab.services.uows.write() as uow:
            await uow._session.execute(update(model).where(model.id == row_id).values(**values))
            await uow.commit()

    async def accepted(self, who: str, prefix: str, requests: dict[str, tuple[str, str]]) -> set[str]:
        """The actions that are not refused when they are asked for."""
        found = set()
        for action, (method, suffix) in requests.items():
            options: dict[str, Any] = {"json": BODIES[action]} if action in BODIES else {}
            with nothing_kept():
                answer = await self.lab.http.request(
                    method, f"{API}{prefix}{suffix}", headers=self.people[who].headers, **options
                )
            assert answer.status_code < 300 or answer.status_code in REFUSED, (who, action, answer.text)
            if answer.status_code < 300:
                found.add(action)
        return found

    async def offered(self, who: str, path: str) -> set[str] | None:
        """``allowed_actions`` of a single read; None where the caller sees nothing."""
        answer = await self.lab.http.get(f"{API}{path}", headers=self.people[who].headers)
        if answer.status_code == 404:
            return None
        assert answer.status_code == 200, answer.text
        actions = answer.json()["allowed_actions"]
        assert len(actions) == len(set(actions))
        return set(actions)

    async def page(self, who: str) -> str:
        """The page of the slice, "" for who may not see it."""
        headers = await browser_headers(self.lab, PAGE_RULES["GET /slices/{slice_id}"], self.people[who])
        self.lab.http.cookies.clear()
        answer = await self.lab.http.get(f"/slices/{self.slice_id}", headers=headers)
        return answer.text if answer.status_code == 200 else ""


@pytest.fixture(scope="module")
async def school(lab: Lab) -> School:
    await lab.classroom()
    roles = {
        "watcher": ["slice:read_all", "vm:read_all", "operation:read_all", "template:read_all"],
        "operator": ["slice:*", "vm:*", "operation:*"],
    }
    for name in ("viewer", *roles):
        role = "client"
        if name in roles:
            role = f"{name}-role"
            await lab.make("/roles/", "admin", json={"name": role, "permissions": roles[name]})
        made = await lab.user(username=name, email=f"{name}@class.example", role=role)
        await lab.enter(name, name, made["id"])
    project = await lab.project(owner="member", member="member", viewer="viewer", manager="manager")
    lab.in_project["project_id"] = project["id"]
    slice_id, vm_id = (await lab.slice_("running"))["id"], (await lab.vm("running"))["id"]
    lab.in_project.clear()
    inner = (await lab.call("GET", f"/slices/{slice_id}/vms")).json()[0]["id"]
    people = dict(lab.people)
    for name, (by, scopes) in TOKENS.items():
        people[name] = Person(name, 0, (await lab.token(by, *scopes))["token"])
    return School(lab, people, slice_id, vm_id, inner)


def buttons(page: str, prefix: str) -> set[str]:
    return set(re.findall(rf'id="{prefix}([a-z]+)"', page))


async def check_slice(school: School, callers: tuple[str, ...], case: object) -> None:
    for who in callers:
        path = f"/slices/{school.slice_id}"
        offered, accepted = await school.offered(who, path), await school.accepted(who, path, SLICE_REQUESTS)
        assert (offered or set()) == accepted, (case, who)
        inner = f"/virtual-machines/{school.inner_id}"
        vm_offered = await school.offered(who, inner)
        if who in SESSIONS:
            page = await school.page(who)
            assert bool(page) is (offered is not None), (case, who)
            shown = buttons(page, "do-") - {"cancel", "retry"}
            assert shown == accepted, (case, who, "page")
            shown = buttons(page, f"vm-{school.inner_id}-") - {"more"}
            if f'id="console-{school.inner_id}"' in page:
                shown.add("console")
            drawn = set(re.findall(r'href="/vms/(\d+)/console" id="drawn-\1"', page))
            assert drawn == ({str(school.inner_id)} if "console" in shown else set()), (case, who, "drawing")
            assert shown == (vm_offered or set()) - {"update", "destroy"}, (case, who, "page")


@pytest.mark.parametrize(("state", "busy"), list(product(SliceState, (False, True))))
async def test_a_slice_in_every_state(school: School, state: SliceState, busy: bool) -> None:
    lab = school.lab
    operation = (await lab.call("GET", f"/operations/?slice_id={school.slice_id}")).json()["items"][0]["id"]
    await school.put(Slice, school.slice_id, state=state.value, operation_id=operation if busy else None)
    try:
        callers = CALLERS if (state, busy) in {(S.RUNNING, False), (S.STOPPED, True)} else some_callers(state, busy)
        await check_slice(school, callers, (state, busy))
    finally:
        await school.put(Slice, school.slice_id, state=S.RUNNING.value, operation_id=None)


@pytest.mark.parametrize("vm_state", [state for state in VmState if state is not V.DELETED])
@pytest.mark.parametrize("state", [S.RUNNING, S.ERROR])
async def test_a_slice_by_the_states_of_its_vms(school: School, state: SliceState, vm_state: VmState) -> None:
    lab = school.lab
    operation = (await lab.call("GET", f"/operations/?slice_id={school.slice_id}")).json()["items"][0]["id"]
    await school.put(Slice, school.slice_id, state=state.value)
    try:
        for held in (None, operation):
            await school.put(VirtualMachine, school.inner_id, state=vm_state.value, operation_id=held)
            callers = some_callers(state, vm_state, held)[:3]
            await check_slice(school, callers, (state, vm_state, held))
    finally:
        await school.put(VirtualMachine, school.inner_id, state=V.RUNNING.value, operation_id=None)
        await school.put(Slice, school.slice_id, state=S.RUNNING.value)


@pytest.mark.parametrize(("state", "busy"), list(product(VmState, (False, True))))
async def test_a_vm_in_every_state(school: School, state: VmState, busy: bool) -> None:
    lab = school.lab
    operation = (await lab.call("GET", f"/operations/?vm_id={school.vm_id}")).json()["items"][0]["id"]
    for vm_id in (school.vm_id, school.inner_id):
        await school.put(VirtualMachine, vm_id, state=state.value, operation_id=operation if busy else None)
        try:
            everybody = (state, busy) in {(V.RUNNING, False), (V.STOPPED, False)}
            for who in CALLERS if everybody else some_callers(state, busy, vm_id):
                path = f"/virtual-machines/{vm_id}"
                offered, accepted = await school.offered(who, path), await school.accepted(who, path, VM_REQUESTS)
                assert (offered or set()) == accepted, (state, busy, who, vm_id)
        finally:
            await school.put(VirtualMachine, vm_id, state=V.RUNNING.value, operation_id=None)


@pytest.mark.parametrize("state", OperationState)
@pytest.mark.parametrize("kind", ["deploy", "start", "stop", "reset", "destroy"])
async def test_an_operation_in_every_state(school: School, state: OperationState, kind: str) -> None:
    lab = school.lab
    rows = (await lab.call("GET", f"/operations/?slice_id={school.slice_id}&sort=-id")).json()["items"]
    operation_id = rows[0]["id"]
    for slice_state in (S.RUNNING, S.DESTROYED):
        await school.put(Operation, operation_id, state=state.value, kind=f"slice.{kind}")
        await school.put(Slice, school.slice_id, state=slice_state.value)
        try:
            for who in some_callers(state, kind, slice_state):
                path = f"/operations/{operation_id}"
                requests = {"cancel": ("POST", "/cancel"), "retry": ("POST", "/retry")}
                offered, accepted = await school.offered(who, path), await school.accepted(who, path, requests)
                assert (offered or set()) == accepted, (state, kind, slice_state, who)
                page = await school.page(who) if who in SESSIONS else ""
                if page:
                    assert buttons(page, "do-") & {"cancel", "retry"} == accepted, (state, kind, slice_state, who)
        finally:
            await school.put(Operation, operation_id, state=OperationState.SUCCEEDED.value, kind="slice.deploy")
            await school.put(Slice, school.slice_id, state=S.RUNNING.value)


@pytest.mark.parametrize("visibility", ["private", "public"])
@pytest.mark.parametrize("shared", [False, True])
async def test_a_template_by_who_it_is_shared_with(school: School, visibility: str, shared: bool) -> None:
    lab = school.lab
    facts: dict[str, Any] = {"visibility": visibility}
    if shared:
        facts["project_id"] = (await lab.call("GET", f"/slices/{school.slice_id}")).json()["project_id"]
    template = await lab.template(**facts)
    path = f"/templates/{template['id']}"
    same = {"name": template["name"], "document": template["document"], "visibility": visibility}
    asked: dict[str, tuple[str, str, dict[str, Any] | None]] = {
        "launch": ("POST", "/slices/", {"template_id": template["id"]}),
        "update": ("PUT", path, same | {"description": "Changed"}),
        "delete": ("DELETE", path, None),
    }
    other = {"private": "public", "public": "private"}[visibility]
    for who in CALLERS:
        accepted = set()
        for action, (method, where, body) in asked.items():
            with nothing_kept():
                answer = await lab.http.request(method, f"{API}{where}", headers=school.people[who].headers, json=body)
            assert answer.status_code < 300 or answer.status_code in REFUSED, answer.text
            accepted |= {action} if answer.status_code < 300 else set()
        offered = await school.offered(who, path) or set()
        # Launching builds, too; sharing is a part of replacing.
        if who == "token: create":
            assert "launch" not in offered
            accepted.discard("launch")
        assert offered - {"share"} == accepted, (visibility, shared, who)
        if "update" in offered:
            with nothing_kept():
                answer = await lab.http.put(
                    f"{API}{path}", headers=school.people[who].headers, json=same | {"visibility": other}
                )
            assert (answer.status_code == 200) is ("share" in offered), (visibility, shared, who)


@pytest.mark.parametrize("who", SESSIONS)
async def test_no_link_of_a_page_leads_to_a_refusal(school: School, who: str) -> None:
    """Where the page of a slice leads, the same reader gets a page; those of consoles lead on in the same way."""
    lab = school.lab
    headers = await browser_headers(lab, PAGE_RULES["GET /slices/{slice_id}"], school.people[who])
    lab.http.cookies.clear()
    seen, waiting = set(), [f"/slices/{school.slice_id}"] if await school.page(who) else []
    while waiting:
        path = waiting.pop()
        seen.add(path)
        answer = await lab.http.get(path, headers=headers)
        assert answer.status_code == 200, (who, path)
        if path.startswith(("/slices", "/vms")):
            links = re.findall(r'<a [^>]*href="(/(?:slices|vms|templates)/[^"#]+)"', answer.text)
            waiting += [link for link in dict.fromkeys(links) if link not in seen and link not in waiting]


async def test_a_console_without_the_right_to_its_slice(school: School) -> None:
    """All VMs, but no slices: the console opens, and leads nowhere where its user may not go."""
    lab = school.lab
    await lab.make("/roles/", "admin", json={"name": "vms-role", "permissions": ["vm:*"]})
    made = await lab.user(username="vms", email="vms@class.example", role="vms-role")
    person = await lab.enter("vms", "vms", made["id"])
    assert "console" in (await lab.call("GET", f"/virtual-machines/{school.inner_id}", "vms")).json()["allowed_actions"]
    headers = await browser_headers(lab, PAGE_RULES["GET /vms/{vm_id}/console"], person)
    lab.http.cookies.clear()
    answer = await lab.http.get(f"/vms/{school.inner_id}/console", headers=headers)
    assert answer.status_code == 200
    assert f"/slices/{school.slice_id}" not in answer.text
