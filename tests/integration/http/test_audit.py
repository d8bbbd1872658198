"""Every write leaves an entry in the audit trail with the right actor, and nothing takes one out again."""

import csv
import io
import json
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from parcela.models.projects import RESOURCES
from tests.integration.http.inventory import machine, record
from tests.integration.http.lab import API, Lab, Person
from tests.integration.http.rights_table import RULES, Rule
from tests.integration.http.rights_targets import TARGETS, filled_path, request_of

pytestmark = pytest.mark.anyio
WRITES_NOTHING = {
    "POST /api/v1/templates/validate": "only looks like a write",
}
"""Routes whose request in the rights table changes nothing, and why."""
BY_NOBODY = frozenset({"POST /api/v1/login", "POST /api/v1/token/refresh"})
"""Routes that are called without a session, and whose entries name somebody all the same."""
WRITES = [
    rule
    for rule in RULES.values()
    if rule.method in {"POST", "PUT", "PATCH", "DELETE"}
    and rule.route not in WRITES_NOTHING
    and min(rule.statuses["owner"], rule.statuses["admin"]) < 400
]
KEPT_SECRETS = ("correct horse battery", "another one, long enough")


async def entries(lab: Lab, after: int = 0, **filters: Any) -> list[dict[str, Any]]:
    """Entries with ids above ``after``."""
    answer = await lab.call("GET", "/audit", "admin", params={"sort": "-id", "limit": 200, **filters})
    assert answer.status_code == 200, answer.text
    return [entry for entry in reversed(answer.json()["items"]) if entry["id"] > after]


async def last_id(lab: Lab) -> int:
    found = await entries(lab)
    return int(found[-1]["id"]) if found else 0


async def caller_of(lab: Lab, rule: Rule) -> Person:
    who = "owner" if rule.statuses["owner"] < 400 else "admin"
    if rule.target != "fresh_login":
        return lab.people[who]
    made = await lab.user()
    await lab.login(made["username"])  # another session, for the route that ends others
    return Person(made["username"], made["id"], (await lab.login(made["username"]))["access_token"])


@pytest.mark.parametrize("rule", WRITES, ids=lambda rule: rule.route)
async def test_every_write_leaves_an_entry(lab: Lab, rule: Rule) -> None:
    made = await TARGETS[rule.target](lab) if rule.target in TARGETS else {}
    person = await caller_of(lab, rule)
    path = filled_path(rule.path, made)
    options = await request_of(lab, rule.route, made)
    await lab.settle()
    before = await last_id(lab)
    headers: dict[str, str] = {"User-Agent": "test-client/1"} | ({} if rule.route in BY_NOBODY else person.headers)
    answer = await lab.http.request(rule.method, path, headers=headers, **options)
    assert answer.status_code < 400, answer.text
    await lab.settle()
    if made.get("id") in lab.held:
        await lab.release(made["id"])
    mine = [entry for entry in await entries(lab, before) if entry["request_id"] == answer.headers["x-request-id"]]
    assert mine, f"{rule.route} left no entry"
    for entry in mine:
        assert entry["actor_id"] == person.id
        assert entry["actor_name"]
        assert entry["outcome"] == "ok"
        assert entry["address"] == "192.0.2.7"
        assert entry["user_agent"] == "test-client/1"
        assert not any(secret in json.dumps(entry) for secret in KEPT_SECRETS)


async def test_a_change_names_the_columns_and_not_their_values(lab: Lab) -> None:
    flavour = await lab.flavour()
    before = await last_id(lab)
    await lab.call("PATCH", f"/flavours/{flavour['id']}", "admin", json={"vcpus": 7})
    (entry,) = await entries(lab, before)
    assert entry["action"] == "flavour.updated"
    assert (entry["noun"], entry["noun_id"], entry["noun_name"]) == ("flavour", str(flavour["id"]), flavour["name"])
    assert (entry["actor_name"], entry["actor_role"]) == ("admin", "admin")
    assert entry["token_id"]
    assert entry["facts"]["changed"] == ["flavours.vcpus"]


async def test_an_entry_names_the_thing_and_not_its_neighbour(lab: Lab) -> None:
    host, made = await lab.host(), await machine(lab)
    while made["id"] == host["id"]:
        made = await machine(lab)
    await lab.call("PATCH", f"/hosts/{host['id']}", "admin", json={"machine_id": made["id"]})
    start = await last_id(lab)
    opened = await record(lab, machine_id=made["id"], kind="corrective")
    await lab.call("POST", f"/machines/{made['id']}/attachments", "admin", params={"name": "a.txt"}, content=b"hello")
    who = lab.people["stranger"].id
    await lab.call("PUT", f"/users/{who}/quota", "admin", json=dict.fromkeys(RESOURCES))
    found = {entry["action"]: (entry["noun_id"], entry["noun_name"]) for entry in await entries(lab, start)}
    assert found["host.draining"] == found["host.maintenance"] == (str(host["id"]), host["name"])
    assert found["maintenance.created"] == (opened["id"], made["code"])
    assert found["machine.attached"] == found["machine.status"] == (str(made["id"]), made["code"])
    assert found["quota.changed"][0] == str(who)


async def test_a_write_that_changes_nothing_leaves_no_entry(lab: Lab) -> None:
    before = await last_id(lab)
    assert (await lab.call("POST", "/flavours/", "admin", json={"name": ""})).status_code == 422
    assert not await entries(lab, before)


async def test_a_repeated_creation_is_noted_once(lab: Lab) -> None:
    before = await last_id(lab)
    name = lab.unique("once")
    body = {"name": name, "vcpus": 1, "memory_mib": 64, "disk_gib": 1}
    for _ in range(2):
        answer = await lab.call("POST", "/flavours/", "admin", json=body, headers={"Idempotency-Key": name})
        assert answer.status_code == 201
    assert [entry["action"] for entry in await entries(lab, before)] == ["flavour.created"]


async def test_a_refused_write_is_noted(lab: Lab) -> None:
    flavour = await lab.flavour()
    before = await last_id(lab)
    answer = await lab.call("PATCH", f"/flavours/{flavour['id']}", "stranger", json={"vcpus": 7})
    assert answer.status_code == 403
    (entry,) = await entries(lab, before)
    assert entry["outcome"] == "refused"
    assert entry["action"] == "PATCH /api/v1/flavours/{flavour_id}"
    assert entry["noun_id"] == str(flavour["id"])
    assert entry["actor_name"] == "stranger"
    assert entry["facts"] == {"code": "permission_missing"}


async def test_a_refused_read_is_not(lab: Lab) -> None:
    before = await last_id(lab)
    assert (await lab.call("GET", "/hosts/", "stranger")).status_code == 403
    assert not await entries(lab, before)


@pytest.mark.parametrize(("name", "known"), [("owner", True), ("my-secret-typed-in-the-wrong-field", False)])
async def test_a_failed_login_is_noted_without_what_was_typed(lab: Lab, name: str, known: bool) -> None:
    before = await last_id(lab)
    answer = await lab.http.post(f"{API}/login", json={"email": name, "password": "wrong"})
    assert answer.status_code == 401
    (entry,) = await entries(lab, before)
    assert (entry["action"], entry["outcome"]) == ("auth.refused", "refused")
    assert entry["actor_id"] is None
    assert entry["address"] == "192.0.2.7"
    assert entry["noun_name"] == ("owner" if known else "")
    assert "my-secret" not in json.dumps(entry)


async def test_filters(lab: Lab) -> None:
    before = await last_id(lab)
    flavour = await lab.flavour()
    await lab.call("DELETE", f"/flavours/{flavour['id']}", "admin")
    await lab.token("owner")
    created, deleted, token = await entries(lab, before)
    for filters, wanted in (
        ({"noun": "flavour", "noun_id": str(flavour["id"])}, [created, deleted]),
        ({"action": "flavour.deleted"}, [deleted]),
        ({"action": "flavour.*"}, [created, deleted]),
        ({"actor": "owner"}, [token]),
        ({"address": "198.51.100.1"}, []),
        ({"outcome": "refused"}, []),
        ({"from": deleted["at"]}, [deleted, token]),
        ({"from": created["at"], "to": deleted["at"]}, [created]),
    ):
        assert await entries(lab, before, **filters) == wanted, filters


async def test_a_percent_sign_in_a_prefix_is_a_percent_sign(lab: Lab) -> None:
    await lab.flavour()
    assert not await entries(lab, action="%.created*")


async def test_pages_follow_each_other(lab: Lab) -> None:
    for _ in range(3):
        await lab.flavour()
    seen: list[int] = []
    cursor = None
    while True:
        params = {"limit": 2, "sort": "-id", "action": "flavour.created", **({"cursor": cursor} if cursor else {})}
        page = (await lab.call("GET", "/audit", "admin", params=params)).json()
        seen += [entry["id"] for entry in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == sorted(set(seen), reverse=True)
    assert len(seen) >= 3


async def test_export_as_ndjson(lab: Lab) -> None:
    flavour = await lab.flavour()
    answer = await lab.call("GET", "/audit/export", "admin", params={"noun": "flavour", "noun_id": str(flavour["id"])})
    assert answer.headers["content-type"] == "application/x-ndjson"
    (entry,) = [json.loads(line) for line in answer.text.splitlines()]
    assert entry["noun_name"] == flavour["name"]


async def test_export_as_csv_runs_nothing(lab: Lab) -> None:
    path = f"/audit/export?format=csv&address={'192.0.2.7'}"
    await lab.http.post(f"{API}/logout", headers={"User-Agent": "x"})
    made = await lab.user()
    token = (await lab.login(made["username"]))["access_token"]
    formula = '=HYPERLINK("http://evil.example")'
    await lab.http.post(f"{API}/logout", headers={"Authorization": f"Bearer {token}", "User-Agent": formula})
    answer = await lab.call("GET", path, "admin")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    agents = {row["user_agent"] for row in csv.DictReader(io.StringIO(answer.text))}
    assert f"'{formula}" in agents
    assert formula not in agents


async def test_an_export_has_every_page(lab: Lab) -> None:
    async with lab.services.uows.write() as uow:
        for number in range(450):
            uow.note("test.bulk", noun_id=str(number))
        await uow.commit()
    answer = await lab.call("GET", "/audit/export", "admin", params={"action": "test.bulk"})
    assert [json.loads(line)["noun_id"] for line in answer.text.splitlines()] == [str(n) for n in range(450)]


async def test_what_parcela_does_by_itself_is_its_own(lab: Lab) -> None:
    before = await last_id(lab)
    async with lab.services.uows.write() as uow:
        uow.add_event("slice.expired", slice_id=3, data={"name": "old"})
        await uow.commit()
    (entry,) = await entries(lab, before)
    assert (entry["actor_id"], entry["actor_name"], entry["actor_role"]) == (None, "parcela", "system")
    assert (entry["noun"], entry["noun_id"], entry["noun_name"]) == ("slice", "3", "old")


async def test_an_entry_is_part_of_the_transaction(lab: Lab) -> None:
    before = await last_id(lab)
    async with lab.services.uows.write() as uow:
        uow.add_event("flavour.created", data={"id": 1, "name": "never"})
        await uow.rollback()
        await uow.commit()
    assert not await entries(lab, before)


@pytest.mark.parametrize("statement", ["UPDATE audit_entries SET actor_name = 'nobody'", "DELETE FROM audit_entries"])
async def test_the_database_refuses_to_change_entries(lab: Lab, statement: str) -> None:
    await lab.flavour()
    async with lab.services.uows.database.write_session() as session:
        with pytest.raises(DBAPIError, match="never changed or removed"):
            await session.execute(text(statement))
