"""Who keeps machines without ``user:read`` finds out nothing about accounts by naming them."""

from typing import Any

import httpx2
import pytest

from tests.integration.http.inventory import machine
from tests.integration.http.lab import Lab, Person, problem

pytestmark = pytest.mark.anyio
NOWHERE = 99_999


@pytest.fixture
async def technician(lab: Lab) -> Person:
    """Somebody who may do everything with machines, and read no users."""
    permissions = ["machine:read", "machine:write", "maintenance:read", "maintenance:write"]
    role = await lab.make("/roles/", "admin", json={"name": lab.unique("technician"), "permissions": permissions})
    made = await lab.user(role=role["name"])
    return await lab.enter("technician", made["username"], made["id"])


async def create(lab: Lab, user_id: int | None, by: str = "technician") -> httpx2.Response:
    body = {"code": lab.unique("m"), "type": "PC", "responsible_id": user_id}
    return await lab.call("POST", "/machines/", by, json=body)


async def siglab(lab: Lab, method: str, path: str, **options: Any) -> Any:
    headers = lab.people["technician"].headers
    answer = await lab.http.request(method, f"/api/maquinas{path}", headers=headers, **options)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def added(lab: Lab, name: str) -> tuple[dict[str, Any], int | None, dict[str, Any]]:
    """A machine that the technician adds at siglab's API: as it is listed, and what the canonical API says of it."""
    code = lab.unique("S").upper()
    await siglab(lab, "POST", "/agregar", json={"codigo_equipo": code, "tipo_equipo": "PC", "usuario": name})
    listed = (await siglab(lab, "GET", "/buscar", params={"codigo": code}))[0]
    found = (await lab.call("GET", "/machines/", "technician", params={"code": code})).json()["items"][0]
    return listed, found["responsible_id"], found["custom_fields"]


async def test_naming_another_user_is_refused_whether_there_is_one_or_not(lab: Lab, technician: Person) -> None:
    refusals = [problem(await create(lab, one), 403, "permission_missing") for one in (1, NOWHERE)]
    assert refusals[0]["detail"] == refusals[1]["detail"]
    mine = await machine(lab)
    for one in (lab.people["owner"].id, NOWHERE):
        changed = await lab.call("PATCH", f"/machines/{mine['id']}", "technician", json={"responsible_id": one})
        assert problem(changed, 403, "permission_missing")["detail"] == refusals[0]["detail"]


async def test_oneself_and_who_is_responsible_already_may_be_named(lab: Lab, technician: Person) -> None:
    made = await create(lab, technician.id)
    assert (made.status_code, made.json()["responsible"]) == (201, technician.name)
    owned = await machine(lab, responsible_id=lab.people["owner"].id)
    body = {"responsible_id": lab.people["owner"].id, "area": "Hall"}
    kept = await lab.call("PATCH", f"/machines/{owned['id']}", "technician", json=body)
    assert (kept.status_code, kept.json()["area"]) == (200, "Hall")
    freed = await lab.call("PATCH", f"/machines/{owned['id']}", "technician", json={"responsible_id": None})
    assert (freed.status_code, freed.json()["responsible"]) == (200, None)


async def test_a_token_is_limited_like_a_role(lab: Lab) -> None:
    lab.people["narrow"] = Person("narrow", 1, (await lab.token("admin", "machine:write"))["token"])
    problem(await create(lab, lab.people["owner"].id, "narrow"), 403, "permission_missing")
    lab.people["wide"] = Person("wide", 1, (await lab.token("admin", "machine:write", "user:read"))["token"])
    assert (await create(lab, lab.people["owner"].id, "wide")).status_code == 201
    problem(await create(lab, NOWHERE, "wide"), 422, "unknown_user")


@pytest.mark.parametrize("name", ["owner@class.example", "owner", "Nobody Here", "nobody@class.example"])
async def test_siglab_keeps_a_name_as_it_was_typed(lab: Lab, technician: Person, name: str) -> None:
    listed, responsible_id, custom = await added(lab, name)
    assert (listed["usuario"], responsible_id, custom) == (name, None, {"usuario": name})


async def test_siglab_finds_the_technician(lab: Lab, technician: Person) -> None:
    for name in (technician.name, f"{technician.name.upper()}@class.example"):
        listed, responsible_id, custom = await added(lab, name)
        assert (listed["usuario"], responsible_id, custom) == (technician.name, technician.id, {})


async def test_siglab_keeps_the_responsible_user_whose_name_is_sent_back(lab: Lab, technician: Person) -> None:
    made = await machine(lab, responsible_id=lab.people["owner"].id)
    for name, expected in (("owner", "owner"), ("owner@class.example", "owner@class.example")):
        await siglab(lab, "PUT", f"/actualizar/{made['code']}", json={"usuario": name, "area": "Hall"})
        found = (await lab.call("GET", f"/machines/{made['id']}", "technician")).json()
        shown = (await siglab(lab, "GET", "/buscar", params={"codigo": made["code"]}))[0]["usuario"]
        assert shown == expected
        assert (found["responsible"] == "owner") == (name == "owner")
