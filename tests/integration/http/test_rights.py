"""Every route of the application, for every kind of caller: ``rights_table.py`` is the table, this walks it."""

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount

from parcela.web.session import CSRF_FIELD, CSRF_HEADER, FORM_COOKIE, LOGIN_COOKIE, SESSION_COOKIE, csrf_token
from tests.integration.http.asgi import open_socket, open_stream
from tests.integration.http.lab import API, PASSWORD, Lab, Person
from tests.integration.http.rights_table import CALLERS, PAGE_RULES, RULES, Rule
from tests.integration.http.rights_targets import TARGETS, Made, filled_path, request_of

pytestmark = pytest.mark.anyio
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
CASES = [pytest.param(rule, who, id=f"{rule.route} {who}") for rule in RULES.values() for who in CALLERS]
PAGE_CASES = [pytest.param(rule, who, id=f"{rule.route} {who}") for rule in PAGE_RULES.values() for who in CALLERS]
LISTS = sorted(
    rule.path for rule in RULES.values() if rule.method == "GET" and rule.path.endswith("/") and rule.path != "/"
)


def routes_of(app: FastAPI) -> set[str]:
    """``METHOD path`` of every route; HEAD goes with GET."""
    found = set()
    for route in iter_route_contexts(app.routes):
        other = "MOUNT" if isinstance(route.original_route, Mount) else "WS"
        methods = getattr(route, "methods", None) or {other}
        found |= {f"{method} {route.path}" for method in methods if method != "HEAD"}
    return found


def check_complete(app: FastAPI, known: set[str]) -> None:
    """Fail with the names of the routes that are in the application only, or in the table only."""
    routes = routes_of(app)
    missing, gone = sorted(routes - known), sorted(known - routes)
    assert not missing, f"rights_table.py says nothing about: {', '.join(missing)}"
    assert not gone, f"rights_table.py knows routes that are not there: {', '.join(gone)}"


async def test_every_route_is_in_the_table(lab: Lab) -> None:
    check_complete(lab.app, {*RULES, *PAGE_RULES})


async def test_a_route_that_is_missing_in_the_table_is_named() -> None:
    app = FastAPI(openapi_url=None)
    app.add_api_route("/forgotten", lambda: None, methods=["POST"])
    app.add_api_websocket_route("/ws/forgotten", lambda: None)
    with pytest.raises(AssertionError, match=r"nothing about: POST /forgotten, WS /ws/forgotten"):
        check_complete(app, set())


async def test_every_target_of_the_table_can_be_made() -> None:
    assert {rule.target for rule in (RULES | PAGE_RULES).values()} - {None, "fresh_login"} == set(TARGETS)


class Shelf:
    """Targets of requests that change nothing: those that read, and those that are refused."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._made: dict[str, Made] = {}

    async def target(self, rule: Rule, who: str) -> Made:
        """The thing to act on; a new one when it will be changed."""
        if rule.target in {None, "fresh_login"}:
            return {}
        changes = rule.statuses[who] < (300 if who in {"anonymous", "reader"} else 400)
        if changes and rule.method not in {"GET", "WS"}:
            return await TARGETS[str(rule.target)](self._lab)
        # One that is held would occupy a place on its host; who is refused, is so whatever the state.
        name = "operation" if str(rule.target).endswith("operation_held") else str(rule.target)
        if name not in self._made:
            self._made[name] = await TARGETS[name](self._lab)
        return self._made[name]


@pytest.fixture(scope="module")
def shelf(lab: Lab) -> Shelf:
    return Shelf(lab)


async def _caller(lab: Lab, rule: Rule, who: str) -> Person | None:
    """Who asks; somebody new where the request ends sessions."""
    if who == "anonymous":
        return None
    if rule.target != "fresh_login" or who == "reader":
        return lab.people[who]
    made = await lab.user(role="admin" if who == "admin" else "client")
    return Person(made["username"], made["id"], (await lab.login(made["username"]))["access_token"])


@pytest.mark.parametrize(("rule", "who"), CASES)
async def test_right(lab: Lab, shelf: Shelf, rule: Rule, who: str) -> None:
    made = await shelf.target(rule, who)
    path = rule.path.replace("{version}", "1").replace("{kind}", "serial")
    path = filled_path(path, made)
    person = await _caller(lab, rule, who)
    headers = person.headers if person else {}
    if rule.method == "WS":
        status = await socket_status(lab, path, headers)
    elif path.endswith("/stream"):
        async with open_stream(lab.app, path, headers=headers) as stream:
            status = stream.status
    else:
        lab.http.cookies.clear()  # a session of an older API would make somebody of anonymous
        options: dict[str, Any] = await request_of(lab, rule.route, made)
        status = (await lab.http.request(rule.method, path, headers=headers, **options)).status_code
    await lab.settle()
    if status < 300 and str(rule.target).endswith("operation_held"):
        await lab.release(made["id"])
    assert status == rule.statuses[who]


@pytest.mark.parametrize(("rule", "who"), PAGE_CASES)
async def test_right_to_a_page(lab: Lab, shelf: Shelf, rule: Rule, who: str) -> None:
    made = await shelf.target(rule, who)
    path = rule.path.replace("{action}", "reset").replace("{locale}", "es").replace("{code}", str(made.get("code")))
    path = filled_path(path, made)
    person = await _caller(lab, rule, who)
    # Some addresses are an older API's too: for whoever does not want HTML.
    headers = {"Accept": "text/html"} | await browser_headers(lab, rule, person)
    if path.endswith("/stream"):
        async with open_stream(lab.app, path, headers=headers) as stream:
            assert stream.status == rule.statuses[who]
        return
    lab.http.cookies.clear()  # what a page has set before is of no concern here
    method, path = ("GET", f"{path}/nothing.css") if rule.method == "MOUNT" else (rule.method, path)
    answer = await lab.http.request(method, path, headers=headers, data=FORMS.get(rule.path))
    await lab.settle()
    if str(rule.target).endswith("operation_held"):
        await lab.release(made["id"])
    assert answer.status_code == rule.statuses[who], answer.text
    nobody = who in {"anonymous", "reader"}
    if answer.status_code == 303 and rule.path not in {"/login", "/login/code", "/language/{locale}", "/logout"}:
        assert answer.headers["location"].startswith("/login") == nobody


async def browser_headers(lab: Lab, rule: Rule, person: Person | None) -> dict[str, str]:
    """What a browser sends: the session, and the proof that the form is one of ours."""
    if rule.path.startswith(("/login", "/password/")) and rule.method == "POST":
        return {"Cookie": f"{LOGIN_COOKIE}=secret; {FORM_COOKIE}=secret", CSRF_HEADER: ""}
    if person is None:
        return {}
    caller = await lab.services.auth.authenticate(person.token, "192.0.2.7")
    return {"Cookie": f"{SESSION_COOKIE}={person.token}", CSRF_HEADER: csrf_token(caller.token_family)}


async def socket_status(lab: Lab, path: str, headers: dict[str, str]) -> int:
    """101 for a WebSocket that stays open, else its close code. Consoles are opened with a ticket, if there is one."""
    query = ""
    if "/console/" in path:
        ticket = await lab.http.post(path.rpartition("/")[0], json={"kind": "serial"}, headers=headers)
        query = f"ticket={ticket.json().get('ticket', 'none')}"
        headers = {}
    async with open_socket(lab.app, path, query=query, headers=headers) as socket:
        if "/console/" not in path:
            # An event that everybody sees: their own.
            await lab.http.post(f"{API}/tokens/", json={"name": "x", "scopes": ["*"]}, headers=headers)
            if path == "/ws/users":
                await lab.user()
            if path == "/ws/vms" and headers:
                who = "owner" if headers == lab.people["owner"].headers else "stranger"
                vm = {"name": lab.unique("vm"), "os": "tiny", "flavour": "tiny"}
                await lab.make("/virtual-machines/", who, json=vm)
            await lab.make(
                "/flavours/", "admin", json={"name": lab.unique("f"), "vcpus": 1, "memory_mib": 64, "disk_gib": 1}
            )
        message = await socket.message()
    return int(message.get("code", 0)) if message["type"] == "websocket.close" else 101


@pytest.mark.parametrize("path", LISTS)
async def test_strangers_find_nothing_of_others_in_lists(lab: Lab, shelf: Shelf, path: str) -> None:
    for target in ("image", "template", "slice_draft", "vm_running", "operation", "token"):
        await shelf.target(RULES[_reading(target)], "owner")
    answer = await lab.http.get(path, headers=lab.people["stranger"].headers)
    if answer.status_code == 200:
        body = answer.json()  # lists of the older APIs are bare arrays
        owners = {item.get("owner_id") for item in (body if isinstance(body, list) else body["items"])}
        assert lab.people["owner"].id not in owners
    else:
        assert answer.status_code == 403


def _reading(target: str) -> str:
    return next(rule.route for rule in RULES.values() if rule.target == target)
