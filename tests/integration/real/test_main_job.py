"""The main job, as a user does it: a template becomes real VMs, connected as drawn and as nothing else."""

import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.real.harness import Server, eventually, ip_links, virsh

pytestmark = [pytest.mark.libvirt, pytest.mark.guest, pytest.mark.slow]
NEIGHBOUR = "198.51.100.2"
"""In a network that the host is connected to: closed to guests."""
OUTSIDE = "203.0.113.5"
"""Behind a gateway, as the Internet is."""


@pytest.fixture
def outside_world() -> Iterator[str]:
    """A web server on this machine, but in a network of its own: what "the internet" is to the guests."""
    name = "outside"
    world = ["ip", "netns", "exec", name]
    commands = (
        ["ip", "netns", "add", name],
        ["ip", "link", "add", "out0", "type", "veth", "peer", "name", "eth0", "netns", name],
        ["ip", "addr", "add", "198.51.100.1/24", "dev", "out0"],
        ["ip", "link", "set", "out0", "up"],
        ["ip", "-n", name, "addr", "add", f"{NEIGHBOUR}/24", "dev", "eth0"],
        ["ip", "-n", name, "addr", "add", f"{OUTSIDE}/32", "dev", "lo"],
        ["ip", "-n", name, "link", "set", "eth0", "up"],
        ["ip", "-n", name, "link", "set", "lo", "up"],
        ["ip", "route", "add", f"{OUTSIDE}/32", "via", NEIGHBOUR],
    )
    for command in commands:
        subprocess.run(command, check=True, capture_output=True)
    web = subprocess.Popen(
        [*world, "python3", "-m", "http.server", "8080", "--directory", "/etc/apt"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually("the outside answers", lambda: _answers(OUTSIDE))
        yield f"http://{OUTSIDE}:8080/"
    finally:
        web.kill()
        web.wait()
        subprocess.run(["ip", "link", "del", "out0"], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def _answers(address: str) -> bool:
    probe = ["curl", "-sf", "-o", "/dev/null", "--max-time", "2", f"http://{address}:8080/"]
    return subprocess.run(probe, check=False).returncode == 0


def _sample(server: Server) -> int:
    return int(server.get("/templates/", name="First lab")["items"][0]["id"])


def _owner_of(domain_uuid: str) -> dict[str, str]:
    root = ET.fromstring(virsh("dumpxml", domain_uuid))  # noqa: S314 (libvirt wrote it)
    found = root.find("metadata/{https://parcela.dev/xmlns/1}vm")
    assert found is not None
    return dict(found.attrib)


def _leftovers(server: Server) -> list[str]:
    files = list((server.folder / "hypervisor" / "vms").iterdir())
    links = [name for name in ip_links() if name.startswith(("pcb", "pct", "pcn"))]
    return [*map(str, files), *links, *server.domains(), *virsh("net-list", "--all", "--name").split()]


def test_two_copies_of_the_sample_run_side_by_side_and_leave_nothing(server: Server, outside_world: str) -> None:
    template_id = _sample(server)
    drafts = [server.post("/slices/", {"template_id": template_id, "name": name}) for name in ("one", "two")]
    operations = [server.post(f"/slices/{draft['id']}/deploy") for draft in drafts]
    for operation in operations:
        server.succeed(operation)
    one, two = (server.vms(draft["id"]) for draft in drafts)

    # Exactly ours, with our metadata.
    assert server.domains() == {vm["uuid"] for vms in (one, two) for vm in vms.values()}
    assert {vm["status"] for vms in (one, two) for vm in vms.values()} == {"running"}
    for draft, vms in zip(drafts, (one, two), strict=True):
        for vm in vms.values():
            mark = _owner_of(vm["uuid"])
            assert (mark["vm"], mark["slice"], mark["owner"]) == (vm["name"], draft["uuid"], "admin")

    _check_wiring(server, one, two)
    _check_ways_out(server, one, outside_world)

    for draft in drafts:
        server.delete(f"/slices/{draft['id']}")
    assert _leftovers(server) == []
    host = server.get("/hosts/")["items"][0]
    assert (host["used_vcpus"], host["used_memory_mib"], host["used_disk_gib"]) == (0, 0, 0)


def _check_wiring(server: Server, one: dict[str, Any], two: dict[str, Any]) -> None:
    """Through the router to the own server and nowhere else, though both copies have the same addresses."""
    for vms, word in ((one, "first"), (two, "second")):
        assert server.run(vms["server"]["id"], f"echo {word} > /srv/who") == (0, "")
    for vms, word in ((one, "first"), (two, "second")):
        with server.console(vms["client"]["id"]) as console:
            assert console.run("ping -c 3 10.0.2.2")[0] == 0
            assert console.run("wget -q -O - http://10.0.2.2/who")[1].strip() == word
            _, hops = console.run("traceroute -n -m 3 10.0.2.2")
            assert "10.0.1.1" in hops
    # An address that only the second copy's client has is reachable for its own router only.
    assert server.run(two["client"]["id"], "ip addr add 10.0.1.77/24 dev eth0")[0] == 0
    assert server.run(two["router"]["id"], "ping -c 2 10.0.1.77")[0] == 0
    assert server.run(one["router"]["id"], "ping -c 2 -W 2 10.0.1.77")[0] != 0


def _check_ways_out(server: Server, vms: dict[str, Any], outside_world: str) -> None:
    """Only the VM with public access reaches the outside, and it reaches nothing of the host itself."""
    with server.console(vms["outside"]["id"]) as console:
        assert console.run(f"wget -q -O /dev/null {outside_world}")[0] == 0
        assert console.run(f"nc -w 2 {NEIGHBOUR} 8080 < /dev/null")[0] != 0
        _, gateway = console.run("ip route show default | cut -d' ' -f3")
        # Parcela listens on loopback only; the host's other addresses answer nothing either.
        assert console.run(f"ping -c 1 -W 2 {gateway.strip()}")[0] != 0
        assert console.run(f"nc -w 2 {gateway.strip()} {server.port} < /dev/null")[0] != 0
    for name in ("client", "router", "server"):
        assert server.run(vms[name]["id"], f"wget -q -O /dev/null {outside_world}")[0] != 0
    nics = server.get(f"/virtual-machines/{vms['outside']['id']}/nics")
    leased = eventually(
        "the leased address is shown",
        lambda: server.get(f"/virtual-machines/{vms['outside']['id']}/nics")[-1]["leased_address"],
    )
    assert nics[-1]["is_public"]
    assert leased


def test_reset_gives_a_clean_disk_with_the_same_identity(server: Server, tmp_path: Path) -> None:
    del tmp_path
    document = {
        "vms": [
            {"name": "left", "image": "tiny", "flavour": "tiny"},
            {"name": "right", "image": "tiny", "flavour": "tiny"},
        ],
        "networks": [{"name": "lan"}],
        "edges": [
            {"a": {"vm": "left", "address": "10.9.0.1/24"}, "b": {"network": "lan"}},
            {"a": {"vm": "right", "address": "10.9.0.2/24"}, "b": {"network": "lan"}},
        ],
    }
    slice_id = server.slice(server.template(document))
    vms = server.vms(slice_id)
    left, right = vms["left"]["id"], vms["right"]["id"]
    nics = server.get(f"/virtual-machines/{left}/nics")
    assert server.run(left, "echo broken > /data/mark && sync && cat /data/mark")[0] == 0

    server.do(f"/virtual-machines/{left}/stop")
    assert server.vms(slice_id)["left"]["status"] == "stopped"
    server.do(f"/virtual-machines/{left}/start")
    assert server.run(left, "cat /data/mark")[1].strip() == "broken"  # a stop keeps the disk

    server.do(f"/virtual-machines/{left}/reset")
    assert server.run(left, "test -e /data/mark")[0] == 1
    assert server.get(f"/virtual-machines/{left}/nics") == nics
    assert server.vms(slice_id)["left"]["uuid"] == vms["left"]["uuid"]
    assert server.run(right, "ping -c 2 10.9.0.1")[0] == 0

    server.do(f"/slices/{slice_id}/suspend")
    assert "paused" in virsh("domstate", vms["left"]["uuid"])
    server.do(f"/slices/{slice_id}/resume")
    assert server.run(right, "ping -c 2 10.9.0.1")[0] == 0
    server.delete(f"/slices/{slice_id}")
    assert _leftovers(server) == []
