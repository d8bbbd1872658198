"""A write that says what is there already leaves no event, no audit entry and no other row."""

from typing import Any

import pytest
from sqlalchemy import text

from tests.integration.http.lab import Lab
from tests.integration.http.rights_targets import request_of

pytestmark = pytest.mark.anyio
WRITES = {
    "user": ("PATCH", "/users/{id}", "email username full_name role locale is_active"),
    "role": ("PATCH", "/roles/{id}", "name description permissions"),
    "flavour": ("PATCH", "/flavours/{id}", "name vcpus memory_mib disk_gib"),
    "zone": ("PATCH", "/zones/{id}", "name description"),
    "image": ("PATCH", "/images/{id}", "name description visibility"),
    "project": ("PATCH", "/projects/{id}", "name description kind"),
    "template": ("PUT", "/templates/{id}", "name description document visibility"),
}


async def rows(lab: Lab) -> dict[str, int]:
    counts = await lab.counts()
    async with lab.services.uows.database.read_session() as session:
        entries = (await session.execute(text("SELECT count(*) FROM audit_entries"))).scalar_one()
    return counts | {"audit_entries": int(entries)}


async def check_leaves_nothing(lab: Lab, method: str, path: str, body: dict[str, Any]) -> None:
    before = await rows(lab)
    for _ in range(2):
        answer = await lab.call(method, path, "admin", json=body)
        assert answer.status_code == 200, answer.text
    assert await rows(lab) == before


@pytest.mark.parametrize("noun", WRITES)
async def test_of_things(lab: Lab, noun: str) -> None:
    method, path, fields = WRITES[noun]
    made = await getattr(lab, noun)()
    await check_leaves_nothing(lab, method, path.format(**made), {field: made[field] for field in fields.split()})


async def test_of_oneself(lab: Lab) -> None:
    me = (await lab.call("GET", "/users/me", "admin")).json()
    await check_leaves_nothing(lab, "PATCH", "/users/me", {field: me[field] for field in ("full_name", "locale")})


async def test_of_members(lab: Lab) -> None:
    made = await lab.project()
    path = f"/projects/{made['id']}/members/{made['user_id']}"
    await check_leaves_nothing(lab, "PATCH", path, {"role": "viewer"})


async def test_of_webhooks(lab: Lab) -> None:
    body = (await request_of(lab, "POST /api/v1/webhooks/", {}))["json"]
    made = await lab.make("/webhooks/", "admin", json=body)
    await check_leaves_nothing(lab, "PATCH", f"/webhooks/{made['id']}", body)


async def test_of_vms(lab: Lab) -> None:
    made = await lab.vm(by="admin")
    body = {field: made[field] for field in ("name", "cores", "crash_policy")}
    await check_leaves_nothing(lab, "PUT", f"/virtual-machines/{made['id']}", body)


async def test_what_does_change_is_told(lab: Lab) -> None:
    before = await rows(lab)
    answer = await lab.call("PATCH", "/users/me", "owner", json={"full_name": lab.unique("name")})
    assert answer.status_code == 200
    after = await rows(lab)
    assert (after["events"], after["audit_entries"]) == (before["events"] + 1, before["audit_entries"] + 1)
