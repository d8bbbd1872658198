"""Pagination, and repeated creations."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx2
import pytest

from parcela.core.collation import sort_key
from tests.integration.http.lab import ONE_VM, Lab, problem

pytestmark = pytest.mark.anyio


async def _walk(lab: Lab, path: str, **params: Any) -> list[dict[str, Any]]:
    """All rows of a list, page by page; before each page somebody adds a row."""
    rows: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        answer = await lab.call("GET", path, params=params | ({"cursor": cursor} if cursor else {}))
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["items"]) <= params["limit"]
        rows += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return rows
        await lab.template(name=lab.unique("m" if len(rows) % 2 else "z"))


@pytest.mark.parametrize("sort", ["id", "-id", "name", "-name", "created_at", "-created_at", "-updated_at"])
async def test_every_row_exactly_once_while_rows_are_added(lab: Lab, sort: str) -> None:
    before = {(await lab.template(name=f"{letter}-{sort}"))["id"] for letter in "nbxay"}
    rows = await _walk(lab, "/templates/", limit=3, sort=sort)
    ids = [row["id"] for row in rows]
    assert len(ids) == len(set(ids))
    assert before <= set(ids)
    field = sort.removeprefix("-")
    # As text a moment without microseconds would come after the next one.
    read: Callable[[Any], Any] = datetime.fromisoformat if field.endswith("_at") else lambda value: value
    read = sort_key if field == "name" else read
    keys = [(read(row[field]), row["id"]) for row in rows]
    assert keys == sorted(keys, reverse=sort.startswith("-"))


async def test_a_cursor_is_good_for_one_order_only(lab: Lab) -> None:
    for _ in range(3):
        await lab.template()
    cursor = (await lab.call("GET", "/templates/?limit=1")).json()["next_cursor"]
    problem(await lab.call("GET", f"/templates/?limit=1&sort=name&cursor={cursor}"), 422, "bad_cursor")


async def test_a_cursor_of_another_person_shows_nothing_of_theirs(lab: Lab) -> None:
    for _ in range(3):
        await lab.template()
    cursor = (await lab.call("GET", "/templates/?limit=1")).json()["next_cursor"]
    seen = (await lab.call("GET", f"/templates/?cursor={cursor}", "stranger")).json()["items"]
    assert lab.people["owner"].id not in {row["owner_id"] for row in seen}


# ---- Idempotency-Key


async def _create(lab: Lab, key: str, by: str = "owner", **facts: Any) -> httpx2.Response:
    body = {"name": "repeated", "document": ONE_VM} | facts
    return await lab.call("POST", "/templates/", by, json=body, headers={"Idempotency-Key": key})


async def test_a_repeat_gets_the_first_answer_and_makes_nothing(lab: Lab) -> None:
    key = lab.unique("key")
    first = await _create(lab, key)
    before = await lab.counts()
    again = await _create(lab, key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert await lab.counts() == before


async def test_a_key_for_another_request_is_misuse(lab: Lab) -> None:
    key = lab.unique("key")
    await _create(lab, key)
    before = await lab.counts()
    problem(await _create(lab, key, name="another"), 409, "idempotency_key_reused")
    other = await lab.call(
        "POST", "/virtual-machines/", json={"name": "a", "os": "tiny"}, headers={"Idempotency-Key": key}
    )
    problem(other, 409, "idempotency_key_reused")
    assert await lab.counts() == before


async def test_keys_of_two_people_are_two_keys(lab: Lab) -> None:
    key = lab.unique("key")
    mine, theirs = await _create(lab, key), await _create(lab, key, "stranger")
    assert mine.json()["id"] != theirs.json()["id"]
    assert theirs.json()["owner"] == "stranger"


async def test_what_was_refused_is_not_kept(lab: Lab) -> None:
    key = lab.unique("key")
    assert (await _create(lab, key, document={"vms": []})).status_code == 422
    assert (await _create(lab, key)).status_code == 201


async def test_two_at_the_same_time_make_one_thing(lab: Lab) -> None:
    key = lab.unique("key")
    answers = await asyncio.gather(*(_create(lab, key) for _ in range(5)))
    made = [answer.json()["id"] for answer in answers if answer.status_code == 201]
    assert made
    assert len(set(made)) == 1
    assert {answer.status_code for answer in answers} <= {201, 409}


async def test_a_vm_is_made_once(lab: Lab) -> None:
    headers = {"Idempotency-Key": lab.unique("key")}
    body = {"name": lab.unique("vm"), "os": "tiny", "flavour": "tiny"}
    answers = [await lab.call("POST", "/virtual-machines/", json=body, headers=headers) for _ in range(2)]
    await lab.settle()
    assert answers[0].json()["id"] == answers[1].json()["id"]
    assert len((await lab.call("GET", f"/virtual-machines/?name={body['name']}")).json()["items"]) == 1
