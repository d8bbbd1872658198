"""DELETE of what something still works on."""

import pytest

from tests.integration.http.lab import Lab, problem

pytestmark = pytest.mark.anyio


async def test_a_slice_that_is_being_deployed_is_destroyed(lab: Lab) -> None:
    deploying = await lab.slice_operation()
    path = f"/slices/{deploying['slice_id']}"
    answers = [await lab.call("DELETE", path) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    destruction = answers[0].json()
    assert (destruction["kind"], destruction["state"]) == ("slice.destroy", "pending")
    assert {answer.json()["id"] for answer in answers} == {destruction["id"]}
    assert {answer.headers["location"] for answer in answers} == {f"/api/v1/operations/{destruction['id']}"}
    seen = (await lab.call("GET", path)).json()
    assert (seen["state"], seen["operation_id"]) == ("destroying", deploying["id"])
    problem(await lab.call("POST", f"{path}/deploy"), 409, "slice_state")
    problem(await lab.call("POST", f"/operations/{destruction['id']}/cancel"), 409, "operation_not_cancellable")
    page = await lab.call("GET", path, "stranger")
    problem(page, 404, "slice_not_found")

    await lab.release(deploying["id"])
    assert (await lab.call("GET", path)).json()["state"] == "destroyed"
    ended = (await lab.call("GET", f"/operations/{deploying['id']}")).json()
    assert ended["state"] == "cancelled"
    assert ended["error"] == f"Cancelled, because the slice is to be destroyed (operation {destruction['id']})."
    problem(await lab.call("DELETE", path), 409, "slice_state")


async def test_a_vm_that_is_being_made_is_deleted(lab: Lab) -> None:
    making = await lab.operation("held")
    path = f"/virtual-machines/{making['vm_id']}"
    answers = [await lab.call("DELETE", path) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    destruction = answers[0].json()
    assert answers[1].json()["id"] == destruction["id"]
    assert (await lab.call("GET", path)).json()["desired"] == "deleted"
    problem(await lab.call("POST", f"{path}/start"), 409, "busy")
    await lab.release(making["id"])
    problem(await lab.call("GET", path), 404, "virtual_machine_not_found")
    assert (await lab.call("GET", f"/operations/{destruction['id']}")).json()["state"] == "succeeded"
