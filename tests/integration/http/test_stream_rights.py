"""A stream is open for hours; what its listener may hear is what they may hear at that moment."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
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


async def _console(lab: Lab, by: str, vm_id: int) -> tuple[str, str]:
    """Address and query of a console that somebody has a ticket for."""
    path = f"/virtual-machines/{vm_id}/console"
    ticket = (await lab.make(path, by, json={"kind": "serial"}))["ticket"]
    return f"{API}{path}/serial", f"ticket={ticket}"


async def _close_code(socket: Socket) -> int:
    """The code a console is closed with, whatever it said before."""
    message = await socket.message()
    while message["type"] != "websocket.close":
        message = await socket.message()
    return int(message["code"])


async def _end(lab: Lab, how: str, key: str, session: dict[str, Any], stays: Person) -> None:
    """End one session of two of the same person."""
    match how:
        case "logout":
            await do(lab, "POST", "/logout", key)
        case "cloud logout":
            answer = await lab.http.get(
                "/auth/logout", headers={"Cookie": f"parcela_session={session['access_token']}"}
            )
            assert answer.status_code == 303
        case "ended from another session":
            await do(lab, "DELETE", "/sessions/", stays.name)
        case "password of one's own":
            body = {"old_password": PASSWORD, "new_password": f"{PASSWORD} 2"}
            await do(lab, "POST", "/users/me/password", stays.name, **body)
        case _:
            for status in (200, 401):  # used twice: stolen
                body = {"refresh_token": session["refresh_token"]}
                assert (await lab.call("POST", "/token/refresh", None, json=body)).status_code == status


SESSION_ENDS = ["logout", "cloud logout", "ended from another session", "password of one's own", "stolen refresh token"]


@pytest.mark.parametrize("how", SESSION_ENDS)
async def test_consoles_and_tickets_end_with_their_session_only(lab: Lab, how: str) -> None:
    stays, vm = await somebody(lab, "admin"), await lab.vm()
    session = await lab.login(stays.name)
    lab.people["goes"] = Person(stays.name, stays.id, session["access_token"])
    kept = await _console(lab, stays.name, (await lab.vm())["id"])  # another VM: a serial line has one user at a time
    unused = await _console(lab, "goes", vm["id"])
    ending = await _console(lab, "goes", vm["id"])
    async with (
        open_socket(lab.app, kept[0], query=kept[1]) as other,
        open_socket(lab.app, ending[0], query=ending[1]) as console,
    ):
        assert (await other.message())["bytes"]
        await _end(lab, how, "goes", session, stays)
        assert await _close_code(console) == 4401
        async with open_socket(lab.app, unused[0], query=unused[1]) as late:
            assert (await late.closed())[0] == 4401
        other.send(b"x")
        assert (await other.message())["type"] == "websocket.send"


async def test_a_console_outlives_the_renewal_of_its_session(lab: Lab) -> None:
    person, vm = await somebody(lab, "admin"), await lab.vm()
    session = await lab.login(person.name)
    lab.people["renews"] = Person(person.name, person.id, session["access_token"])
    path, query = await _console(lab, "renews", vm["id"])
    pair = await lab.make("/token/refresh", None, 200, json={"refresh_token": session["refresh_token"]})  # type: ignore[arg-type]
    async with open_socket(lab.app, path, query=query) as console:
        assert (await console.message())["bytes"]
        lab.people["renews"] = Person(person.name, person.id, pair["access_token"])
        await do(lab, "POST", "/logout", "renews")
        assert await _close_code(console) == 4401


async def test_a_console_ends_with_its_personal_token(lab: Lab) -> None:
    vm, token = await lab.vm(), await lab.token("owner", "*")
    lab.people["script"] = Person("owner", lab.people["owner"].id, token["token"])
    used, unused = await _console(lab, "script", vm["id"]), await _console(lab, "script", vm["id"])
    async with open_socket(lab.app, used[0], query=used[1]) as console:
        assert (await console.message())["bytes"]
        await do(lab, "DELETE", f"/tokens/{token['id']}", "owner")
        assert await _close_code(console) == 4401
    async with open_socket(lab.app, unused[0], query=unused[1]) as late:
        assert (await late.closed())[0] == 4401


async def _short_lived(lab: Lab) -> str:
    """A personal token of the owner that expires in a moment, without anything happening then."""
    ends_at = (lab.clock() + timedelta(seconds=1)).isoformat()
    body = {"name": lab.unique("short"), "scopes": ["*"], "expires_at": ends_at}
    return str((await lab.make("/tokens/", "owner", json=body))["token"])


async def test_a_stream_ends_when_its_token_expires(lab: Lab) -> None:
    headers = {"Authorization": f"Bearer {await _short_lived(lab)}"}
    query = f"since={await latest(lab)}"
    async with (
        open_stream(lab.app, f"{API}/events/stream", query=query, headers=headers) as stream,
        open_socket(lab.app, f"{API}/events/ws", query=query, headers=headers) as socket,
        open_socket(lab.app, "/ws/vms", query=query, headers=headers) as older,
    ):
        await stream.ended()
        for one in (socket, older):
            code, reason = await one.closed()
            assert (code, reason.partition(":")[0]) == (4401, "token_expired")


async def test_a_console_ends_when_its_token_expires(lab: Lab) -> None:
    vm = await lab.vm()
    lab.people["short"] = Person("owner", lab.people["owner"].id, await _short_lived(lab))
    path, query = await _console(lab, "short", vm["id"])
    async with open_socket(lab.app, path, query=query) as console:
        assert await _close_code(console) == 4401


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


@pytest.mark.parametrize("lost", ["user:read", "event:read_all"])
async def test_a_feed_of_users_ends_with_the_right_to_it(lab: Lab, lost: str) -> None:
    rights = ["user:read", "event:read_all"]
    role = await lab.make("/roles/", "admin", json={"name": lab.unique("watch"), "permissions": rights})
    person = await somebody(lab, role["name"])
    async with listening(lab, person, "/ws/users") as socket:
        await do(lab, "PATCH", f"/roles/{role['id']}", permissions=[right for right in rights if right != lost])
        assert (await socket.closed())[0] == 4403
