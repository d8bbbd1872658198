"""What happens on a hypervisor without us being asked."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.libvirt.test_reconnect import is_gone, running_libvirtd
from tests.integration.real.harness import Server, eventually, pair, qemu_pid, single, virsh

pytestmark = [pytest.mark.libvirt, pytest.mark.guest, pytest.mark.slow]
FOREIGN = """<domain type='qemu'><name>somebody-elses</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os></domain>"""


@pytest.fixture
def foreign_domain(tmp_path: Path) -> Iterator[str]:
    definition = tmp_path / "foreign.xml"
    definition.write_text(FOREIGN)
    virsh("define", str(definition))
    virsh("start", "somebody-elses")
    try:
        yield "somebody-elses"
    finally:
        virsh("destroy", "somebody-elses")
        virsh("undefine", "somebody-elses")


def test_killed_stopped_and_undefined_vms_are_noticed(server: Server, foreign_domain: str) -> None:
    slice_id = server.slice(server.template(pair()))
    vms = server.vms(slice_id)

    os.kill(qemu_pid(vms["left"]["uuid"]), signal.SIGKILL)
    eventually("the crash shows", lambda: server.vms(slice_id)["left"]["status"] == "error")
    assert "died" in server.vms(slice_id)["left"]["error"]
    eventually("the slice is degraded", lambda: server.get(f"/slices/{slice_id}")["state"] == "degraded")

    virsh("destroy", vms["right"]["uuid"])
    eventually("the stop shows", lambda: server.vms(slice_id)["right"]["status"] == "stopped")
    virsh("undefine", vms["right"]["uuid"])
    eventually("the removal shows", lambda: server.vms(slice_id)["right"]["status"] == "error")
    assert "vanished" in server.vms(slice_id)["right"]["error"]

    # A start makes both whole again.
    server.do(f"/slices/{slice_id}/start")
    assert server.get(f"/slices/{slice_id}")["state"] == "running"
    assert server.run(vms["left"]["id"], "ping -c 2 10.9.0.2")[0] == 0
    server.delete(f"/slices/{slice_id}")
    assert "running" in virsh("domstate", foreign_domain)


def test_crash_policy_restart_brings_the_vm_back(server: Server) -> None:
    slice_id = server.slice(server.template(single()), crash_policy="restart")
    vm = server.vms(slice_id)["only"]
    first = qemu_pid(vm["uuid"])
    os.kill(first, signal.SIGKILL)
    eventually("it is back", lambda: _runs_again(server, slice_id, first))
    assert server.run(vm["id"], "hostname")[1].strip() == "only"


def _runs_again(server: Server, slice_id: int, first: int) -> bool:
    vm = server.vms(slice_id)["only"]
    return vm["status"] == "running" and vm["operation_id"] is None and qemu_pid(vm["uuid"]) not in {0, first}


@pytest.fixture
def libvirtd_away() -> Iterator[list[str]]:
    """The command line of libvirtd; it runs again afterwards, whatever the test did."""
    if os.environ.get("PARCELA_TEST_ISOLATED") != "1":
        pytest.skip("only in the isolated lab: it stops libvirtd")
    subprocess.run(["umount", "--lazy", "/sys/fs/cgroup/unified"], check=False, capture_output=True)
    pid, command = running_libvirtd()
    yield command
    if is_gone(pid):
        try:
            virsh("list")
        except subprocess.CalledProcessError:
            _start(command)


def _start(command: list[str]) -> None:
    quiet = subprocess.DEVNULL
    subprocess.Popen(["setsid", "--fork", *command], stdin=quiet, stdout=quiet, stderr=quiet).wait()


def test_without_libvirtd_the_api_stays_and_operations_wait(server: Server, libvirtd_away: list[str]) -> None:
    slice_id = server.slice(server.template(single()))
    pid, _ = running_libvirtd()
    os.kill(pid, signal.SIGTERM)
    eventually("libvirtd is gone", lambda: is_gone(pid))

    operation = server.post(f"/slices/{slice_id}/stop")
    eventually("health tells", lambda: server.get("/system/health")["status"] == "degraded")
    waits = eventually("the step says why it waits", lambda: _waiting(server, operation["id"]))
    assert "host" in waits
    assert server.get("/slices/")["items"]

    _start(libvirtd_away)
    server.succeed(operation)
    eventually("health is well", lambda: server.get("/system/health")["status"] == "ok")
    assert server.vms(slice_id)["only"]["status"] == "stopped"


def _waiting(server: Server, operation_id: int) -> str:
    steps = server.get(f"/operations/{operation_id}")["steps"]
    return next((step["message"] for step in steps if step["message"]), "")
