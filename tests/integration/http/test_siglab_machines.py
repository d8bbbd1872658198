"""Machines by the older API ``siglab``, whose form sends back all that the list says, with what is new."""

from typing import Any

import pytest

from tests.integration.http.lab import Lab

pytestmark = pytest.mark.anyio
READ = {"codigo": "codigo_equipo", "tipo": "tipo_equipo", "estado": "estado_actual"}
ELSEWHERE = [
    {"area": "Lab <1>"},
    {"area": "two\nlines"},
    {"type": "<x>"},
    {"custom_fields": {"usuario": "a <b>"}},
    {"custom_fields": {"usuario": "x" * 150}},
]
"""What other clients may say of a machine and this family does not take."""


async def form(lab: Lab, code: str) -> dict[str, Any]:
    rows = (await lab.http.get("/api/maquinas/listar", headers=lab.people["admin"].headers)).json()
    row = next(row for row in rows if row["codigo"] == code)
    read = {name: row[name] for name in ("codigo", "tipo", "estado", "area", "fecha", "usuario")}
    return {READ.get(name, name): value for name, value in read.items()}


async def change(lab: Lab, body: dict[str, Any]) -> Any:
    return await lab.http.put("/api/maquinas/actualizar", json=body, headers=lab.people["admin"].headers)


@pytest.mark.parametrize("facts", ELSEWHERE, ids=str)
async def test_what_was_read_may_come_back_and_the_state_changes(lab: Lab, facts: dict[str, Any]) -> None:
    body = {"code": lab.unique("PC"), "type": "PC", "area": "L1"} | facts
    made = await lab.make("/machines/", "admin", json=body)
    read = await form(lab, made["code"])
    assert (await change(lab, read)).status_code == 200
    assert (await lab.call("GET", f"/machines/{made['id']}", "admin")).json() == made
    answer = await change(lab, read | {"estado_actual": "Dañado"})
    assert answer.status_code == 200, answer.text
    assert await form(lab, made["code"]) == read | {"estado_actual": "Dañado"}


@pytest.mark.parametrize("name", ["area", "usuario", "tipo_equipo"])
async def test_new_ones_are_refused(lab: Lab, name: str) -> None:
    made = await lab.make("/machines/", "admin", json={"code": lab.unique("PC"), "type": "PC", "area": "Lab <1>"})
    read = await form(lab, made["code"])
    for text, reason in (("Lab <2>", "signos"), ("x" * 101, "largo")):
        refused = await change(lab, read | {name: text})
        assert refused.status_code == 422, refused.text
        detail = refused.json()["detail"]
        assert detail.startswith(f"{name}: "), detail
        assert reason in detail
    assert await form(lab, made["code"]) == read
