"""One request of the rights table, by one of its callers: the table is walked route by route, whoever asks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from parcela.web.session import CSRF_FIELD, CSRF_HEADER, FORM_COOKIE, LOGIN_COOKIE, SESSION_COOKIE, csrf_token
from tests.integration.http.asgi import open_socket, open_stream
from tests.integration.http.lab import PASSWORD, Lab, Person
from tests.integration.http.rights_table import Rule
from tests.integration.http.rights_targets import TARGETS, Made, filled_path, request_of

FORMS = {
    "/login": {"identifier": "owner", "password": PASSWORD, CSRF_FIELD: csrf_token("secret")},
    "/login/code": {"code": "000000", CSRF_FIELD: csrf_token("secret")},
    "/password/forgot": {"identifier": "owner", CSRF_FIELD: csrf_token("secret")},
    "/password/reset": {"password": PASSWORD, "again": PASSWORD, CSRF_FIELD: csrf_token("secret")},
    "/account/security/password": {"old": PASSWORD, "password": "one", "again": "another"},
    "/account/security/totp": {"password": PASSWORD},
    "/account/security/totp/confirm": {"code": "wrong!"},
    "/account/security/totp/disable": {"password": PASSWORD, "code": "wrong!"},
    "/account/security/recovery-codes": {"code": "wrong!"},
    "/slices/{slice_id}/extend": {"hours": "1"},
    "/vms/{vm_id}/console/ticket": {"kind": "serial"},
}
NOBODY_ON_PAGES = {"anonymous", "reader"}
IN_PROJECT = {"member", "manager"}


@dataclass(frozen=True)
class Outcome:
    """Status of an answer or close code of a WebSocket, where a page sends the browser, and who may keep the answer."""

    status: int
    location: str = ""
    cache: str = ""


class Walk:
    """Sends the requests. What they only look at, or may not change, is made once and used again."""

    def __init__(self, lab: Lab, project_id: int) -> None:
        """Take the project of owner, member and manager (``Lab.classroom``)."""
        self._lab = lab
        self._project_id = project_id
        self._made: dict[tuple[str, bool], Made] = {}

    async def outcome(self, rule: Rule, who: str) -> Outcome:
        """Ask for the route of a rule."""
        lab = self._lab
        if who in IN_PROJECT:
            lab.in_project["project_id"] = self._project_id
        try:
            made = await self._target(rule, who)
            outcome = await self._ask(rule, who, made)
            await lab.settle()
            if str(rule.target).endswith("operation_held"):
                await lab.release(made["id"])
        finally:
            lab.in_project.clear()
        return outcome

    async def target(self, name: str, *, in_project: bool = False) -> Made:
        """A thing of the owner that nothing changes."""
        key = name, in_project
        if key not in self._made:
            self._made[key] = await self._new(name, in_project=in_project)
        return self._made[key]

    async def _new(self, name: str, *, in_project: bool) -> Made:
        if name == "invitation" and in_project:
            return await self._lab.invitation_in_project()
        if name == "project" and in_project:
            return await self._lab.project(owner="member", member="member", manager="manager")
        return await TARGETS[name](self._lab)

    async def _target(self, rule: Rule, who: str) -> Made:
        if rule.target in {None, "fresh_login"}:
            return {}
        name, in_project = str(rule.target), who in IN_PROJECT
        changes = rule.statuses[who] < (300 if who in NOBODY_ON_PAGES else 400)
        if changes and rule.method not in {"GET", "WS"}:
            return await self._new(name, in_project=in_project)
        # One that is held would occupy a place on its host; who is refused, is so whatever the state.
        return await self.target("operation" if name.endswith("operation_held") else name, in_project=in_project)

    async def _caller(self, rule: Rule, who: str) -> Person | None:
        """Who asks; somebody new where the request ends sessions."""
        lab = self._lab
        if who == "anonymous":
            return None
        if rule.target != "fresh_login" or who == "reader":
            return lab.people[who]
        made = await lab.user(role="admin" if who == "admin" else "client")
        if who in IN_PROJECT:
            membership = {"user": made["username"], "role": who}
            await lab.make(f"/projects/{self._project_id}/members", "admin", json=membership)
        return Person(made["username"], made["id"], (await lab.login(made["username"]))["access_token"])

    async def _ask(self, rule: Rule, who: str, made: Made) -> Outcome:
        lab, path = self._lab, filled_path(rule.path, made)
        person = await self._caller(rule, who)
        headers = await browser_headers(lab, rule, person) if rule.page else person.headers if person else {}
        if rule.method == "WS":
            return Outcome(await socket_status(lab, path, who))
        if path.endswith("/stream"):
            async with open_stream(lab.app, path, headers=headers) as stream:
                return outcome_of(stream.status, stream.headers)
        method, path = ("GET", f"{path}/nothing.css") if rule.method == "MOUNT" else (rule.method, path)
        options: dict[str, Any] = {"data": FORMS.get(rule.path)}
        if not rule.page:
            options = await request_of(lab, rule.route, made)
        lab.http.cookies.clear()  # a session of before would make somebody of anonymous
        answer = await lab.http.request(method, path, headers=headers, **options)
        return outcome_of(answer.status_code, answer.headers)


def outcome_of(status: int, headers: Mapping[str, str]) -> Outcome:
    """What of an answer counts here."""
    return Outcome(status, headers.get("location", ""), headers.get("cache-control", ""))


async def browser_headers(lab: Lab, rule: Rule, person: Person | None) -> dict[str, str]:
    """What a browser sends: the session, and the proof that the form is one of ours.

    Some addresses are an older API's too: for whoever does not want HTML.
    """
    wish = {"Accept": "text/html"}
    if rule.path.startswith(("/login", "/password/")) and rule.method == "POST":
        return wish | {"Cookie": f"{LOGIN_COOKIE}=secret; {FORM_COOKIE}=secret", CSRF_HEADER: ""}
    if person is None:
        return wish
    caller = await lab.services.auth.authenticate(person.token, "192.0.2.7")
    return wish | {"Cookie": f"{SESSION_COOKIE}={person.token}", CSRF_HEADER: csrf_token(caller.token_family)}


async def socket_status(lab: Lab, path: str, who: str) -> int:
    """101 for a WebSocket that stays open, else its close code. Consoles are opened with a ticket, if there is one."""
    headers = lab.people[who].headers if who in lab.people else {}
    if "/console/" in path:
        ticket = await lab.http.post(path.rpartition("/")[0], json={"kind": "serial"}, headers=headers)
        query, headers = f"ticket={ticket.json().get('ticket', 'none')}", {}
    else:
        async with lab.services.uows.read() as uow:
            query = f"since={await uow.events.last_id()}"
        if who != "anonymous":
            await _something_happens(lab, path, who)
    async with open_socket(lab.app, path, query=query, headers=headers) as socket:
        message = await socket.message()
    return int(message.get("code", 0)) if message["type"] == "websocket.close" else 101


async def _something_happens(lab: Lab, path: str, who: str) -> None:
    """An event that a listener at the path hears of, if it hears of anything."""
    if path == "/ws/users":
        await lab.user()
    elif path == "/ws/vms":
        await lab.vm(by="admin" if who == "reader" else who)
    elif who == "reader":  # it can make nothing itself, but hears of everything
        await lab.flavour()
    else:
        await lab.token(who)
