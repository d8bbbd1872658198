"""A kept answer is for somebody who may still ask for it: rights first, on every route with ``Idempotency-Key``."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from parcela.api.dependencies.idempotency import Idempotency, StreamedIdempotency
from tests.integration.http.lab import API, Lab, Person
from tests.integration.http.rights_table import RULES
from tests.integration.http.rights_targets import filled_path, request_of
from tests.integration.http.rights_walk import Walk
from tests.integration.http.routes import routes_with

pytestmark = pytest.mark.anyio
EVERYTHING = ["*"]


KEYED = routes_with(Idempotency, StreamedIdempotency)


def test_routes_with_a_key_are_found() -> None:
    assert set(KEYED) <= set(RULES)
    assert {"POST /api/v1/virtual-machines/", "POST /api/v1/images/", "POST /api/v1/roles/"} <= set(KEYED)


@pytest.fixture
async def maker(lab: Lab) -> AsyncIterator[Person]:
    """Somebody with a role of their own that may do everything, for now."""
    role = await lab.make("/roles/", "admin", json={"name": lab.unique("role"), "permissions": EVERYTHING})
    made = await lab.user(role=role["name"])
    person = await lab.enter("maker", made["username"], made["id"])
    yield person
    await lab.call("PATCH", f"/roles/{role['id']}", "admin", json={"permissions": EVERYTHING})


async def take_away(lab: Lab, person: Person, permissions: list[str]) -> None:
    """Everything a role gives, from now on."""
    user = (await lab.call("GET", f"/users/{person.id}", "admin")).json()
    roles = (await lab.call("GET", "/roles/", "admin", params={"limit": 200})).json()["items"]
    role = next(one for one in roles if one["name"] == user["role"])
    changed = await lab.call("PATCH", f"/roles/{role['id']}", "admin", json={"permissions": permissions})
    assert changed.status_code == 200, changed.text


class Creation:
    """One request with a key, as often as wanted."""

    def __init__(self, lab: Lab, path: str, options: dict[str, Any]) -> None:
        self._lab, self._path, self._options = lab, path, options
        self._key = lab.unique("key")

    async def ask(self, headers: dict[str, str]) -> httpx2.Response:
        self._lab.http.cookies.clear()
        answer = await self._lab.http.post(
            self._path, headers=headers | {"Idempotency-Key": self._key}, **self._options
        )
        await self._lab.settle()
        return answer


async def creation(lab: Lab, route: str) -> Creation:
    rule = RULES[route]
    made = await Walk(lab, 0)._new(str(rule.target), in_project=False) if rule.target else {}
    return Creation(lab, filled_path(rule.path, made), await request_of(lab, route, made))


@pytest.mark.parametrize("route", KEYED)
async def test_who_lost_the_right_gets_no_answer_of_before(lab: Lab, maker: Person, route: str) -> None:
    asked = await creation(lab, route)
    first = await asked.ask(maker.headers)
    assert first.status_code == RULES[route].statuses["admin"], first.text
    again = await asked.ask(maker.headers)
    assert (again.status_code, again.headers.get("idempotency-replayed")) == (first.status_code, "true")
    assert again.json() == first.json()
    await take_away(lab, maker, [])
    refused = await asked.ask(maker.headers)
    assert refused.status_code in {403, 404}, refused.text
    assert "idempotency-replayed" not in refused.headers


@pytest.mark.parametrize("route", KEYED)
async def test_another_token_gets_no_answer_beyond_its_scopes(lab: Lab, maker: Person, route: str) -> None:
    asked = await creation(lab, route)
    assert (await asked.ask(maker.headers)).status_code == RULES[route].statuses["admin"]
    for scopes in (("event:read",), ("vm:read", "template:read", "slice:read", "image:read", "project:read")):
        token = (await lab.token("maker", *scopes))["token"]
        refused = await asked.ask(Person("maker", 0, token).headers)
        assert refused.status_code in {403, 404}, (scopes, refused.text)
        assert "idempotency-replayed" not in refused.headers


INTO_PROJECTS: dict[str, dict[str, Any]] = {
    "/virtual-machines/": {"os": "tiny", "flavour": "tiny"},
    "/slices/": {},
    "/templates/": {"document": {"vms": [{"name": "web", "image": "tiny", "flavour": "tiny"}]}},
}


@pytest.mark.parametrize("path", INTO_PROJECTS)
async def test_who_was_taken_out_of_the_project_gets_no_answer_of_before(lab: Lab, path: str) -> None:
    made = await lab.user()
    person = await lab.enter("leaver", made["username"], made["id"])
    project = await lab.project(**{person.name: "member"})
    body = {"name": lab.unique("thing"), "project_id": project["id"]} | INTO_PROJECTS[path]
    if path == "/slices/":
        body["template_id"] = (await lab.template("admin", visibility="public"))["id"]
    asked = Creation(lab, f"{API}{path}", {"json": body})
    assert (await asked.ask(person.headers)).status_code == 201
    member = f"/projects/{project['id']}/members/{person.id}"
    assert (await lab.call("PATCH", member, "admin", json={"role": "viewer"})).status_code == 200
    assert (await asked.ask(person.headers)).status_code == 403


async def test_a_template_that_is_no_longer_shared_shows_in_no_answer(lab: Lab) -> None:
    template = await lab.template("admin", visibility="public")
    asked = Creation(lab, f"{API}/slices/", {"json": {"template_id": template["id"]}})
    assert (await asked.ask(lab.people["owner"].headers)).status_code == 201
    body = {"name": template["name"], "document": template["document"], "visibility": "private"}
    assert (await lab.call("PUT", f"/templates/{template['id']}", "admin", json=body)).status_code == 200
    assert (await asked.ask(lab.people["owner"].headers)).status_code == 404


async def test_what_is_gone_is_not_said_to_be_there(lab: Lab) -> None:
    asked = Creation(lab, f"{API}/images/", await request_of(lab, "POST /api/v1/images/", {}))
    made = (await asked.ask(lab.people["owner"].headers)).json()
    assert (await lab.call("DELETE", f"/images/{made['id']}")).status_code == 204
    assert (await asked.ask(lab.people["owner"].headers)).status_code == 404
