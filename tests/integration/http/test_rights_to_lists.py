"""What everybody sees on lists and streams: exactly their own, their projects', the public, and nothing else."""

import re
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.integration.http.asgi import open_socket, open_stream
from tests.integration.http.lab import Lab
from tests.integration.http.rights_table import PAGE_RULES, RULES, Rule
from tests.integration.http.rights_targets import TARGETS
from tests.integration.http.rights_walk import browser_headers

pytestmark = pytest.mark.anyio

CALLERS = ("stranger", "owner", "viewer", "member", "manager", "admin", "reader")
TABLE = """
# Whose things somebody finds: p is the owner's own, outside of every project; c is the owner's, in the project of the
# class; m is a member's, in the same; o is one of the owner's (or Parcela's) that is public; - is none of these.
# 403 and 303 are the refusals of the rights table. A filter, {owner} or {project}, shows a part and never more.
# method and address                               things    str own  vie mem mgr adm  rdr
GET /api/v1/templates/                             template  o   pcmo cmo cmo cmo pcmo pcmo
GET /api/v1/templates/?owner_id={owner}            template  o   pco  co  co  co  pco  pco
GET /api/v1/templates/?project_id={project}        template  -   cm   cm  cm  cm  cm   cm
GET /api/v1/slices/                                slice     -   pc   -   m   cm  pcm  pcm
GET /api/v1/slices/?project_id={project}           slice     -   c    -   m   cm  cm   cm
GET /api/v1/virtual-machines/                      vm        -   pc   -   m   cm  pcm  pcm
GET /api/v1/virtual-machines/?project_id={project} vm        -   c    -   m   cm  cm   cm
GET /api/v1/operations/                            vm_id     -   pc   -   m   cm  pcm  pcm
GET /api/v1/events                                 vm_id     -   pc   -   m   cm  pcm  pcm
GET /api/v1/events/stream                          vm_id     -   pc   -   m   cm  pcm  pcm
WS  /api/v1/events/ws                              vm_id     -   pc   -   m   cm  pcm  pcm
GET /api/v1/projects/                              project   -   c    c   c   c   pc   pc
GET /api/v1/images/                                image     o   po   o   o   o   po   o
GET /api/v1/webhooks/                              webhook   -   p    -   -   -   p    p
GET /api/v1/tokens/                                token     -   p    -   -   -   -    403
GET /api/v1/sessions/                              session   -   p    -   -   -   -    403
GET /vms/                                          vm        -   pc   -   m   cm  pcm  pcm
WS  /ws/vms                                        vm        -   pc   -   m   cm  pcm  pcm
GET /templates/mostrar_plantilla                   template  -   pco  -   m   -   -    -
GET /slices                                        slice     -   pc   -   m   -   -    -
GET /                                              template  o   pcmo cmo cmo cmo pcmo 303
GET /                                              slice     -   pc   -   m   cm  pcm  303
GET /events/stream                                 vm_id     -   pc   -   m   cm  pcm  303
GET /account/security                              session   -   p    -   -   -   -    303
"""
THE_SAME_FOR_ALL = {
    *("GET /openapi.json", "GET /docs", "GET /docs/oauth2-redirect", "GET /redoc"),
    *("GET /api/v1/system/health", "GET /api/sistema/health", "GET /api/v1/permissions"),
    *("GET /api/v1/flavours/", "GET /api/v1/zones/", "GET /flavours"),
    *("GET /login", "GET /login/code", "GET /auth/logout", "GET /auth/oidc/start", "GET /auth/oidc/callback"),
    *("GET /healthz", "GET /static/images/pc.png"),
    *("GET /home", "GET /registro", "GET /plantillas", "GET /plantillas/create", "GET /projects"),
    *("GET /password/forgot", "GET /password/reset", "GET /language/{locale}"),
}
ABOUT_ONESELF = {
    *("GET /api/v1/users/me/invitations", "GET /invitations/confirm"),
    *("GET /api/v1/users/me", "GET /api/v1/users/me/quota", "GET /api/v1/second-factor", "GET /account/security/totp"),
}


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    method: str
    address: str
    things: str
    seen: dict[str, str]

    @property
    def rule(self) -> Rule:
        """The line of the rights table."""
        route = f"{self.method} {self.address.partition('?')[0]}"
        return PAGE_RULES.get(route) or RULES[route]  # the greeting at "/" is no list, the page is


def _parse(table: str) -> list[Line]:
    rows = [line.split() for line in table.splitlines() if line.strip() and not line.startswith("#")]
    return [Line(row[0], row[1], row[2], dict(zip(CALLERS, row[3:], strict=True))) for row in rows]


LINES = _parse(TABLE)
CASES = [
    pytest.param(line, who, id=f"{line.method} {line.address} {line.things} {who}") for line in LINES for who in CALLERS
]


def test_every_list_is_in_the_table() -> None:
    """Lists that are closed to clients need no line: who may read them, reads all of them."""
    rules = [rule for rule in (RULES | PAGE_RULES).values() if rule.method in {"GET", "WS"} and rule.target is None]
    open_to_clients = {rule.route for rule in rules if rule.statuses["stranger"] not in {403, 4403}}
    assert open_to_clients == {line.rule.route for line in LINES} | THE_SAME_FOR_ALL | ABOUT_ONESELF


@dataclass
class World:
    """Things of the owner and of a member, and what happened until they were there."""

    lab: Lab
    project_id: int
    since: int = 0
    ids: dict[str, dict[str, Any]] = field(default_factory=dict)

    def letters(self, things: str, found: set[str]) -> str:
        """Which of the things are among these ids; ``-`` for none."""
        known = self.ids[things.removesuffix("_id")]
        return "".join(letter for letter, row_id in known.items() if str(row_id) in found) or "-"


@pytest.fixture(scope="module")
async def world(lab: Lab) -> World:
    """Two of each: in the project and not in it."""
    made = World(lab, await lab.classroom())
    viewer = await lab.user(username="viewer", email="viewer@class.example")
    await lab.enter("viewer", "viewer", viewer["id"])
    await lab.make(f"/projects/{made.project_id}/members", "admin", json={"user": "viewer", "role": "viewer"})
    async with lab.services.uows.read() as uow:
        made.since = await uow.events.last_id()
    for letter, by, project_id in (
        ("p", "owner", 0),
        ("c", "owner", made.project_id),
        ("m", "member", made.project_id),
    ):
        if project_id:
            lab.in_project["project_id"] = project_id
        for things, make in (("template", lab.template), ("slice", _slice(lab)), ("vm", lab.vm)):
            made.ids.setdefault(things, {})[letter] = (await make(by=by))["id"]
        lab.in_project.clear()
    made.ids["template"]["o"] = (await lab.template(visibility="public"))["id"]
    made.ids["image"] = {"p": (await lab.image())["id"], "o": await _bundled_image(lab)}
    made.ids["project"] = {"p": (await lab.project())["id"], "c": made.project_id}
    for things in ("webhook", "token", "session"):
        made.ids[things] = {"p": (await TARGETS[things](lab))["id"]}
    return made


def _slice(lab: Lab) -> Any:
    async def make(by: str) -> dict[str, Any]:
        return await lab.slice_("draft", by)

    return make


async def _bundled_image(lab: Lab) -> int:
    return int((await lab.call("GET", "/images/?name=tiny")).json()["items"][0]["id"])


@pytest.mark.parametrize(("line", "who"), CASES)
async def test_what_is_seen(world: World, line: Line, who: str) -> None:
    expected = line.seen[who]
    address = line.address.format(project=world.project_id, owner=world.lab.people["owner"].id)
    found = await _found(world, line, address, who)
    if isinstance(found, int):
        assert found == int(expected)
    else:
        assert world.letters(line.things, found) == expected


async def _found(world: World, line: Line, address: str, who: str) -> set[str] | int:
    """Ids of what is told, or the status of the refusal."""
    lab, person = world.lab, world.lab.people[who]
    headers = await browser_headers(lab, line.rule, person) if line.rule.page else person.headers
    lab.http.cookies.clear()
    if line.method == "WS" or address.endswith("/stream"):
        return await _told(world, line, address, who, headers)
    if address.endswith("/events"):
        address += f"?since={world.since}&limit=1000"
    answer = await lab.http.get(address, headers=headers)
    if answer.status_code != 200:
        return answer.status_code
    if line.rule.page:
        links = {"session": r'action="/account/security/sessions/(\w+)/end"'}
        return set(re.findall(links.get(line.things, rf'href="/{line.things}s/(\d+)"'), answer.text))
    body = answer.json()  # lists of the older APIs are bare arrays
    assert not isinstance(body, dict) or body.get("next_cursor") is None, "all is on the first page"
    rows = body if isinstance(body, list) else body["items"]
    return {str(row[_key(line)]) for row in rows}


async def _told(world: World, line: Line, address: str, who: str, headers: dict[str, str]) -> set[str] | int:
    """What a stream tells of all that happened, up to a VM of the listener's own."""
    lab, query = world.lab, f"since={world.since}"
    if line.seen[who].isdigit():
        async with open_stream(lab.app, address, query=query, headers=headers) as stream:
            return stream.status
    own = str((await lab.vm(by="admin" if who == "reader" else who))["id"])
    told: set[str] = set()
    if line.method == "WS":
        async with open_socket(lab.app, address, query=query, headers=headers) as socket:
            while own not in told:
                message = await socket.json()
                told.add(str(message["vm"]["id"] if line.things == "vm" else message["vm_id"]))
    else:
        async with open_stream(lab.app, address, query=query, headers=headers) as stream:
            while own not in told:
                told |= set(re.findall(r'"vm_id": ?(\d+)', (await stream.event()).get("data", "")))
    return told


def _key(line: Line) -> str:
    return line.things if line.things.endswith("_id") else "id"
