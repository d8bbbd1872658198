"""Addresses of the NAT network in templates: refused on all ways in, and when something older is launched."""

import json
from typing import Any

import pytest
from sqlalchemy import text

from tests.integration.http.lab import Lab, problem

pytestmark = pytest.mark.anyio
CODE = "overlaps_nat_network"


def drawing(address: str) -> dict[str, Any]:
    vms = [{"name": name, "image": "tiny", "flavour": "tiny"} for name in ("a", "b")]
    return {"vms": vms, "edges": [{"a": {"vm": "a", "address": address}, "b": {"vm": "b"}}]}


BAD, GOOD = drawing("10.231.1.5/24"), drawing("192.168.1.5/24")


async def template(lab: Lab) -> dict[str, Any]:
    answer = await lab.call("POST", "/templates/", json={"name": lab.unique("drawn"), "document": GOOD})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def run(lab: Lab, statement: str, **values: Any) -> None:
    async with lab.services.uows.write() as uow:
        await uow._session.execute(text(statement), values)
        await uow.commit()


def told(answer: Any) -> None:
    details = problem(answer, 422, "template_invalid")
    assert [found["code"] for found in details["problems"]] == [CODE]
    assert "10.231.0.0/22" in details["problems"][0]["what"]


async def test_all_ways_in(lab: Lab) -> None:
    made = await template(lab)
    path = f"/templates/{made['id']}"
    told(await lab.call("POST", "/templates/", json={"name": lab.unique("drawn"), "document": BAD}))
    told(await lab.call("PUT", path, json={"name": made["name"], "document": BAD}))
    told(await lab.call("POST", "/templates/import", json={"name": lab.unique("drawn"), "document": BAD}))
    verdict = (await lab.call("POST", "/templates/validate", json={"document": BAD})).json()
    assert [found["code"] for found in verdict["problems"]] == [CODE]
    assert (await lab.call("GET", path)).json()["version"] == 1


async def test_a_stored_version_of_before_is_not_launched(lab: Lab) -> None:
    made = await template(lab)
    await run(
        lab,
        "UPDATE template_versions SET document = :document WHERE template_id = :id",
        document=json.dumps(BAD),
        id=made["id"],
    )
    told(await lab.call("POST", "/slices/", json={"template_id": made["id"]}))


async def test_a_draft_of_before_is_not_deployed(lab: Lab) -> None:
    made = await template(lab)
    draft = (await lab.call("POST", "/slices/", json={"template_id": made["id"]})).json()
    await run(
        lab,
        "UPDATE nics SET address = '10.231.1.5/24' WHERE address IS NOT NULL AND vm_id IN "
        "(SELECT id FROM virtual_machines WHERE slice_id = :id)",
        id=draft["id"],
    )
    details = problem(await lab.call("POST", f"/slices/{draft['id']}/deploy"), 409, CODE)
    assert "10.231.1.5/24" in details["detail"]
    assert (await lab.call("GET", f"/slices/{draft['id']}")).json()["state"] == "draft"
