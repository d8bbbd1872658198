"""People come into a project by invitation: who invites learns nothing about them before they accept."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.http.lab import API, ONE_VM, Lab, make_settings, open_lab, problem
from tests.support.mailbox import Mailbox, mail_server

pytestmark = pytest.mark.anyio
VOLATILE = {"id", "email", "created_at", "expires_at"}


@pytest.fixture
async def classroom(lab: Lab) -> dict[str, Any]:
    """A project with a manager of its own, ``teacher``."""
    name = lab.unique("teacher")
    made = await lab.user(username=name)
    await lab.enter("teacher", name, made["id"])
    project = await lab.make("/projects/", "admin", json={"name": lab.unique("class")})
    await lab.make(f"/projects/{project['id']}/members", "admin", json={"user": name, "role": "manager"})
    await lab.make(f"/projects/{project['id']}/accept", "teacher", 200)
    return project


async def account(lab: Lab, **facts: Any) -> dict[str, Any]:
    """An account that an administrator made; it may call as its username."""
    made = await lab.user(**facts)
    await lab.enter(made["username"], made["username"], made["id"])
    return made


async def registered(lab: Lab, email: str) -> str:
    """An account that somebody made for themselves, with an address of their choice; its name as a caller."""
    name = lab.unique("squatter")
    form = {"email": email, "full_name": name, "password": "correct horse battery"}
    answer = await lab.http.post("/auth/register", data=form, headers={"Accept": "application/json"})
    assert answer.status_code == 201, answer.text
    lab.http.cookies.clear()
    await lab.enter(name, email, answer.json()["user"]["id"])
    return name


async def unverified(lab: Lab, name: str) -> str:
    """An account whose address nobody has vouched for, as those from before addresses were verified."""
    made = await account(lab, username=name, email=f"{name}@class.example")
    async with lab.services.uows.write() as uow:
        (await uow.users.lock(made["id"])).verified_email = None
        await uow.commit()
    return name


async def view_of(lab: Lab, project: dict[str, Any], by: str = "teacher") -> str:
    """Everything that a manager can read about the project and about users, as text."""
    own = [f"/projects/{project['id']}{path}" for path in ("", "/members", "/quota")]
    paths = [*own, "/projects/", "/events?since=0&limit=1000", "/slices/", "/users/me", "/audit/", "/users/"]
    return "\n".join([(await lab.call("GET", path, by)).text for path in paths])


async def test_the_answer_is_the_same_whether_an_account_exists_or_not(lab: Lab, classroom: dict[str, Any]) -> None:
    known = await account(lab, full_name="Somebody Real")
    path = f"/projects/{classroom['id']}/invitations"
    answers = []
    for email in (known["email"], f"{lab.unique('nobody')}@class.example"):
        answers.append(await lab.call("POST", path, "teacher", json={"email": email, "role": "member"}))
        answers.append(await lab.call("POST", path, "teacher", json={"email": email.upper(), "role": "viewer"}))
    assert [answer.status_code for answer in answers] == [201] * 4
    bodies = [{key: value for key, value in answer.json().items() if key not in VOLATILE} for answer in answers]
    assert bodies[0] == bodies[2]
    assert bodies[1] == bodies[3]
    volatile = {"content-length", "x-request-id", "ratelimit-remaining", "ratelimit-reset", "etag"}
    heads = [{k: v for k, v in answer.headers.items() if k not in volatile} for answer in answers]
    assert heads[0] == heads[2]
    listed = (await lab.call("GET", path, "teacher")).json()
    assert len({str({k: v for k, v in row.items() if k not in VOLATILE}) for row in listed}) == 1


async def test_nothing_is_shown_before_the_person_has_accepted(lab: Lab, classroom: dict[str, Any]) -> None:
    known = await account(lab, full_name="Somebody Real")
    name = known["username"]
    body = {"email": known["email"], "role": "member"}
    invitation = await lab.make(f"/projects/{classroom['id']}/invitations", "teacher", json=body)
    assert (await lab.call("GET", f"/projects/{classroom['id']}", name)).status_code == 404
    assert name not in await view_of(lab, classroom)
    for method in ("PATCH", "DELETE"):
        path = f"/projects/{classroom['id']}/members/{known['id']}"
        problem(await lab.call(method, path, "teacher", json={"role": "viewer"}), 404, "member_not_found")

    told = (await lab.call("GET", "/users/me/invitations", name)).json()
    assert [(one["project_id"], one["role"]) for one in told] == [(classroom["id"], "member")]
    events = (await lab.call("GET", "/events?since=0&limit=1000", name)).json()["items"]
    assert "project.invited" in {event["type"] for event in events}

    answer = await lab.call("POST", f"/projects/{classroom['id']}/accept", name)
    assert answer.status_code == 200
    members = (await lab.call("GET", f"/projects/{classroom['id']}/members", "teacher")).json()
    assert name in {member["username"] for member in members}
    path = f"/projects/{classroom['id']}/invitations/{invitation['id']}"
    problem(await lab.call("DELETE", path, "teacher"), 404, "invitation_not_found")
    assert (await lab.call("GET", "/users/me/invitations", name)).json() == []


async def test_a_refusal_looks_like_no_answer(lab: Lab, classroom: dict[str, Any]) -> None:
    known = await account(lab)
    path = f"/projects/{classroom['id']}/invitations"
    before = await lab.make(path, "teacher", json={"email": known["email"]})
    assert (await lab.call("POST", f"/projects/{classroom['id']}/decline", known["username"])).status_code == 204
    assert before in (await lab.call("GET", path, "teacher")).json()
    assert known["username"] not in await view_of(lab, classroom)
    await lab.make(path, "teacher", json={"email": known["email"]})  # asking again is no way to insist
    assert (await lab.call("GET", "/users/me/invitations", known["username"])).json() == []
    answer = await lab.call("POST", f"/projects/{classroom['id']}/accept", known["username"])
    problem(answer, 404, "project_not_found")


async def test_whoever_registers_with_the_address_gets_no_invitation(lab: Lab, classroom: dict[str, Any]) -> None:
    email = f"{lab.unique('victim')}@class.example"
    await lab.make(f"/projects/{classroom['id']}/invitations", "teacher", json={"email": email})
    squatter = await registered(lab, email)
    assert (await lab.call("GET", "/users/me/invitations", squatter)).json() == []
    problem(await lab.call("POST", f"/projects/{classroom['id']}/accept", squatter), 404, "project_not_found")
    # The other way round: the account is there first.
    second = f"{lab.unique('victim')}@class.example"
    squatter = await registered(lab, second)
    await lab.make(f"/projects/{classroom['id']}/invitations", "teacher", json={"email": second})
    problem(await lab.call("POST", f"/projects/{classroom['id']}/accept", squatter), 404, "project_not_found")
    events = (await lab.call("GET", "/events?since=0&limit=1000", squatter)).json()["items"]
    assert "project.invited" not in {event["type"] for event in events}
    # An administrator who knows that it is theirs vouches for it by setting it.
    user_id = lab.people[squatter].id
    assert (await lab.call("PATCH", f"/users/{user_id}", "admin", json={"email": second})).status_code == 200
    person = await lab.login(second)
    headers = {"Authorization": f"Bearer {person['access_token']}"}
    answer = await lab.http.post(f"{API}/projects/{classroom['id']}/accept", headers=headers)
    assert answer.status_code == 200


async def test_an_invitation_waits_for_an_account(lab: Lab, classroom: dict[str, Any]) -> None:
    name = lab.unique("later")
    email = f"{name}@class.example"
    await lab.make(f"/projects/{classroom['id']}/invitations", "teacher", json={"email": email, "role": "viewer"})
    await account(lab, username=name, email=email)
    assert (await lab.call("POST", f"/projects/{classroom['id']}/accept", name)).status_code == 200
    members = (await lab.call("GET", f"/projects/{classroom['id']}/members", "teacher")).json()
    assert {"viewer"} == {member["role"] for member in members if member["username"] == name}


async def test_managers_cannot_ask_who_there_is(lab: Lab, classroom: dict[str, Any]) -> None:
    known = await account(lab)
    path = f"/projects/{classroom['id']}/members"
    answers = [
        await lab.call("POST", path, "teacher", json={"user": user})
        for user in (known["username"], known["email"], "nobody-at-all")
    ]
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(403, "invite_instead")}
    for path in (f"/users/{known['id']}", f"/users/{known['id']}/quota"):
        other = path.replace(str(known["id"]), "999999")
        mine, none = (await lab.call("GET", path, "teacher")), (await lab.call("GET", other, "teacher"))
        assert (
            (mine.status_code, mine.json()["code"])
            == (none.status_code, none.json()["code"])
            == (404, "user_not_found")
        )


async def test_who_was_added_by_an_administrator_is_shown_once_they_open_it(
    lab: Lab, classroom: dict[str, Any]
) -> None:
    known = await account(lab)
    name, body = known["username"], {"user": known["username"], "role": "member"}
    await lab.make(f"/projects/{classroom['id']}/members", "admin", json=body)
    assert name not in await view_of(lab, classroom)
    [told] = (await lab.call("GET", "/users/me/invitations", name)).json()
    assert (told["project_id"], told["expires_at"]) == (classroom["id"], None)
    await lab.make("/templates/", name, json={"name": lab.unique("t"), "document": ONE_VM})
    assert name not in await view_of(lab, classroom)
    # Making something in it opens it: whose things are in a project is seen there.
    body = {"name": lab.unique("t"), "document": ONE_VM, "project_id": classroom["id"]}
    await lab.make("/templates/", name, json=body)
    members = (await lab.call("GET", f"/projects/{classroom['id']}/members", "teacher")).json()
    assert name in {member["username"] for member in members}


async def test_everybody_may_leave(lab: Lab, classroom: dict[str, Any]) -> None:
    known = await account(lab)
    await lab.make(f"/projects/{classroom['id']}/invitations", "teacher", json={"email": known["email"]})
    await lab.make(f"/projects/{classroom['id']}/accept", known["username"], 200)
    problem(await lab.call("POST", f"/projects/{classroom['id']}/decline", known["username"]), 409, "project_open")
    path = f"/projects/{classroom['id']}/members/{known['id']}"
    assert (await lab.call("DELETE", path, known["username"])).status_code == 204
    assert (await lab.call("GET", f"/projects/{classroom['id']}", known["username"])).status_code == 404


async def test_a_list_is_all_or_nothing_and_tells_syntax_only(lab: Lab, classroom: dict[str, Any]) -> None:
    known, path = await account(lab), f"/projects/{classroom['id']}/invitations"
    bad = f"email,role\n{known['email']}\nnot an address\n\nana@class.example,king\na@b.example,viewer,x\n"
    answer = await lab.call("POST", f"{path}/csv", "teacher", content=bad.encode())
    problem(answer, 422, "list_invalid")
    assert [one["where"] for one in answer.json()["problems"]] == ["line 3", "line 5", "line 6"]
    assert (await lab.call("GET", path, "teacher")).json() == []
    good = f"\ufeffemail,role\r\n{known['email']},manager\r\n{known['email'].upper()},manager\r\nana@class.example\r\n"
    answer = await lab.call("POST", f"{path}/csv?role=member", "teacher", content=good.encode())
    assert (answer.status_code, answer.json()) == (200, {"invited": 2})
    listed = {row["email"]: row["role"] for row in (await lab.call("GET", path, "teacher")).json()}
    assert listed == {known["email"]: "manager", "ana@class.example": "member"}
    for content in (b"", b"email\n", b"\xff\xfe", b'"a@b.example\n'):
        problem(await lab.call("POST", f"{path}/csv", "teacher", content=content), 422, "list_invalid")


async def test_a_list_gives_nobody_two_roles(lab: Lab, classroom: dict[str, Any]) -> None:
    path = f"/projects/{classroom['id']}/invitations"
    twice = b"ana@lab.example,member\nANA@lab.example,manager\n"
    (found,) = problem(await lab.call("POST", f"{path}/csv", "teacher", content=twice), 422, "list_invalid")["problems"]
    assert (found["where"], found["code"]) == ("line 2", "two_roles")
    same = b"ana@lab.example,member\nANA@lab.example\n"
    answer = await lab.call("POST", f"{path}/csv?role=member", "teacher", content=same)
    assert (answer.status_code, answer.json()) == (200, {"invited": 1})


async def test_an_invitation_ends_and_can_be_withdrawn(lab: Lab, classroom: dict[str, Any]) -> None:
    known, path = await account(lab), f"/projects/{classroom['id']}/invitations"
    made = await lab.make(path, "teacher", json={"email": known["email"]})
    assert (await lab.call("DELETE", f"{path}/{made['id']}", "teacher")).status_code == 204
    problem(await lab.call("DELETE", f"{path}/{made['id']}", "teacher"), 404, "invitation_not_found")
    problem(await lab.call("POST", f"/projects/{classroom['id']}/accept", known["username"]), 404, "project_not_found")
    again = await lab.make(path, "teacher", json={"email": known["email"]})
    async with lab.services.uows.write() as uow:
        row = await uow.invitations.get(again["id"])
        row.expires_at = uow.clock() - timedelta(seconds=1)
        await uow.commit()
    problem(await lab.call("POST", f"/projects/{classroom['id']}/accept", known["username"]), 404, "project_not_found")
    assert (await lab.call("GET", path, "teacher")).json() == []
    async with lab.services.uows.write() as uow:
        assert await uow.invitations.purge() == 1
        await uow.commit()


@pytest.fixture
async def narrow(tmp_path: Path, schema: Path) -> AsyncIterator[Lab]:
    settings = make_settings(
        tmp_path, schema, PARCELA_INVITATIONS_PER_PROJECT=3, PARCELA_INVITATIONS_PER_HOUR=4, PARCELA_RATE_LIMIT="off"
    )
    async with open_lab(settings) as lab:
        yield lab


async def test_invitations_are_limited(narrow: Lab) -> None:
    project = await narrow.make("/projects/", "admin", json={"name": "class"})
    path = f"/projects/{project['id']}/invitations"
    made = [await narrow.make(path, "admin", json={"email": f"a{one}@class.example"}) for one in range(3)]
    problem(await narrow.call("POST", path, "admin", json={"email": "d@class.example"}), 409, "too_many_invitations")
    await narrow.make(path, "admin", json={"email": "a0@class.example"})
    # Withdrawn ones free a place, but do not let anybody send mails without end.
    for one in made:
        assert (await narrow.call("DELETE", f"{path}/{one['id']}", "admin")).status_code == 204
    await narrow.make(path, "admin", json={"email": "d@class.example"})
    answer = await narrow.call("POST", path, "admin", json={"email": "e@class.example"})
    problem(answer, 429, "invitations_too_fast")
    assert answer.headers["retry-after"]


@pytest.fixture
async def mailing(tmp_path: Path, schema: Path) -> AsyncIterator[tuple[Lab, Mailbox]]:
    with mail_server() as box:
        mail = {"PARCELA_SMTP_HOST": "127.0.0.1", "PARCELA_SMTP_PORT": box.port, "PARCELA_SMTP_SECURITY": "none"}
        settings = make_settings(tmp_path, schema, PARCELA_PUBLIC_URL="https://lab.example", **mail)
        async with open_lab(settings) as lab:
            yield lab, box


async def test_the_mail_proves_the_address(mailing: tuple[Lab, Mailbox]) -> None:
    lab, box = mailing
    project = await lab.make("/projects/", "admin", json={"name": "Networks"})
    await lab.make(f"/projects/{project['id']}/invitations", "admin", json={"email": "ana@class.example"})
    await lab.make(f"/projects/{project['id']}/invitations", "admin", json={"email": "ana@class.example"})
    await lab.services.mail.settle()
    assert [mail["To"] for mail in box.mails] == ["ana@class.example"]  # once a day
    found = re.search(r"https://lab\.example/invitations/confirm\?token=(\S+)", box.words())
    assert found
    ana, other = [await unverified(lab, name) for name in ("ana", "eve")]
    path, token = "/users/me/invitations/confirm", {"token": found[1]}
    problem(await lab.call("POST", path, other, json=token), 422, "invitation_token_invalid")
    problem(await lab.call("POST", path, ana, json={"token": found[1] + "x"}), 422, "invitation_token_invalid")
    assert (await lab.call("GET", "/users/me/invitations", ana)).json() == []
    assert (await lab.call("POST", path, ana, json=token)).status_code == 204
    assert [one["project"] for one in (await lab.call("GET", "/users/me/invitations", ana)).json()] == ["Networks"]
    assert (await lab.call("POST", f"/projects/{project['id']}/accept", ana)).status_code == 200


async def test_a_manager_counts_the_members_that_are_shown(lab: Lab, classroom: dict[str, Any]) -> None:
    async def counted(by: str) -> tuple[int, int]:
        listed = (await lab.call("GET", "/projects/?limit=200", by)).json()["items"]
        count = next(row["members"] for row in listed if row["id"] == classroom["id"])
        return count, len((await lab.call("GET", f"/projects/{classroom['id']}/members", by)).json())

    added = await account(lab)
    path = f"/projects/{classroom['id']}"
    await lab.make(f"{path}/members", "admin", json={"user": added["username"], "role": "member"})
    assert (await counted("teacher"), await counted("admin")) == ((1, 1), (2, 2))
    assert await counted(added["username"]) == (2, 2), "people know of themselves"
    await lab.make(f"{path}/accept", added["username"], 200)
    assert (await counted("teacher"), await counted("admin")) == ((2, 2), (2, 2))
