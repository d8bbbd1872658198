"""VMs for a session that speaks ``vm_api``, and what others get at the same addresses meanwhile."""

from typing import Any

import pytest

from tests.integration.http.lab import API, Lab, problem
from tests.integration.http.test_vm_api import LIST, ask, old

pytestmark = pytest.mark.anyio
VM = {"id", "owner_id", "name", "cores", "ram", "disk", "os", "status", "created_at", "updated_at"}
ONE: dict[str, Any] = {
    "name": "Servidor web (2)",
    "cores": 1,
    "ram": 0.125,
    "disk": 1,
    "os": "tiny",
    "status": "running",
}


async def made(lab: Lab, headers: dict[str, str], **facts: Any) -> dict[str, Any]:
    answer = await ask(lab, "POST", LIST, headers, json=ONE | facts)
    assert answer.status_code == 200, answer.text
    await lab.settle()
    found: dict[str, Any] = answer.json()
    return found


async def test_a_vm_is_made_read_changed_and_removed(lab: Lab) -> None:
    headers = await old(lab)
    vm = await made(lab, headers, os="Tiny")
    assert set(vm) == VM
    assert vm.items() >= (ONE | {"owner_id": lab.people["owner"].id}).items()
    path = f"{LIST}{vm['id']}"
    read = (await ask(lab, "GET", path, headers)).json()
    canonical = (await lab.call("GET", path)).json()
    assert (canonical["name"], canonical["label"], canonical["ram"]) == ("servidor-web-2", ONE["name"], 128)

    back = await ask(lab, "PUT", path, headers, json=read)
    assert (back.status_code, back.json()) == (200, read)
    stopped = await ask(lab, "PUT", path, headers, json={"status": "stopped"})
    assert (stopped.status_code, stopped.json()["status"]) == (200, "stopped")
    await lab.settle()
    assert (await lab.call("GET", path)).json()["status"] == "stopped"
    grown = await ask(lab, "PUT", path, headers, json={"ram": 1, "cores": 2, "disk": 2})
    assert (grown.json()["ram"], grown.json()["cores"], grown.json()["disk"]) == (1, 2, 2)
    await lab.settle()
    assert (await lab.call("GET", path)).json()["ram"] == 1024

    gone = await ask(lab, "DELETE", path, headers)
    assert (gone.status_code, gone.json()["id"], set(gone.json())) == (200, vm["id"], VM)
    assert (await ask(lab, "GET", path, headers)).status_code == 404
    assert (await ask(lab, "PUT", path, headers, json={"cores": 1})).status_code == 404
    assert (await ask(lab, "DELETE", path, headers)).status_code == 404
    assert vm["id"] not in [row["id"] for row in (await ask(lab, "GET", LIST, headers)).json()]
    await lab.settle()


async def test_what_is_sent_back_as_it_was_read_changes_nothing(lab: Lab) -> None:
    headers, vm = await old(lab), await lab.vm("running")
    path = f"{LIST}{vm['id']}"
    read = (await ask(lab, "GET", path, headers)).json()
    assert (read["ram"], read["name"]) == (0.125, vm["name"])
    for body in (
        read,
        {"ram": read["ram"]},
        {"os": read["os"]},
        {"status": "running"},
        {},
    ):
        answer = await ask(lab, "PUT", path, headers, json=body)
        assert (answer.status_code, answer.json()) == (200, read)
    after = (await lab.call("GET", path)).json()
    assert (after["updated_at"], after["ram"], after["operation_id"]) == (vm["updated_at"], 128, None)


async def test_one_that_failed_is_told_so_and_can_be_sent_back(lab: Lab) -> None:
    headers, vm = await old(lab), await lab.vm("running")
    async with lab.services.uows.write() as uow:
        await uow.vms.update_fields([vm["id"]], state="error", error="it fell")
        await uow.commit()
    path = f"{LIST}{vm['id']}"
    read = (await ask(lab, "GET", path, headers)).json()
    assert read["status"] == "error"
    assert (await ask(lab, "PUT", path, headers, json=read)).json() == read
    started = await ask(lab, "PUT", path, headers, json={"status": "running"})
    assert (started.status_code, started.json()["status"]) == (200, "running")
    await lab.settle()
    assert (await lab.call("GET", path)).json()["status"] == "running"


async def test_a_change_waits_for_what_works_on_the_vm(lab: Lab) -> None:
    """A script makes a VM and stops it at once; in the original nothing took time."""
    headers = await old(lab)
    answer = await ask(lab, "POST", LIST, headers, json=ONE)
    path = f"{LIST}{answer.json()['id']}"
    stopped = await ask(lab, "PUT", path, headers, json={"status": "stopped", "ram": 0.25})
    assert (stopped.status_code, stopped.json()["status"], stopped.json()["ram"]) == (200, "stopped", 0.25)
    await lab.settle()
    assert (await lab.call("GET", path)).json()["status"] == "stopped"


async def test_suspending_and_resuming(lab: Lab) -> None:
    headers, vm = await old(lab), await lab.vm("running")
    path = f"{LIST}{vm['id']}"
    for status, state in (
        ("suspended", "paused"),
        ("running", "running"),
        ("suspended", "paused"),
        ("stopped", "stopped"),
    ):
        answer = await ask(lab, "PUT", path, headers, json={"status": status})
        assert (answer.status_code, answer.json()["status"]) == (200, status)
        await lab.settle()
        assert (await ask(lab, "GET", path, headers)).json()["status"] == status
        assert (await lab.call("GET", path)).json()["status"] == state
    refused = await ask(lab, "PUT", path, headers, json={"status": "suspended"})
    assert (refused.status_code, type(refused.json()["detail"])) == (409, str)


async def test_one_that_is_made_stopped_is_a_row_until_it_starts(lab: Lab) -> None:
    headers = await old(lab)
    vm = await made(lab, headers, status="stopped", ram=0.25)
    path = f"{LIST}{vm['id']}"
    seen = (await lab.call("GET", path)).json()
    assert (vm["status"], seen["status"], seen["host"], seen["operation_id"]) == ("stopped", "defined", None, None)
    assert (await ask(lab, "PUT", path, headers, json={"ram": 0.5})).json()["ram"] == 0.5
    started = await ask(lab, "PUT", path, headers, json={"status": "running"})
    assert (started.status_code, started.json()["status"]) == (200, "running")
    await lab.settle()
    seen = (await lab.call("GET", path)).json()
    assert (seen["status"], seen["ram"]) == ("running", 512)
    second = await made(lab, headers, status="stopped")
    assert (await ask(lab, "DELETE", f"{LIST}{second['id']}", headers)).status_code == 200
    await lab.settle()
    problem(await lab.call("GET", f"{LIST}{second['id']}"), 404, "virtual_machine_not_found")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ram": 0.1}, "ram: is a number of GB in steps of 1/1024 (1 MiB); 0.1 GB would be 102.4 MiB"),
        ({"ram": 0}, "ram: is a number of GB from 0.0625 to 1024"),
        ({"ram": 1025}, "ram: is a number of GB from 0.0625 to 1024"),
        ({"ram": 1e300}, "ram: is a number of GB from 0.0625 to 1024"),
        ({"ram": "much"}, "ram: is a number of GB from 0.0625 to 1024"),
        ({"ram": True}, "ram: is a number of GB from 0.0625 to 1024"),
        ({"cores": 0}, "cores: Input should be greater than or equal to 1"),
        ({"disk": 0}, "disk: Input should be greater than or equal to 1"),
        ({"status": "borrada"}, "status: is running, stopped or suspended"),
        ({"status": 1}, "status: is running, stopped or suspended"),
        ({"status": "error"}, "A new VM is 'running' or 'stopped'; suspend it once it runs."),
        ({"status": "suspended"}, "A new VM is 'running' or 'stopped'; suspend it once it runs."),
        ({"name": "<b>x</b>"}, "A label has 1 to 100 printable characters, without < and >; < is not allowed."),
        ({"name": ""}, "name: String should have at least 1 character"),
        ({"os": "BeOS"}, "There is no image 'BeOS' that you may use; there are: tiny."),
    ],
)
async def test_a_bad_vm_is_refused_with_the_reason_in_the_one_field(
    lab: Lab, change: dict[str, Any], said: str
) -> None:
    headers, before = await old(lab), await lab.counts()
    answer = await ask(lab, "POST", LIST, headers, json=ONE | change)
    assert (answer.status_code, answer.json()["detail"]) == (422, said)
    assert await lab.counts() == before


@pytest.mark.parametrize("field", sorted(ONE))
async def test_all_six_are_needed(lab: Lab, field: str) -> None:
    body = {name: value for name, value in ONE.items() if name != field}
    answer = await ask(lab, "POST", LIST, await old(lab), json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(f"{field}: ")


async def test_lists_are_windows_of_arrays(lab: Lab) -> None:
    headers = await old(lab, "stranger")
    vms = [await made(lab, headers, name=f"vm {number}", status="stopped") for number in range(3)]
    everything = (await ask(lab, "GET", LIST, headers)).json()
    assert everything == vms
    assert (await ask(lab, "GET", f"{LIST}?skip=1&limit=1", headers)).json() == vms[1:2]
    assert (await ask(lab, "GET", f"{LIST}?skip=2&limit=100&other=1", headers)).json() == vms[2:]
    mine = (await ask(lab, "GET", f"{LIST}?limit=1000", await old(lab, "admin"))).json()
    assert {vm["id"] for vm in vms} <= {vm["id"] for vm in mine}


async def test_vms_of_others_are_not_there(lab: Lab) -> None:
    vm, stranger = await lab.vm("stopped"), await old(lab, "stranger")
    path = f"{LIST}{vm['id']}"
    for method, options in (("GET", {}), ("PUT", {"json": {"cores": 2}}), ("DELETE", {})):
        answer = await ask(lab, method, path, stranger, **options)
        assert (answer.status_code, answer.json()["code"]) == (404, "virtual_machine_not_found")
    assert (await ask(lab, "GET", path, await old(lab, "admin"))).json()["owner_id"] == lab.people["owner"].id


async def test_the_mark_gives_no_rights(lab: Lab) -> None:
    scopes = ["vm:read"]
    token = await lab.make("/tokens/", json={"name": lab.unique("token"), "scopes": scopes, "speaks_vm_api": True})
    headers = {"Authorization": f"Bearer {token['token']}"}
    assert (await ask(lab, "GET", LIST, headers)).status_code == 200
    refused = await ask(lab, "POST", LIST, headers, json=ONE)
    assert (refused.status_code, type(refused.json()["detail"])) == (403, str)


@pytest.mark.parametrize("marked_first", [True, False])
@pytest.mark.parametrize("query", ["", "?limit=3", "?limit=100"])
async def test_nobody_gets_the_bytes_or_the_304_of_the_other(lab: Lab, query: str, marked_first: bool) -> None:
    """One user with two sessions asks the same addresses in turn; the answers are kept between."""
    vm = await lab.vm("stopped")
    sessions = {"old": await old(lab), "new": lab.people["owner"].headers}
    order = ["old", "new"] if marked_first else ["new", "old"]
    for path in (f"{LIST}{query}", f"{LIST}{vm['id']}", "/users/me"):
        tags, kinds = {}, {}
        for who in (*order, *order):  # the second time from what is kept
            answer = await ask(lab, "GET", path, sessions[who])
            tags[who], kinds[who] = answer.headers["etag"], answer.json()
            assert kinds[who] == kinds.setdefault(who, answer.json())
        assert tags["old"] != tags["new"]
        if path.startswith(f"{LIST}?") or path == LIST:
            assert (type(kinds["old"]), type(kinds["new"])) == (list, dict)
        else:
            assert set(kinds["old"]) < set(kinds["new"]) | {"updated_at"}
        for who, other in (("old", "new"), ("new", "old")):
            same = await ask(lab, "GET", path, sessions[who] | {"If-None-Match": tags[who]})
            foreign = await ask(lab, "GET", path, sessions[who] | {"If-None-Match": tags[other]})
            assert (same.status_code, foreign.status_code) == (304, 200)
            assert foreign.json() == kinds[who]


async def test_a_version_of_the_other_shape_is_another_version(lab: Lab) -> None:
    vm = await lab.vm("stopped")
    path, headers = f"{LIST}{vm['id']}", await old(lab)
    mine = (await ask(lab, "GET", path, headers)).headers["etag"]
    theirs = (await lab.call("GET", path)).headers["etag"]
    refused = await ask(lab, "PUT", path, headers | {"If-Match": theirs}, json={"cores": 2})
    assert (refused.status_code, refused.json()["code"]) == (412, "changed_meanwhile")
    problem(await lab.call("PUT", path, headers={"If-Match": mine}, json={"cores": 2}), 412, "changed_meanwhile")
    assert (await ask(lab, "PUT", path, headers | {"If-Match": mine}, json={"cores": 2})).json()["cores"] == 2
    await lab.settle()


async def test_a_change_is_seen_at_once_in_both_lists(lab: Lab) -> None:
    headers, vm = await old(lab), await lab.vm("stopped")
    for _ in range(2):
        assert vm["id"] in [row["id"] for row in (await ask(lab, "GET", f"{LIST}?limit=1000", headers)).json()]
    await ask(lab, "DELETE", f"{LIST}{vm['id']}", headers)
    assert vm["id"] not in [row["id"] for row in (await ask(lab, "GET", f"{LIST}?limit=1000", headers)).json()]
    await lab.settle()
    problem(await lab.call("GET", f"{LIST}{vm['id']}"), 404, "virtual_machine_not_found")


async def test_requests_without_a_token_are_canonical(lab: Lab) -> None:
    problem(await lab.http.get(f"{API}{LIST}"), 401, "token_missing")
    problem(await lab.http.get(f"{API}/users/me"), 401, "token_missing")


async def test_a_bad_change_is_told_once(lab: Lab) -> None:
    headers, vm = await old(lab), await lab.vm("stopped")
    answer = await ask(lab, "PUT", f"{LIST}{vm['id']}", headers, json={"ram": 0.3})
    assert answer.status_code == 422
    assert [problem["where"] for problem in answer.json()["problems"]] == ["body.ram"]
    answer = await lab.http.put(f"/vms/{vm['id']}", headers=lab.people["admin"].headers, json={"ram": 1})
    assert [error["field"] for error in answer.json()["errors"]] == ["ram"]
