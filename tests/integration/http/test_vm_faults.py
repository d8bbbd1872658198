"""What clients read of a VM that its hypervisor has paused, and of a host that is short of space."""

import pytest

from parcela.core.power import SENTENCES, PowerReason
from tests.integration.http.lab import Lab, problem

pytestmark = pytest.mark.anyio


async def test_a_paused_vm_says_why_everywhere(lab: Lab) -> None:
    vm = await lab.vm()
    assert vm["status_reason"] == ""
    lab.world.fill_disk(vm["host"])
    try:
        await lab.workers.reconcilers.round()
        path = f"/virtual-machines/{vm['id']}"
        seen = (await lab.call("GET", path)).json()
        expected = ("paused", "no_space", SENTENCES[PowerReason.NO_SPACE])
        assert (seen["status"], seen["status_reason"], seen["error"]) == expected
        listed = (await lab.call("GET", "/virtual-machines/")).json()["items"]
        assert next(row for row in listed if row["id"] == vm["id"])["status_reason"] == "no_space"
        told = (await lab.call("GET", "/events", params={"type": "vm.io_error", "limit": 100})).json()["items"]
        assert [event["data"]["reason"] for event in told if event["vm_id"] == vm["id"]] == ["no_space"]

        resumed = await lab.make(f"{path}/resume", status=202)
        await lab.settle()
        operation = (await lab.call("GET", f"/operations/{resumed['id']}")).json()
        assert operation["state"] == "failed"
        assert "the disk of its host is full" in operation["error"]
        assert (await lab.call("GET", path)).json()["status"] == "paused"
        stopped = await lab.make(f"{path}/stop", status=202)
        await lab.settle()
        assert (await lab.call("GET", f"/operations/{stopped['id']}")).json()["state"] == "succeeded"
        seen = (await lab.call("GET", path)).json()
        assert (seen["status"], seen["status_reason"], seen["error"]) == ("stopped", "", "")
    finally:
        lab.world.free_disk(vm["host"])


async def test_a_host_that_is_short_of_space_says_so(lab: Lab) -> None:
    name = (await lab.vm())["host"]
    for found in lab.world.hosts:
        found.free_mib = 100
    try:
        await lab.workers.reconcilers.round()
        hosts = (await lab.call("GET", "/hosts/", "admin")).json()["items"]
        host = next(row for row in hosts if row["name"] == name)
        assert host["disk_free_mib"] == 100
        assert host["disk_shortage"].startswith("100 MiB of ")
        body = {"name": lab.unique("vm"), "os": "tiny", "flavour": "tiny"}
        refused = problem(await lab.call("POST", "/virtual-machines/", json=body), 507, "no_capacity")
        assert "is short of disk space (100 MiB of " in refused["detail"]
    finally:
        for found in lab.world.hosts:
            found.free_mib = None
        await lab.workers.reconcilers.round()
    await lab.vm()


@pytest.mark.parametrize(("force", "kind"), [("true", "power_off_vm"), ("false", "shut_down_vm")])
@pytest.mark.parametrize("path", ["/virtual-machines", "/slices"])
async def test_a_forced_stop_asks_no_guest(lab: Lab, path: str, force: str, kind: str) -> None:
    made = await lab.vm() if path == "/virtual-machines" else await lab.slice_()
    stopping = await lab.make(f"{path}/{made['id']}/stop?force={force}", status=202)
    await lab.settle()
    done = (await lab.call("GET", f"/operations/{stopping['id']}")).json()
    assert done["state"] == "succeeded"
    assert {step["kind"] for step in done["steps"]} == {kind}
