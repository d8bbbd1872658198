"""Changes of VMs by the older API ``vms``: what waits for what, and for how long."""

import asyncio

import pytest

from parcela.api.compat.vms import changes
from tests.integration.http.asgi import PATIENCE_S
from tests.integration.http.lab import Lab

pytestmark = pytest.mark.anyio


async def form(lab: Lab, vm_id: int, **new: object) -> dict[str, object]:
    """What the page sends: all six as they were read, with what is new."""
    read = (await lab.http.get(f"/vms/{vm_id}", headers=lab.people["admin"].headers)).json()
    return {name: read[name] for name in ("name", "cores", "ram", "disk", "os", "status")} | new


async def test_a_change_waits_for_what_works_on_the_vm(lab: Lab) -> None:
    operation = await lab.operation("held", "admin")
    vm_id = operation["vm_id"]
    body = await form(lab, vm_id, status="stopped")
    put = asyncio.create_task(lab.http.put(f"/vms/{vm_id}", json=body, headers=lab.people["admin"].headers))
    async with asyncio.timeout(PATIENCE_S):
        patience: changes.Patience = lab.app.state.vms_patience
        while not patience.waiting(lab.people["admin"].id):  # noqa: ASYNC110 (nobody is told who waits)
            await asyncio.sleep(0)
    assert not put.done()
    await lab.release(operation["id"])
    answer = await put
    assert (answer.status_code, answer.json()["status"]) == (200, "stopped"), answer.text
    assert not patience.waiting(lab.people["admin"].id)
    await lab.settle()


async def test_it_does_not_wait_for_ever(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "WAIT_S", 0.01)
    operation = await lab.operation("held", "admin")
    vm_id, headers = operation["vm_id"], lab.people["admin"].headers
    refused = await lab.http.put(f"/vms/{vm_id}", json=await form(lab, vm_id, cores=2), headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (409, "busy")
    assert str(operation["id"]) in refused.json()["message"]
    await lab.release(operation["id"])


async def test_no_more_than_a_few_of_one_person_wait(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "MOST_WAITING", 0)
    monkeypatch.setattr(changes, "WAIT_S", PATIENCE_S * 10)
    operation = await lab.operation("held", "admin")
    vm_id, headers = operation["vm_id"], lab.people["admin"].headers
    async with asyncio.timeout(PATIENCE_S):
        refused = await lab.http.put(f"/vms/{vm_id}", json=await form(lab, vm_id, cores=2), headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (409, "busy")
    await lab.release(operation["id"])


async def test_a_name_and_what_was_read_wait_for_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "WAIT_S", PATIENCE_S * 10)
    operation = await lab.operation("held", "admin")
    vm_id, headers = operation["vm_id"], lab.people["admin"].headers
    async with asyncio.timeout(PATIENCE_S):
        for new in ({}, {"name": "Entre tanto"}):
            answer = await lab.http.put(f"/vms/{vm_id}", json=await form(lab, vm_id, **new), headers=headers)
            assert answer.status_code == 200, answer.text
    assert answer.json()["name"] == "Entre tanto"
    await lab.release(operation["id"])


@pytest.mark.parametrize(
    ("state", "word", "status"),
    [
        ("running", "PAUSED", "paused"),
        ("running", "suspendida", "paused"),
        ("paused", "Running", "running"),
        ("paused", "apagada", "stopped"),
        ("stopped", "Encendida", "running"),
        ("stopped", "en ejecución", "running"),
        ("running", "starting", "running"),  # read while it came up
        ("stopped", "defined", "stopped"),
        ("stopped", "error", "stopped"),
    ],
)
async def test_words_of_state(lab: Lab, state: str, word: str, status: str) -> None:
    vm = await lab.vm(state, "admin")
    headers = lab.people["admin"].headers
    body = await form(lab, vm["id"], status=word)
    changed = await lab.http.put(f"/vms/{vm['id']}", json=body, headers=headers)
    assert (changed.status_code, changed.json()["status"]) == (200, status), changed.text
    await lab.settle()
    assert (await lab.http.get(f"/vms/{vm['id']}", headers=headers)).json()["status"] == status


async def test_a_stopped_vm_cannot_be_paused(lab: Lab) -> None:
    vm = await lab.vm("stopped", "admin")
    body = await form(lab, vm["id"], status="paused")
    refused = await lab.http.put(f"/vms/{vm['id']}", json=body, headers=lab.people["admin"].headers)
    assert refused.status_code == 409, refused.text
    new = body | {"name": "never", "status": "paused"}
    refused = await lab.http.post("/vms/", json=new, headers=lab.people["admin"].headers)
    assert (refused.status_code, refused.json()["field"]) == (422, "status")


async def test_a_size_that_is_refused_says_why(lab: Lab) -> None:
    headers = lab.people["admin"].headers
    vm = await lab.vm("stopped", "admin")
    grown = await lab.http.put(f"/vms/{vm['id']}", json=await form(lab, vm["id"], disk=5), headers=headers)
    assert grown.status_code == 200, grown.text
    body = await form(lab, vm["id"], disk=4)
    shrunk = await lab.http.put(f"/vms/{vm['id']}", json=body, headers=headers)
    assert (shrunk.status_code, shrunk.json()["field"]) == (422, "disk")
    assert "at least 5 GiB" in shrunk.json()["message"]
    running = await lab.vm("running", "admin")
    body = await form(lab, running["id"], ram=256)
    refused = await lab.http.put(f"/vms/{running['id']}", json=body, headers=headers)
    assert (refused.status_code, refused.json()["field"]) == (409, "ram")
    assert "stopped" in refused.json()["errors"][0]["message"]


async def test_a_failed_vm_says_so(lab: Lab) -> None:
    operation = await lab.operation("failed", "admin")
    answer = await lab.http.get("/vms/", headers=lab.people["admin"].headers)
    assert operation["vm_id"] not in {row["id"] for row in answer.json() if row["status"] == "running"}


async def test_images_are_found_by_words_among_those_one_may_use(lab: Lab) -> None:
    private = await lab.image("stranger")
    mine = await lab.image("admin")
    headers = lab.people["admin"].headers
    size = {"cores": 1, "ram": 128, "disk": 1, "status": "stopped"}
    made = await lab.http.post("/vms/", json=size | {"name": "a", "os": mine["name"].upper()}, headers=headers)
    assert (made.status_code, made.json()["os"]) == (201, mine["name"]), made.text
    read = await form(lab, made.json()["id"])
    again = await lab.http.put(f"/vms/{made.json()['id']}", json=read | {"os": "IMAGE"}, headers=headers)
    assert again.status_code == 200, again.text  # a word for what it is
    refused = await lab.http.put(f"/vms/{made.json()['id']}", json=read | {"os": "tiny"}, headers=headers)
    assert (refused.status_code, refused.json()["field"]) == (422, "os")
    unknown = (await lab.http.post("/vms/", json=size | {"name": "b", "os": "BeOS"}, headers=headers)).json()
    assert mine["name"] in unknown["message"]
    assert private["name"] in unknown["message"]  # an administrator may use all


async def test_a_vm_that_never_ran_is_changed_and_removed(lab: Lab) -> None:
    headers = lab.people["admin"].headers
    body = {"name": "Nunca", "os": "tiny", "cores": 1, "ram": 128, "disk": 1, "status": "Apagada"}
    made = (await lab.http.post("/vms/", json=body, headers=headers)).json()
    seen = (await lab.call("GET", f"/virtual-machines/{made['id']}", "admin")).json()
    assert (seen["status"], seen["desired"], seen["host"], seen["operation_id"]) == ("defined", "stopped", None, None)
    assert (made["status"], made["name"], seen["name"]) == ("stopped", "Nunca", "Nunca")
    changed = await lab.http.put(f"/vms/{made['id']}", json=await form(lab, made["id"], disk=3), headers=headers)
    assert changed.json()["disk"] == 3
    assert (await lab.http.delete(f"/vms/{made['id']}", headers=headers)).status_code == 204
    assert (await lab.http.get(f"/vms/{made['id']}", headers=headers)).status_code == 404
    assert made["id"] not in {row["id"] for row in (await lab.http.get("/vms/", headers=headers)).json()}
    await lab.settle()
    assert (await lab.call("GET", f"/virtual-machines/{made['id']}", "admin")).status_code == 404
