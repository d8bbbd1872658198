"""Every route, for tokens that hold exactly the scopes it needs, and for each token that holds another one instead."""

import re
from collections import defaultdict
from pathlib import Path

import pytest

from parcela.core.permissions import Permission
from parcela.core.scopes import MEANINGS, Scope, all_scopes, covers
from tests.integration.http.lab import API, Lab, Person
from tests.integration.http.rights_table import RULES, Rule
from tests.integration.http.rights_targets import filled_path, request_of
from tests.integration.http.rights_walk import Walk
from tests.integration.http.scopes_table import NEEDS, Need

pytestmark = pytest.mark.anyio
PAGE = Path(__file__).parents[3] / "docs" / "reference" / "scopes.md"
CLIENT_SCOPES = sorted({*Scope, "vm:create", "slice:create", "template:create", "image:create", "catalogue:read"})
ROLE = ["catalogue:read", "image:create", "template:create", "slice:create", "vm:create", "host:read"]
"""What the role ``client`` and those that the tests make hold: nobody gives more than their token has."""
SCOPED = {route: need for route, need in NEEDS.items() if need.scopes[0] not in {"-", "any", "login"}}
WRITING = {route: need for route, need in SCOPED.items() if not route.startswith("GET")}


def test_every_route_of_the_rights_table_says_its_scopes() -> None:
    assert set(NEEDS) == set(RULES)


def test_every_scope_has_a_route_and_is_explained() -> None:
    named = {scope for need in SCOPED.values() for scope in need.scopes}
    elsewhere = {
        Scope.TEMPLATE_SHARE,
        Scope.PROJECT_LEAVE,
        Scope.IMAGE_READ,
        Scope.EVENT_READ,
    }  # tests below, or events
    assert set(Scope) - named == elsewhere
    page = PAGE.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z]+:[a-z_]+)` \| (.+?) \|$", page, re.MULTILINE))
    assert {scope: rows.get(scope) for scope in Scope} == dict(MEANINGS)
    assert set(rows) <= set(all_scopes())


def test_no_verb_includes_another() -> None:
    writing = [scope for scope in all_scopes() if scope.endswith((":write", ":write_all"))]
    for held in set(all_scopes()) - set(writing):
        assert [scope for scope in all_scopes() if covers([held], scope)] == [held]
    for held in writing:
        noun = held.split(":")[0]
        covered = {scope for scope in all_scopes() if covers([held], scope)}
        assert covered == {scope for scope in all_scopes() if scope.startswith(f"{noun}:")}


class Asker:
    """Asks for routes with tokens of the table's people; tokens are made once."""

    def __init__(self, lab: Lab, walk: Walk, project_id: int) -> None:
        self._lab = lab
        self._walk = walk
        self._project_id = project_id
        self._tokens: dict[tuple[str, tuple[str, ...]], str] = {}
        self.statuses: dict[str, list[int]] = defaultdict(list)

    async def token(self, by: str, scopes: tuple[str, ...]) -> str:
        if (by, scopes) not in self._tokens:
            held = [*scopes[:-1], *ROLE] if scopes and scopes[-1] == "+role" else scopes
            self._tokens[by, scopes] = (await self._lab.token(by, *held))["token"]
        return self._tokens[by, scopes]

    async def ask(self, rule: Rule, by: str, scopes: tuple[str, ...], *, passes: bool) -> tuple[int, str]:
        """Status and text of the answer; a thing that the request may change is made for it alone."""
        lab, in_project = self._lab, by in {"member", "manager"}
        if in_project:
            lab.in_project["project_id"] = self._project_id
        try:
            made = {}
            if rule.target not in {None, "fresh_login"}:
                name = str(rule.target)
                if passes and rule.method != "GET":
                    made = await self._walk._new(name, in_project=in_project)
                else:
                    name = "operation" if name == "operation_held" else name
                    made = await self._walk.target(name, in_project=in_project)
            options = await request_of(lab, rule.route, made)
            lab.http.cookies.clear()
            headers = Person(by, 0, await self.token(by, scopes)).headers
            answer = await lab.http.request(rule.method, filled_path(rule.path, made), headers=headers, **options)
            await lab.settle()
            if passes and str(rule.target).endswith("operation_held"):
                await lab.release(made["id"])
        finally:
            lab.in_project.clear()
        return answer.status_code, answer.text


@pytest.fixture(scope="module")
async def asker(lab: Lab) -> Asker:
    project_id = await lab.classroom()
    return Asker(lab, Walk(lab, project_id), project_id)


def others(need: Need, wanted: str) -> list[str]:
    """Scopes of the same noun that a token of this person may hold, and that are not what is wanted."""
    possible = all_scopes() if need.by == "admin" else CLIENT_SCOPES
    noun = wanted.split(":", maxsplit=1)[0]
    return [scope for scope in possible if scope.startswith(f"{noun}:") and not covers([scope], wanted)]


@pytest.mark.parametrize("route", SCOPED)
async def test_the_scopes_of_the_table_are_enough(asker: Asker, route: str) -> None:
    need, rule = SCOPED[route], RULES[route]
    status, text = await asker.ask(rule, need.by, need.scopes, passes=True)
    assert status == rule.statuses[need.by], text


@pytest.mark.parametrize("route", WRITING)
async def test_no_other_scope_of_the_noun_is(asker: Asker, route: str) -> None:
    need, rule = WRITING[route], RULES[route]
    for wanted in need.scopes:
        if wanted == "+role" or wanted.endswith((":read", ":read_all")):
            continue  # any scope of a noun lets one's own things be seen
        for other in others(need, wanted):
            held = tuple(other if scope == wanted else scope for scope in need.scopes)
            status, text = await asker.ask(rule, need.by, held, passes=False)
            if status == 404 and need.by == "admin" and not rule.path.startswith(("/users", "/vms", "/api/ma")):
                continue  # things of others, which this token may not even see
            assert status == 403, (other, text)
            # Whoever acts for others is told the scope by which they would.
            assert f"'{wanted}'" in text or "permiso" in text or need.by == "admin", (other, text)


@pytest.mark.parametrize("route", SCOPED)
async def test_a_token_without_any_scope_of_the_noun_knows_no_more_than_a_stranger(asker: Asker, route: str) -> None:
    need, rule = SCOPED[route], RULES[route]
    status, text = await asker.ask(rule, need.by, ("event:read",), passes=False)
    # What is closed whatever the id is may say so: nothing of the thing was looked at.
    closed = status == 403 and any(word in text for word in ("permission_missing", "scope_missing", "permiso"))
    hidden = status == 404 == rule.statuses["stranger"]
    assert hidden or (closed and (rule.statuses["stranger"] != 404 or "permission_missing" in text)), text


async def test_login_is_no_scope(asker: Asker) -> None:
    for route, need in NEEDS.items():
        if need.scopes == ("login",):
            status, text = await asker.ask(RULES[route], "owner", ("*",), passes=False)
            assert (status, "session_required" in text) == (403, True), (route, text)


async def test_a_token_without_a_scope_of_users_learns_nothing_of_its_own_but_whose_it_is(lab: Lab) -> None:
    owner = lab.people["owner"].id
    for scopes, own, quota in ((("vm:read",), 404, 403), (("user:update",), 200, 200)):
        headers = Person("owner", owner, (await lab.token("owner", *scopes))["token"]).headers
        for path, status in (
            (f"{API}/users/me", 200),
            (f"{API}/users/{owner}", own),
            (f"{API}/users/{owner}/quota", own),
            (f"{API}/users/me/quota", quota),
            (f"/users/{owner}", own),
            (f"{API}/users/1", 404),
        ):
            assert (await lab.http.get(path, headers=headers)).status_code == status, (path, scopes)


async def put_template(lab: Lab, scopes: tuple[str, ...], changes: dict[str, object]) -> int:
    made = await lab.template()
    token = (await lab.token("owner", *scopes))["token"]
    body = {"name": made["name"], "document": made["document"]} | changes
    headers = Person("owner", 0, token).headers
    return (await lab.http.put(f"{API}/templates/{made['id']}", json=body, headers=headers)).status_code


async def test_sharing_a_template_is_a_verb_of_its_own(lab: Lab) -> None:
    assert await put_template(lab, ("template:update",), {"name": "other"}) == 200
    assert await put_template(lab, ("template:update",), {"visibility": "public"}) == 403
    assert await put_template(lab, ("template:share",), {"visibility": "public"}) == 403
    assert await put_template(lab, ("template:update", "template:share"), {"visibility": "public"}) == 200


async def test_leaving_a_project_is_a_verb_of_its_own(lab: Lab) -> None:
    made = await lab.user()
    leaver = await lab.enter("leaver", made["username"], made["id"])
    project = await lab.project(**{leaver.name: "member"})
    for scope, status in (("project:members", 403), ("project:leave", 204)):
        headers = Person("leaver", 0, (await lab.token("leaver", scope))["token"]).headers
        path = f"{API}/projects/{project['id']}/members/{leaver.id}"
        assert (await lab.http.delete(path, headers=headers)).status_code == status


async def test_the_status_of_a_vm_is_changed_with_the_power_scope_only(lab: Lab) -> None:
    vm = await lab.vm("stopped")
    for scopes, status in ((("vm:update",), 403), (("vm:power",), 403), (("vm:update", "vm:power"), 200)):
        headers = Person("owner", 0, (await lab.token("owner", *scopes))["token"]).headers
        path = f"{API}/virtual-machines/{vm['id']}"
        assert (await lab.http.put(path, json={"status": "running"}, headers=headers)).status_code == status
    await lab.settle()


async def test_a_retry_needs_the_scope_of_what_is_repeated(lab: Lab) -> None:
    failed = await lab.operation("failed")
    for scopes, status in ((("operation:retry", "vm:read"), 403), (("operation:read", "vm:power"), 403)):
        headers = Person("owner", 0, (await lab.token("owner", *scopes))["token"]).headers
        answer = await lab.http.post(f"{API}/operations/{failed['id']}/retry", headers=headers)
        assert answer.status_code == status


async def test_a_token_redirects_no_news_that_it_may_not_read(lab: Lab) -> None:
    made = await lab.make("/webhooks/", "admin", json={"name": "all", "url": "https://hooks.example/a"})
    headers = Person("admin", 0, (await lab.token("admin", "webhook:update", "vm:read"))["token"]).headers
    changed = await lab.http.patch(
        f"{API}/webhooks/{made['id']}", json={"url": "https://hooks.example/b"}, headers=headers
    )
    assert changed.status_code == 200
    async with lab.services.uows.read() as uow:
        assert (await uow.webhooks.get(made["id"])).scopes == ["vm:read", "webhook:update"]


async def test_permissions_are_no_verbs_and_verbs_are_no_permissions(lab: Lab) -> None:
    assert not set(Permission) & set(Scope)
    refused = await lab.call("POST", "/roles/", "admin", json={"name": "x-role", "permissions": ["vm:delete"]})
    assert refused.status_code == 422
    refused = await lab.call("POST", "/tokens/", "owner", json={"name": "x", "scopes": ["vm:fly"]})
    assert refused.status_code == 422
