"""What members make stops at a quota with a clear answer; a client that slept too long is told that events are gone."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.http.asgi import open_socket
from tests.integration.http.lab import API, Lab, make_settings, open_lab, problem

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
