"""A PUT that changes sizes and the status at once is one operation: one request is not in its own way."""

from typing import Any

import pytest

from parcela.hypervisors.simulated import Failure
from tests.integration.http.lab import Lab, problem

pytestmark = pytest.mark.anyio
LARGER: dict[str, Any] = {"cores": 2, "ram": 256, "disk": 2}


async def _vm(lab: Lab, vm_id: int) -> dict[str, Any]:
    answer = await lab.call("GET", f"/virtual-machines/{vm_id}")
    assert answer.status_code == 200, answer.text
    seen: dict[str, Any] = answer.json()
    return seen


async def _operations(lab: Lab, vm_id: int) -> list[dict[str, Any]]:
    """Of a VM, the newest last."""
    answer = await lab.call("GET", f"/operations/?vm_id={vm_id}&sort=id&limit=100")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def _put(lab: Lab, vm: dict[str, Any], **body: Any) -> dict[str, Any]:
    """A change that is accepted: the VM when all is done. One operation and no more came of it."""
    before = len(await _operations(lab, vm["id"]))
    answer = await lab.call("PUT", f"/virtual-machines/{vm['id']}", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["operation_id"] is not None
    await lab.settle()
    made = (await _operations(lab, vm["id"]))[before:]
    assert [(row["id"], row["state"]) for row in made] == [(answer.json()["operation_id"], "succeeded")]
    return await _vm(lab, vm["id"])


@pytest.mark.parametrize("in_slice", [False, True], ids=["alone", "of a slice"])
async def test_sizes_and_running_of_a_stopped_vm(lab: Lab, *, in_slice: bool) -> None:
    if in_slice:
        made = await lab.slice_("stopped")
        vm = (await lab.call("GET", f"/virtual-machines/?slice_id={made['id']}")).json()["items"][0]
    else:
        vm = await lab.vm("stopped")
    seen = await _put(lab, vm, **LARGER, status="running")
    assert {**seen, **LARGER} == seen
    assert (seen["status"], seen["desired"], seen["operation_id"]) == ("running", "running", None)


@pytest.mark.parametrize("state", ["running", "paused"])
async def test_sizes_and_stopped_of_a_vm_that_is_on(lab: Lab, state: str) -> None:
    vm = await lab.vm(state)
    seen = await _put(lab, vm, **LARGER, status="stopped")
    assert {**seen, **LARGER} == seen
    assert (seen["status"], seen["desired"]) == ("stopped", "stopped")


async def test_a_name_and_a_status(lab: Lab) -> None:
    vm = await lab.vm("stopped")
    name = lab.unique("renamed")
    seen = await _put(lab, vm, name=name, status="running")
    assert (seen["name"], seen["status"]) == (name, "running")
    seen = await _put(lab, seen, name=f"{name}-b", label="Práctica", status="stopped")
    assert (seen["name"], seen["label"], seen["status"]) == (f"{name}-b", "Práctica", "stopped")


async def test_all_that_was_read_is_sent_back_with_another_size_and_status(lab: Lab) -> None:
    vm = await lab.vm("stopped")
    fields = ("name", "cores", "ram", "disk", "os", "owner_id")
    seen = await _put(lab, vm, **{name: vm[name] for name in fields} | {"ram": 512, "status": "running"})
    assert (seen["ram"], seen["status"]) == (512, "running")


async def test_the_older_vms_sends_the_whole_vm_too(lab: Lab) -> None:
    vm = await lab.vm("stopped")
    headers = lab.people["admin"].headers
    for body, status in (
        ({"cores": 2, "status": "running"}, "running"),
        ({"ram": 256, "status": "stopped"}, "stopped"),
    ):
        answer = await lab.http.put(f"/vms/{vm['id']}", headers=headers, json=body)
        assert answer.status_code == 200, answer.text
        await lab.settle()
        assert (await _vm(lab, vm["id"]))["status"] == status
    seen = await _vm(lab, vm["id"])
    assert (seen["cores"], seen["ram"]) == (2, 256)


async def test_a_vm_that_was_never_built_is_changed_and_built(lab: Lab) -> None:
    made = await lab.operation("failed")
    vm = await _vm(lab, made["vm_id"])
    assert vm["status"] == "defined"
    seen = await _put(lab, vm, cores=2, status="running")
    assert (seen["cores"], seen["status"]) == (2, "running")


async def test_a_larger_vm_that_stays_on_has_to_be_stopped_by_somebody(lab: Lab) -> None:
    vm = await lab.vm()
    answer = await lab.call("PUT", f"/virtual-machines/{vm['id']}", json={"cores": 2, "status": "running"})
    assert problem(answer, 409, "vm_must_be_stopped")["problems"][0]["where"] == "body.cores"
    assert (await _vm(lab, vm["id"]))["cores"] == vm["cores"]


@pytest.mark.parametrize(("state", "status"), [("stopped", "running"), ("running", "stopped")])
async def test_both_rights_are_needed(lab: Lab, state: str, status: str) -> None:
    vm = await lab.vm(state)
    for scopes, expected in ((("vm:update",), 403), (("vm:power",), 403), (("vm:update", "vm:power", "vm:read"), 200)):
        secret = (await lab.token("owner", *scopes))["token"]
        headers = {"Authorization": f"Bearer {secret}"}
        path = f"/virtual-machines/{vm['id']}"
        answer = await lab.call("PUT", path, None, headers=headers, json={"cores": 2, "status": status})
        assert answer.status_code == expected, answer.text
    await lab.settle()


async def test_a_boot_that_fails_keeps_the_sizes_that_the_host_has(lab: Lab) -> None:
    vm = await lab.vm("stopped")
    lab.world.faults.fail("start_vm", vm=vm["name"], failure=Failure.FATAL)
    answer = await lab.call("PUT", f"/virtual-machines/{vm['id']}", json={**LARGER, "status": "running"})
    assert answer.status_code == 200, answer.text
    await lab.settle()
    lab.world.faults.clear()
    seen = await _vm(lab, vm["id"])
    assert ({**seen, **LARGER} == seen, seen["status"]) == (True, "error")


async def test_a_change_that_fails_is_taken_back_and_not_started(lab: Lab) -> None:
    vm = await lab.vm("stopped")
    lab.world.faults.fail("update_vm", vm=vm["name"], failure=Failure.FATAL)
    answer = await lab.call("PUT", f"/virtual-machines/{vm['id']}", json={**LARGER, "status": "running"})
    assert answer.status_code == 200, answer.text
    await lab.settle()
    lab.world.faults.clear()
    seen = await _vm(lab, vm["id"])
    assert (seen["cores"], seen["ram"], seen["disk"], seen["status"]) == (vm["cores"], vm["ram"], vm["disk"], "error")
    assert (await _operations(lab, vm["id"]))[-1]["state"] == "failed"
