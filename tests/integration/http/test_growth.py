"""What members make stops at a quota with a clear answer; a client that slept too long is told that events are gone."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from parcela.models import VirtualMachine
from tests.integration.http.asgi import open_socket
from tests.integration.http.lab import API, Lab, make_settings, open_lab, problem
from tests.integration.http.rights_targets import request_of

pytestmark = pytest.mark.anyio
MOST = 4


@pytest.fixture(scope="module")
async def lab(schema: Path, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Lab]:
    small = {
        "PARCELA_QUOTA_TEMPLATES": MOST,
        "PARCELA_QUOTA_TEMPLATES_MIB": 1,
        "PARCELA_QUOTA_EXISTING_SLICES": MOST,
        "PARCELA_QUOTA_PERSONAL_TOKENS": MOST,
        "PARCELA_QUOTA_SESSIONS": MOST,
        "PARCELA_QUOTA_IDEMPOTENCY_KEYS": MOST,
    }
    async with open_lab(make_settings(tmp_path_factory.mktemp("lab"), schema, **small)) as made:
        yield made


async def newcomer(lab: Lab) -> str:
    made = await lab.user()
    await lab.enter(made["username"], made["username"], made["id"])
    return str(made["username"])


def told(answer: Any, resource: str) -> dict[str, Any]:
    """The answer of a quota: which one, how much it is and how much is used."""
    body = problem(answer, 507, "quota_exceeded")
    (one,) = body["problems"]
    assert one["where"] == f"quota.{resource}"
    assert f"At most {MOST} " in body["detail"]
    assert f"{MOST} in use" in body["detail"]
    return body


async def test_templates(lab: Lab) -> None:
    by = await newcomer(lab)
    made = [await lab.template(by) for _ in range(MOST)]
    body = {"name": "one more", "document": made[0]["document"]}
    told(await lab.call("POST", "/templates/", by, json=body), "templates")
    assert (await lab.call("DELETE", f"/templates/{made[0]['id']}", by)).status_code == 204
    await lab.template(by)
    for _ in range(MOST + 1):
        await lab.template("admin")  # sets the quotas, and could lift their own


async def test_documents_have_a_size_all_together(lab: Lab) -> None:
    by = await newcomer(lab)
    made = await lab.template(by)
    vm = made["document"]["vms"][0]
    statuses = []
    for number in range(20):
        document = made["document"] | {"vms": [vm | {"user_data": f"#!/bin/sh\n#{number}" + "x" * 60000}]}
        body = {"name": made["name"], "description": "", "visibility": "private", "document": document}
        answer = await lab.call("PUT", f"/templates/{made['id']}", by, json=body)
        statuses.append(answer.status_code)
        if answer.status_code != 200:
            assert problem(answer, 507, "quota_exceeded")["problems"][0]["where"] == "quota.templates_bytes"
    assert statuses[0] == 200
    assert statuses[-1] == 507


async def test_drafts_count(lab: Lab) -> None:
    by = await newcomer(lab)
    template = await lab.template(by)
    for _ in range(MOST):
        await lab.make("/slices/", by, json={"template_id": template["id"]})
    told(await lab.call("POST", "/slices/", by, json={"template_id": template["id"]}), "existing_slices")


async def test_personal_tokens(lab: Lab) -> None:
    by = await newcomer(lab)
    tokens = [await lab.token(by) for _ in range(MOST)]
    told(await lab.call("POST", "/tokens/", by, json={"name": "t", "scopes": ["*"]}), "personal_tokens")
    assert (await lab.call("DELETE", f"/tokens/{tokens[0]['id']}", by)).status_code == 204
    await lab.token(by)


async def test_one_more_login_ends_the_oldest_session(lab: Lab) -> None:
    by = await newcomer(lab)
    sessions = [(await lab.login(by))["access_token"] for _ in range(MOST)]  # the first one is that of newcomer()

    async def status(token: str) -> int:
        answer = await lab.http.get(f"{API}/users/me", headers={"Authorization": f"Bearer {token}"})
        return answer.status_code

    assert await status(lab.people[by].token) == 401
    assert [await status(token) for token in sessions] == [200] * MOST
    await lab.login(by)
    assert [await status(token) for token in sessions] == [401] + [200] * (MOST - 1)


async def test_renewing_a_session_leaves_few_rows(lab: Lab) -> None:
    by = await newcomer(lab)
    pair = await lab.login(by)
    for _ in range(120):
        pair = await lab.make("/token/refresh", None, 200, json={"refresh_token": pair["refresh_token"]})  # type: ignore[arg-type]
    async with lab.services.uows.read() as uow:
        rows = [row for row in await uow.tokens.all() if row.user_id == lab.people[by].id]
    assert len(rows) <= 200 + 2 + 2
    answer = await lab.http.get(f"{API}/users/me", headers={"Authorization": f"Bearer {pair['access_token']}"})
    assert answer.status_code == 200


async def test_kept_answers(lab: Lab) -> None:
    by = await newcomer(lab)
    template = {"name": "again", "document": (await lab.template("admin"))["document"]}
    for number in range(MOST):
        made = await lab.make("/templates/", by, json=template, headers={"Idempotency-Key": f"key-{number}"})
        assert (await lab.call("DELETE", f"/templates/{made['id']}", by)).status_code == 204
    answer = await lab.call("POST", "/templates/", by, json=template, headers={"Idempotency-Key": "one-more"})
    told(answer, "idempotency_keys")
    await lab.make("/templates/", by, json=template)


BULKY = "#!/bin/sh\n#" + "x" * 16000


def bulky(document: dict[str, Any]) -> dict[str, Any]:
    return document | {"vms": [document["vms"][0] | {"user_data": BULKY}]}


async def kept_bytes(lab: Lab, by: str) -> list[int]:
    async with lab.services.uows.read() as uow:
        rows = await uow.idempotency.all()
    return [len(json.dumps(row.body)) for row in rows if row.user_id == lab.people[by].id]


async def test_kept_answers_are_small_whatever_was_made(lab: Lab) -> None:
    by = await newcomer(lab)
    document = bulky((await lab.template("admin"))["document"])
    for number in range(MOST):
        body = {"name": f"large {number}", "document": document}
        made = await lab.make("/templates/", by, json=body, headers={"Idempotency-Key": f"large-{number}"})
        assert (await lab.call("DELETE", f"/templates/{made['id']}", by)).status_code == 204
    sizes = await kept_bytes(lab, by)
    assert len(sizes) == MOST
    assert sum(sizes) <= MOST * 4096


@pytest.mark.parametrize("path", ["/templates/", "/templates/import"])
async def test_a_repeat_with_a_large_answer_shows_what_was_made(lab: Lab, path: str) -> None:
    by = await newcomer(lab)
    body = {"name": "large", "document": bulky((await lab.template("admin"))["document"])}
    asked: dict[str, Any] = {"json": body, "headers": {"Idempotency-Key": "again"}}
    first = await lab.call("POST", path, by, **asked)
    again = await lab.call("POST", path, by, **asked)
    assert (first.status_code, again.status_code) == (201, 201)
    assert (again.json(), again.headers["location"]) == (first.json(), first.headers["location"])
    assert again.headers["idempotency-replayed"] == "true"
    other = await lab.call("POST", path, by, json=body | {"name": "other"}, headers=asked["headers"])
    problem(other, 409, "idempotency_key_reused")
    changed = {"name": "renamed", "document": body["document"]}
    assert (await lab.call("PUT", f"/templates/{first.json()['id']}", by, json=changed)).status_code == 200
    assert (await lab.call("POST", path, by, **asked)).json()["name"] == "renamed"
    assert (await lab.call("DELETE", f"/templates/{first.json()['id']}", by)).status_code == 204
    problem(await lab.call("POST", path, by, **asked), 404, "template_not_found")
    assert (await lab.call("GET", "/templates/", by, params={"name": "large"})).json()["items"] == []


async def test_a_repeat_whose_answer_is_not_kept_says_where_to_read_it(lab: Lab) -> None:
    asked: dict[str, Any] = {
        "json": (await request_of(lab, "POST /api/v1/machines/", {}))["json"] | {"notes": "ñ" * 4000},
        "headers": {"Idempotency-Key": lab.unique("key")},
    }
    first = await lab.call("POST", "/machines/", "admin", **asked)
    assert first.status_code == 201, first.text
    body = problem(await lab.call("POST", "/machines/", "admin", **asked), 409, "idempotency_answer_not_kept")
    assert first.headers["location"] in body["detail"]


async def stored_vms(lab: Lab, ids: list[int]) -> list[VirtualMachine]:
    async with lab.services.uows.read() as uow:
        return [await uow.vms.get(vm_id) for vm_id in ids]


async def destroyed(lab: Lab, path: str, by: str) -> None:
    assert (await lab.call("DELETE", path, by)).status_code == 202
    await lab.settle()


@pytest.mark.parametrize("state", ["draft", "running"])
async def test_vms_of_a_destroyed_slice_keep_no_user_data(lab: Lab, state: str) -> None:
    document = bulky((await lab.template("admin"))["document"])
    template = await lab.template("admin", document=document, visibility="public")
    made = await lab.make("/slices/", "owner", json={"template_id": template["id"]})
    if state == "running":
        assert (await lab.call("POST", f"/slices/{made['id']}/deploy")).status_code == 202
        await lab.settle()
    vms = await lab.call("GET", "/virtual-machines/", params={"slice_id": made["id"]})
    ids = [vm["id"] for vm in vms.json()["items"]]
    assert [vm.user_data for vm in await stored_vms(lab, ids)] == [BULKY]
    await destroyed(lab, f"/slices/{made['id']}", "owner")
    assert [(vm.state, vm.user_data, vm.guest) for vm in await stored_vms(lab, ids)] == [("deleted", None, {})]
    assert (await lab.call("DELETE", f"/slices/{made['id']}")).status_code in {202, 409}


async def test_a_deleted_vm_keeps_no_user_data(lab: Lab) -> None:
    order = {"name": lab.unique("vm"), "os": "tiny", "flavour": "tiny", "user_data": BULKY}
    made = await lab.make("/virtual-machines/", "owner", json=order)
    await lab.settle()
    await destroyed(lab, f"/virtual-machines/{made['id']}", "owner")
    (vm,) = await stored_vms(lab, [made["id"]])
    assert (vm.state, vm.user_data, vm.guest) == ("deleted", None, {})
    shown = await lab.call("GET", f"/virtual-machines/{made['id']}")
    assert shown.status_code == 404, shown.text


async def test_a_client_that_resumes_too_late_is_told(lab: Lab) -> None:
    await lab.template()
    async with lab.services.uows.write() as uow:
        last = await uow.events.last_id()
        await uow.retention.remove_events(last - 3)
        await uow.commit()
    first = last - 2
    for path in ("/events", "/events/stream"):
        body = problem(await lab.call("GET", f"{path}?since=1"), 410, "events_gone")
        assert f"since={first - 1}" in body["detail"]
    headers = lab.people["owner"].headers
    async with open_socket(lab.app, f"{API}/events/ws", query="since=1", headers=headers) as socket:
        assert (await socket.closed())[0] == 4410
    assert (await lab.call("GET", f"/events?since={first - 1}")).status_code == 200
    assert (await lab.call("GET", "/events?since=0")).status_code == 200
    assert (await lab.call("GET", f"/events?since={last + 100}")).status_code == 200
