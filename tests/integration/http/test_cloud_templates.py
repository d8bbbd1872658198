"""Templates by the older API ``cloud``, whose pages send back all that they have read."""

from typing import Any

import pytest

from tests.integration.http.lab import Lab

pytestmark = pytest.mark.anyio


def drawing() -> dict[str, Any]:
    """Two VMs of the same name, and edges of which one says no id and one repeats that of another."""
    ends = {"from": "vm-1", "to": "vm-2"}
    vm = {"name": "VM-001", "flavour": "tiny", "image": "tiny"}
    edges = [{"id": "edge-vm-1-vm-2", **ends}, {"id": "edge-vm-1-vm-2", **ends}, ends]
    nodes = [{"id": name, "label": "VM-001", "x": 1, "y": 2} for name in ("vm-1", "vm-2")]
    return {"topologia": {"nodes": nodes, "edges": edges}, "recursos": {"vm-1": vm, "vm-2": vm}}


async def read(lab: Lab, template_id: int) -> dict[str, Any]:
    found = (await lab.http.get(f"/templates/{template_id}", headers=lab.people["owner"].headers)).json()
    return {key: found[key] for key in ("name", "description", "json_template", "version", "updated_last_at")}


async def sent_back(lab: Lab, template_id: int, **new: object) -> Any:
    form = await read(lab, template_id)
    body = {key: form[key] for key in ("name", "description", "json_template")} | new
    return await lab.http.put(f"/templates/{template_id}", json=body, headers=lab.people["owner"].headers)


async def test_what_was_read_changes_nothing_whatever_the_edges_are_called(lab: Lab) -> None:
    body = drawing() | {"slice_name": "Mi plantilla", "description": ""}
    made = (await lab.http.post("/templates/guardar", json=body, headers=lab.people["owner"].headers)).json()
    before = await read(lab, made["template_id"])
    assert len({edge["id"] for edge in before["json_template"]["topologia"]["edges"]}) == 3
    answer = await sent_back(lab, made["template_id"])
    assert answer.status_code == 200, answer.text
    assert await read(lab, made["template_id"]) == before


async def test_parts_beyond_the_document_do_not_keep_a_new_name_away(lab: Lab) -> None:
    made = await lab.template()
    document = made["document"]
    document["vms"][0]["user_data"] = "#!/bin/sh\ntrue\n"
    body = {key: made[key] for key in ("name", "description", "visibility")} | {"document": document}
    stored = (await lab.call("PUT", f"/templates/{made['id']}", "owner", json=body)).json()
    answer = await sent_back(lab, made["id"], name="Otro nombre")
    assert answer.status_code == 200, answer.text
    after = (await lab.call("GET", f"/templates/{made['id']}", "owner")).json()
    assert (after["name"], after["document"]) == ("Otro nombre", stored["document"])
    changed = (await read(lab, made["id"]))["json_template"]
    next(iter(changed["recursos"].values()))["name"] = "another"
    refused = await sent_back(lab, made["id"], json_template=changed)
    assert (refused.status_code, refused.json()["code"]) == (409, "template_beyond_cloud")


async def test_names_that_this_form_refuses_may_come_back(lab: Lab) -> None:
    made = await lab.template()
    first, second = ({**made["document"]["vms"][0], "name": name} for name in ("one", "two"))
    edge = {"name": "one <-> two", "a": {"vm": "one"}, "b": {"vm": "two"}}
    document = {"vms": [first, second], "networks": [], "edges": [edge]}
    body = {"name": "one <-> two", "description": "", "visibility": "private", "document": document}
    stored = await lab.call("PUT", f"/templates/{made['id']}", "owner", json=body)
    assert stored.status_code == 200, stored.text
    before = await read(lab, made["id"])
    answer = await sent_back(lab, made["id"])
    assert answer.status_code == 200, answer.text
    assert await read(lab, made["id"]) == before
    for name in ("one <-> three", " ", "x" * 101):
        refused = await sent_back(lab, made["id"], name=name)
        assert refused.status_code == 422, refused.text
        assert refused.json()["detail"].startswith("body.name: A "), refused.text
    assert await read(lab, made["id"]) == before
    renamed = await sent_back(lab, made["id"], name=" Uno y dos ")
    assert (renamed.status_code, renamed.json()["name"]) == (200, "Uno y dos")
