"""``deploy/compose.yaml`` with podman: built, started, used by the older cloud client, restarted; nothing is lost."""

import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.compat.cloud_canvas import Canvas
from tests.compat.cloud_client import CloudBrowser
from tests.containers.engine import Engine, Project
from tests.lab.service import free_port

pytestmark = [pytest.mark.containers, pytest.mark.timeout(3600)]
SERVICES = ("db", "console", "app")
ADMIN_PASSWORD = "correct horse battery"
PASSWORD = "another horse battery"
PATIENCE_S = 240.0


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    return {"app": free_port(), "console": free_port()}


@pytest.fixture(scope="module")
def project(engine: Engine, ports: dict[str, int]) -> Iterator[Project]:
    environment = {
        "MARIADB_PASSWORD": "NotASecretOfAnybody",
        "PARCELA_SECRET_KEY": "the key of a test, long enough to be one",
        "PARCELA_ADMIN_PASSWORD": ADMIN_PASSWORD,
        "PARCELA_SELF_REGISTRATION": "true",
        "PARCELA_HTTP_PORT": str(ports["app"]),
        "PARCELA_CONSOLE_PORT": str(ports["console"]),
    }
    project = Project(engine, "parcela-test", "compose.yaml", environment)
    try:
        project.up(SERVICES)
        yield project
    finally:
        project.down()


def running(browser: CloudBrowser, slice_id: int) -> dict[str, Any]:
    """A slice as its page shows it, once it runs."""
    deadline = time.monotonic() + PATIENCE_S
    while (shown := browser.slice(slice_id))["status"] != "RUNNING":
        assert time.monotonic() < deadline, shown
        time.sleep(0.2)  # between two looks, not a guess of how long it takes
    return shown


def test_the_older_client_works_and_finds_its_data_after_a_restart(project: Project, ports: dict[str, int]) -> None:
    url = f"http://127.0.0.1:{ports['app']}"
    browser = CloudBrowser(url)
    try:
        browser.register("Ana Quispe", "ana@lab.example", PASSWORD)
        browser.login("ana@lab.example", PASSWORD)
        canvas = Canvas().preset("star", 3, flavour="tiny", image="tiny")
        template_id = browser.save("Red de prueba", canvas)
        slice_id = browser.launch(template_id)
        before = running(browser, slice_id)
        template = browser.template(template_id)

        project.restart("db", "app")
        project.wait(SERVICES)

        assert browser.template(template_id) == template
        # Still logged in. Simulated VMs live in memory and end with the process, so their status may change; rows stay.
        after = browser.slice(slice_id)
        for what in ("name", "vlans"):
            assert after[what] == before[what]
        assert {ident: vm["vm_id"] for ident, vm in after["vms"].items()} == {
            ident: vm["vm_id"] for ident, vm in before["vms"].items()
        }
        browser.destroy(slice_id)
    finally:
        browser.close()


def test_every_container_says_that_it_is_healthy(project: Project) -> None:
    listing = project.listing()
    assert listing.count("(healthy)") == len(SERVICES), listing


def test_the_console_of_the_database_answers(project: Project, ports: dict[str, int]) -> None:
    page = httpx2.get(f"http://127.0.0.1:{ports['console']}/", timeout=60)
    assert page.status_code == 200, project.logs("console")
    assert "Adminer" in page.text


def test_the_app_writes_nowhere_but_to_its_folder_and_is_not_root(engine: Engine, project: Project) -> None:
    app = project.container("app")
    assert engine.podman("exec", app, "id", "-u").strip() == "10001"
    assert "Read-only file system" in engine.podman("exec", app, "touch", "/opt/parcela/x", check=False)
