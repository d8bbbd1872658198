"""``kill -9`` of Parcela in the middle of deploy, reset and destroy on real VMs."""

import pytest

from tests.integration.real.harness import Server, eventually, installation, pair, virsh

pytestmark = [pytest.mark.libvirt, pytest.mark.guest, pytest.mark.slow]
KILLER = "tests.integration.real.killing_server"


def _check_consistent(server: Server, slice_id: int) -> None:
    """Each side effect exists once, nothing is orphaned."""
    vms = server.vms(slice_id)
    assert server.domains() == {vm["uuid"] for vm in vms.values()}
    folders = {path.name for path in (server.folder / "hypervisor" / "vms").iterdir()}
    assert folders == {vm["uuid"] for vm in vms.values()}
    host = server.get("/hosts/")["items"][0]
    assert host["used_vcpus"] == len(vms)


@pytest.mark.parametrize(
    "moment",
    ["ensure_segment:1:after", "create_vm:1:after", "create_vm:2:before", "start_vm:1:after", "wait_ready:1:before"],
)
def test_killed_while_deploying(moment: str) -> None:
    with installation() as server:
        server.start(KILLER, KILL_AT=moment)
        draft = server.post("/slices/", {"template_id": server.template(pair())})
        operation = server.post(f"/slices/{draft['id']}/deploy")
        server.wait_dead()
        server.start()
        server.succeed(operation)
        _check_consistent(server, draft["id"])
        left = server.vms(draft["id"])["left"]["id"]
        assert server.run(left, "ping -c 2 10.9.0.2")[0] == 0


@pytest.mark.parametrize("moment", ["power_off:1:after", "reset_disk:1:before", "reset_disk:1:after"])
def test_killed_while_resetting(moment: str) -> None:
    with installation() as server:
        server.start(KILLER, KILL_AT=moment)
        slice_id = server.slice(server.template(pair()))
        left = server.vms(slice_id)["left"]["id"]
        assert server.run(left, "echo old > /data/mark; sync")[0] == 0
        operation = server.post(f"/slices/{slice_id}/reset")
        server.wait_dead()
        server.start()
        server.succeed(operation)
        _check_consistent(server, slice_id)
        assert server.run(left, "test -e /data/mark")[0] == 1


@pytest.mark.parametrize("moment", ["remove_vm:1:before", "remove_vm:1:after", "remove_segment:1:after"])
def test_killed_while_destroying(moment: str) -> None:
    with installation() as server:
        server.start(KILLER, KILL_AT=moment)
        draft = server.post("/slices/", {"template_id": server.template(pair())})
        # Paused: this test needs no booted guest.
        server.do(f"/slices/{draft['id']}/deploy", {"paused": True})
        operation = server.api.delete(f"/slices/{draft['id']}").json()
        server.wait_dead()
        server.start()
        server.succeed(operation)
        assert server.get(f"/slices/{draft['id']}")["state"] == "destroyed"
        eventually("nothing is left", lambda: not server.domains() and not virsh("net-list", "--all", "--name").split())
        assert list((server.folder / "hypervisor" / "vms").iterdir()) == []
        assert server.get("/hosts/")["items"][0]["used_vcpus"] == 0
