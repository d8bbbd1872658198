"""A stream is open for hours; what its listener may hear is what they may hear at that moment."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.integration.http.asgi import Socket, open_socket, open_stream
from tests.integration.http.lab import API, PASSWORD, Lab, Person

pytestmark = pytest.mark.anyio


async def do(lab: Lab, method: str, path: str, by: str = "admin", **facts: Any) -> None:
    """Something that must work."""
    answer = await lab.call(method, path, by, json=facts or None)
    assert answer.status_code in {200, 204}, answer.text


async def somebody(lab: Lab, role: str = "client") -> Person:
    """Who may be spared."""
    user = await lab.user(role=role)
    return await lab.enter(user["username"], user["username"], user["id"])


async def latest(lab: Lab) -> int:
    """Number of the newest event."""
    number: int = (await lab.call("GET", "/events?since=0&limit=1000", "admin")).json()["last_id"]
    return number


@asynccontextmanager
async def listening(lab: Lab, person: Person, path: str = f"{API}/events/ws") -> AsyncIterator[Socket]:
    """A socket that has told of all there is, and then of something new: it follows."""
    start = await latest(lab)
    await lab.user()
    query = f"since={start}"
    async with open_socket(lab.app, path, query=query, headers=person.headers, has_room=lambda: True) as socket:
        await socket.json()
        await lab.user()
        await socket.json()
        yield socket


@pytest.mark.parametrize("path", [f"{API}/events/ws", "/ws/users"])
@pytest.mark.parametrize("end", ["deactivated", "password", "deleted"])
async def test_who_may_not_enter_any_more_hears_nothing_more(lab: Lab, path: str, end: str) -> None:
    person = await somebody(lab, "admin")
    async with listening(lab, person, path) as socket:
        where = f"/users/{person.id}"
        match end:
            case "deactivated":
                await do(lab, "PATCH", where, is_active=False)
            case "password":
                await do(lab, "PATCH", where, password=f"{PASSWORD} 2")
            case _:
                await do(lab, "DELETE", where)
        code, reason = await socket.closed()
    gone = "token_invalid" if end == "deleted" else "token_revoked"
    assert (code, reason.partition(":")[0]) == (4401, gone)


async def test_a_logout_ends_the_streams_of_its_session_only(lab: Lab) -> None:
    stays = await somebody(lab)
    goes = await lab.enter("goes", stays.name, stays.id)
    path, query = f"{API}/events/ws", f"since={await latest(lab)}"
    async with (
        open_socket(lab.app, path, query=query, headers=stays.headers) as one,
        open_socket(lab.app, path, query=query, headers=goes.headers) as other,
    ):
        await lab.template(stays.name)
        assert [(await socket.json())["type"] for socket in (one, other)] == ["template.created"] * 2
        await do(lab, "POST", "/logout", "goes")
        assert (await other.closed())[0] == 4401
        assert (await one.json())["type"] == "auth.logged_out"


async def test_a_revoked_token_ends_its_streams(lab: Lab) -> None:
    token = await lab.token("owner", "*")
    query, headers = f"since={await latest(lab)}", {"Authorization": f"Bearer {token['token']}"}
    async with open_stream(lab.app, f"{API}/events/stream", query=query, headers=headers) as stream:
        await lab.template("owner")
        assert (await stream.event())["event"] == "template.created"
        await do(lab, "DELETE", f"/tokens/{token['id']}", "owner")
        await stream.ended()


ENDS: dict[str, tuple[dict[str, Any], int]] = {
    "deactivated": ({"is_active": False}, 4401),
    "password": ({"password": f"{PASSWORD} 2"}, 4401),
    "role": ({"role": "client"}, 4404),
}


@pytest.mark.parametrize("end", ENDS)
async def test_a_console_ends_with_the_right_to_it(lab: Lab, end: str) -> None:
    person, vm = await somebody(lab, "admin"), await lab.vm()
    path, (facts, code) = f"/virtual-machines/{vm['id']}/console", ENDS[end]
    query = f"ticket={(await lab.make(path, person.name, json={'kind': 'serial'}))['ticket']}"
    async with open_socket(lab.app, f"{API}{path}/serial", query=query) as socket:
        assert (await socket.message())["bytes"]
        await do(lab, "PATCH", f"/users/{person.id}", **facts)
        message = await socket.message()
        while message["type"] != "websocket.close":
            message = await socket.message()
    assert message["code"] == code


async def test_a_ticket_ends_with_its_user(lab: Lab) -> None:
    person, vm = await somebody(lab, "admin"), await lab.vm()
    path = f"/virtual-machines/{vm['id']}/console"
    query = f"ticket={(await lab.make(path, person.name, json={'kind': 'serial'}))['ticket']}"
    await do(lab, "PATCH", f"/users/{person.id}", is_active=False)
    async with open_socket(lab.app, f"{API}{path}/serial", query=query) as socket:
        assert (await socket.closed())[0] == 4401


@pytest.mark.parametrize("by", ["user", "role"])
async def test_who_has_less_rights_now_hears_less(lab: Lab, by: str) -> None:
    role = await lab.make("/roles/", "admin", json={"name": lab.unique("watch"), "permissions": ["event:read_all"]})
    person = await somebody(lab, role["name"])
    async with listening(lab, person) as socket:
        if by == "user":
            await do(lab, "PATCH", f"/users/{person.id}", role="client")
        else:
            await do(lab, "PATCH", f"/roles/{role['id']}", permissions=["host:read"])
        await lab.user()
        mine = await lab.token(person.name)
        heard = await socket.json()
    assert (heard["type"], heard["data"].get("token_id")) == ("token.created", mine["id"])
