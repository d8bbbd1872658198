"""What is refused again and again is counted, not stored one by one."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from parcela.services.observability import refusals
from tests.integration.http.asgi import open_socket
from tests.integration.http.lab import API, Lab, make_settings, open_lab

pytestmark = pytest.mark.anyio
MANY = 40
FOREIGN = {"Origin": "https://evil.example"}


@pytest.fixture
async def lab(schema: Path, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Lab]:
    async with open_lab(make_settings(tmp_path, schema, PARCELA_LOGIN_ATTEMPTS_PER_ADDRESS=10000)) as made:
        yield made


async def entries(lab: Lab) -> int:
    answer = await lab.call("GET", "/audit?outcome=refused&limit=200", "admin")
    return len(answer.json()["items"])


async def everything(lab: Lab) -> int:
    """All entries of the audit trail, whatever their outcome."""
    async with lab.services.uows.database.read_session() as session:
        return int((await session.execute(text("SELECT count(*) FROM audit_entries"))).scalar_one())


async def counted(lab: Lab) -> list[dict[str, Any]]:
    answer = await lab.call("GET", "/audit/refusals", "admin")
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json()["items"]
    return rows


async def guess(lab: Lab, name: str) -> None:
    answer = await lab.call("POST", "/login", None, json={"email": name, "password": "wrong horse battery"})
    assert answer.status_code == 401


async def test_guesses_of_console_tickets(lab: Lab) -> None:
    vm = await lab.vm()
    before = await everything(lab)
    path = f"{API}/virtual-machines/{vm['id']}/console/serial"
    for number in range(MANY):
        async with open_socket(lab.app, path, query=f"ticket=guess{number}") as socket:
            assert (await socket.closed())[0] == 4401
    assert await everything(lab) == before


async def test_registrations_that_are_refused(lab: Lab) -> None:
    taken = {"nombre_completo": "Some One", "username": "owner", "password": "a long enough phrase"}
    before = await everything(lab)
    for _ in range(10):
        answer = await lab.http.post("/api/auth/register", json=taken)
        assert answer.status_code in {400, 409}, answer.text
    assert await everything(lab) <= before + 1


async def test_failed_logins_of_strangers(lab: Lab) -> None:
    before = await everything(lab)
    for number in range(MANY):
        await guess(lab, f"nobody{number}@class.example")
    await guess(lab, "owner")
    await guess(lab, "owner")
    assert await entries(lab) == 2, "the first without an account, and the first of the owner's"
    assert await everything(lab) == before + 2, "and no entry under another name"
    rows = {row["noun_id"]: row for row in await counted(lab)}
    assert {noun: row["count"] for noun, row in rows.items()} == {"": MANY, str(lab.people["owner"].id): 2}
    row = rows[""]
    assert (row["actor_id"], row["actor_name"], row["action"]) == (0, None, "auth.refused")
    assert row["origin"].endswith("/24")


async def test_refused_writes_of_a_signed_in_person(lab: Lab) -> None:
    for _ in range(MANY):
        assert (await lab.call("DELETE", "/flavours/1", "owner")).status_code == 403
    assert (await lab.call("DELETE", "/flavours/1", "stranger")).status_code == 403
    assert await entries(lab) == 2
    rows = {row["actor_name"]: row["count"] for row in await counted(lab)}
    assert rows == {"owner": MANY, "stranger": 1}
    assert (await lab.call("DELETE", "/flavours/1", "owner")).status_code == 403
    assert {row["actor_name"]: row["count"] for row in await counted(lab)}["owner"] == MANY + 1, "one row is raised"


async def test_requests_with_a_foreign_origin_write_nothing_each(lab: Lab) -> None:
    for _ in range(MANY):
        answer = await lab.http.post("/auth/login", data={"email": "a", "password": "b"}, headers=FOREIGN)
        assert answer.status_code == 403
    assert await entries(lab) <= 1
    assert sum(row["count"] for row in await counted(lab)) == MANY


async def test_kinds_are_limited(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "KINDS_OF_A_USER", 3)
    for path in ("/flavours/1", "/zones/1", "/hosts/1", "/users/1", "/roles/1"):
        for _ in range(2):
            assert (await lab.call("DELETE", path, "owner")).status_code == 403
    assert await entries(lab) == 3
    rows = await counted(lab)
    assert len(rows) == 4
    assert {row["action"]: row["count"] for row in rows}["others"] == 4
