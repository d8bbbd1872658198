"""Slices, VMs, operations, events and consoles, from launch to destruction."""

import json
import socket
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli.conftest import Server, done, server_environment
from tests.unit.cli.support import run

NUMBERS = count(1)
TIMEOUT_S = 300


@pytest.fixture
def lab(admin: Server) -> Iterator[dict[str, Any]]:
    """A running slice of the first template; gone afterwards."""
    made = done(run("slice", "deploy", "First lab", "--name", f"lab-{next(NUMBERS)}", "--json")).json
    yield made
    run("slice", "destroy", str(made["slice"]["id"]), "--yes")


def test_a_deployment_is_told_step_by_step(admin: Server) -> None:
    made = done(run("slice", "deploy", "First lab", "--name", "told", "--expires-in", "2h"))
    assert "done  Boot client" in made.err
    assert "eth0=10.0.1.2/24" in made.out
    assert "running" in made.out
    done(run("slice", "destroy", "told", "--yes"))
    assert run("slice", "show", "told").code == 4


def test_a_slice_is_destroyed_while_it_is_deployed(admin: Server) -> None:
    done(run("slice", "deploy", "First lab", "--name", "regretted", "--no-wait"))
    assert "is destroyed." in done(run("slice", "destroy", "regretted", "--yes")).out
    assert run("slice", "show", "regretted").code == 4


def test_a_deployment_for_programs(lab: dict[str, Any]) -> None:
    assert lab["slice"]["state"] == "running"
    assert lab["operation"]["state"] == "succeeded"
    assert {vm["name"] for vm in lab["vms"]} == {"client", "router", "server", "outside"}
    assert all(vm["nics"] for vm in lab["vms"])
    name = lab["slice"]["name"]
    assert done(run("slice", "show", name, "--json")).json["slice"]["id"] == lab["slice"]["id"]
    assert name in done(run("slice", "list", "--state", "running")).out
    assert len(done(run("vm", "list", "--slice", name, "--json")).json) == 4


def test_the_life_of_a_slice(lab: dict[str, Any]) -> None:
    name = lab["slice"]["name"]
    for action, state in (("suspend", "paused"), ("resume", "running"), ("stop", "stopped"), ("start", "running")):
        assert done(run("slice", action, name, "--json")).json["state"] == "succeeded"
        assert done(run("slice", "show", name, "--json")).json["slice"]["state"] == state
    assert done(run("slice", "reboot", name)).out.endswith("was restarted.\n")
    assert done(run("slice", "reset", name)).out.endswith("is as new.\n")
    extended = done(run("slice", "extend", name, "--expires-in", "3d", "--json")).json
    assert extended["expires_at"]
    refused = run("slice", "resume", name + "x", "--json")
    assert (refused.code, refused.problem["code"]) == (4, "slice_not_found")


def test_a_state_that_does_not_allow_it_is_a_conflict(lab: dict[str, Any]) -> None:
    name = lab["slice"]["name"]
    done(run("slice", "stop", name))
    refused = run("slice", "suspend", name, "--json")
    assert (refused.code, refused.problem["code"]) == (5, "slice_state")


def test_operations(lab: dict[str, Any]) -> None:
    name = lab["slice"]["name"]
    started = done(run("slice", "reboot", name, "--no-wait", "--json")).json
    watched = done(run("operation", "watch", str(started["id"]), "--json")).json
    assert watched["state"] == "succeeded"
    assert watched["steps"]
    assert "Reboot client" in done(run("operation", "show", str(started["id"]))).out
    listed = done(run("operation", "list", "--slice", name, "--json")).json
    assert [row["kind"] for row in listed] == ["slice.reboot", "slice.deploy"]
    assert run("operation", "cancel", str(started["id"])).code == 5
    assert run("operation", "retry", str(started["id"])).code == 5
    assert run("operation", "show", "999999").code == 4


def test_a_single_vm(admin: Server) -> None:
    made = done(run("vm", "create", "single", "--image", "tiny", "--flavour", "tiny", "--json")).json
    assert made["status"] == "running"
    done(run("vm", "stop", "single"))
    changed = done(run("vm", "update", "single", "--ram", "256", "--crash-policy", "restart", "--json")).json
    assert (changed["ram"], changed["crash_policy"]) == (256, "restart")
    assert run("vm", "update", "single").code == 2
    done(run("vm", "start", "single"))
    labelled = done(run("vm", "update", "single", "--label", "Servidor (1)", "--json")).json
    assert (labelled["label"], labelled["name"], labelled["status"]) == ("Servidor (1)", "single", "running")
    assert "Servidor (1)" in done(run("vm", "list")).out
    assert run("vm", "update", "single", "--label", "<b>").code == 6
    assert run("vm", "create", "--image", "tiny", "--flavour", "tiny").code == 2
    derived = done(run("vm", "create", "--label", "Señal 2", "--image", "tiny", "--flavour", "tiny", "--json")).json
    assert (derived["name"], derived["label"]) == ("senal-2", "Señal 2")
    assert done(run("vm", "show", "Señal 2", "--json")).json["id"] == derived["id"]
    assert run("vm", "show", "Señal 3").code == 4
    done(run("vm", "create", "--label", "Señal 2", "--image", "tiny", "--flavour", "tiny"))
    assert run("vm", "show", "Señal 2", "--json").problem["code"] == "name_ambiguous"
    for name in ("senal-2", "senal-2-2"):
        done(run("vm", "delete", name))
    for action in ("suspend", "resume", "reboot", "reset"):
        done(run("vm", action, "single"))
    assert "256" in done(run("vm", "show", str(made["id"]))).out
    done(run("vm", "delete", "single"))
    assert run("vm", "show", "single").code == 4
    assert run("vm", "create", "bad name", "--image", "tiny", "--flavour", "tiny").code == 6
    huge = run("vm", "create", "huge", "--image", "tiny", "--cores", "1", "--ram", "1000000", "--disk", "1", "--json")
    assert (huge.code, huge.problem["status"]) == (7, 507)


def test_a_refused_deployment_leaves_no_draft(admin: Server, tmp_path: Path) -> None:
    vms = [{"name": f"vm{number}", "image": "tiny", "flavour": "xlarge"} for number in range(20)]
    file = tmp_path / "huge.json"
    file.write_text(json.dumps({"vms": vms, "networks": [], "edges": []}))
    done(run("template", "apply", str(file), "--name", "huge"))
    refused = run("slice", "deploy", "huge", "--json")
    assert (refused.code, refused.problem["status"]) == (7, 507)
    assert run("slice", "show", "huge").code == 4


def test_events(lab: dict[str, Any]) -> None:
    name = lab["slice"]["name"]
    lines = done(run("events", "--slice", name, "--json")).out.splitlines()
    assert len(lines) > 10
    everything = done(run("events", "--limit", "3", "--json")).out.splitlines()
    assert len(everything) == 3
    states = done(run("events", "--slice", name, "--type", "slice.state", "--since", "0")).out.splitlines()
    assert ["state=deploying" in states[0], "state=running" in states[-1]] == [True, True]


def test_events_are_followed(lab: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    class EnoughError(Exception):
        pass

    def write(text: str) -> None:
        seen.append(text)
        if "state=running" in text:
            raise EnoughError

    seen: list[str] = []
    monkeypatch.setattr("parcela.cli.output.Output.raw", lambda _self, text: write(text))
    with pytest.raises(EnoughError):
        run("events", "--follow", "--since", "0", "--slice", lab["slice"]["name"], "--type", "slice.state")
    assert len(seen) == 2


def test_the_serial_console_in_scripts(lab: dict[str, Any]) -> None:
    vm = f"{lab['slice']['name']}/client"
    answer = done(run("console", vm, "--command", "hostname", "--until", "^client$", "--json")).json
    assert (answer["matched"], answer["vm"]["name"]) == (True, "client")
    piped = done(run("console", vm, "--until", "packets received", stdin="ping 10.0.2.2\n"))
    assert "64 bytes from 10.0.2.2" in piped.out
    assert "PARCELA READY" in done(run("console", vm, "--until", "PARCELA READY")).out
    late = run("console", vm, "--command", "hostname", "--until", "never", "--timeout", "1", "--json")
    assert (late.code, late.out, late.problem["code"]) == (8, "", "text_not_seen")
    assert run("console", vm, "--until", "(").code == 2
    assert run("console", vm, "--timeout", "0").code == 2


def test_a_vm_that_is_off_has_no_console(lab: dict[str, Any]) -> None:
    vm = f"{lab['slice']['name']}/server"
    done(run("vm", "stop", vm))
    refused = run("console", vm, "--command", "x", "--json")
    assert (refused.code, refused.problem["code"]) == (5, "vm_is_off")


def test_the_screen_is_forwarded_to_a_local_port(lab: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    ports: list[int] = []
    told = threading.Event()

    def line(_self: object, value: dict[str, int]) -> None:
        ports.append(value["port"])
        told.set()

    monkeypatch.setattr("parcela.cli.output.Output.line", line)
    results: list[int] = []
    vm = f"{lab['slice']['name']}/client"
    viewer = threading.Thread(target=lambda: results.append(run("console", vm, "--vnc", "--once", "--json").code))
    viewer.start()
    assert told.wait(TIMEOUT_S)
    with socket.create_connection(("127.0.0.1", ports[0]), timeout=TIMEOUT_S) as screen:
        assert screen.recv(12) == b"RFB 003.008\n"
    viewer.join(timeout=TIMEOUT_S)
    assert results == [0]


def test_a_taken_port_is_said(lab: dict[str, Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        vm = f"{lab['slice']['name']}/client"
        assert run("console", vm, "--vnc", "--port", str(port), "--json").problem["code"] == "port_taken"


def test_a_second_server_is_refused(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.environ.items():
        if name.startswith("PARCELA_"):
            monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    assert run("serve", "--json").problem["code"] == "port_taken"
    monkeypatch.setenv("PARCELA_PORT", server_environment(tmp_path, 1)["PARCELA_PORT"])
    refused = run("migrate", "--json")
    assert (refused.code, refused.problem["code"]) == (5, "second_process")
    checked = done(run("doctor", "--json"))
    assert {check["name"]: check["verdict"] for check in checked.json["checks"]}["database"] == "ok"
