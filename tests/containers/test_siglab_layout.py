"""``deploy/compose.siglab.yaml`` with podman: three replicas behind nginx, used by the older siglab clients."""

import re
import time
from collections.abc import Iterator

import httpx2
import pytest

from tests.compat.siglab_client import LoadScript, Pages, dashboard_counts
from tests.containers.engine import Engine, Project
from tests.lab.service import free_port

pytestmark = [pytest.mark.containers, pytest.mark.timeout(3600)]
BACKENDS = ("backend-1", "backend-2", "backend-3")
STORES = ("mysql", "mongodb", "redis")
ADMIN, ADMIN_PASSWORD = "admin", "correct horse battery"
ADDED = 18
"""Machines of the load script: at weights of 3, 2 and 4, every replica adds some."""
LINE = re.compile(
    r'^(?P<upstream>[\d.:]+)(?:, [\d.:]+)* - \S+ \[[^]]+\] "POST /api/maquinas/agregar HTTP/1.1" (?P<status>\d+) '
)


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    return {"http": free_port(), "status": free_port()}


@pytest.fixture(scope="module")
def project(engine: Engine, ports: dict[str, int]) -> Iterator[Project]:
    environment = {
        "MARIADB_PASSWORD": "NotASecretOfAnybody",
        "PARCELA_SECRET_KEY": "the key of a test, long enough to be one",
        "PARCELA_ADMIN_PASSWORD": ADMIN_PASSWORD,
        "SIGLAB_HTTP_PORT": str(ports["http"]),
        "SIGLAB_STATUS_PORT": str(ports["status"]),
    }
    project = Project(engine, "siglab-test", "compose.siglab.yaml", environment)
    try:
        project.up((*STORES, *BACKENDS, "nginx"))
        yield project
    finally:
        project.down()


@pytest.fixture
def url(ports: dict[str, int]) -> str:
    return f"http://127.0.0.1:{ports['http']}"


def personal_token(url: str) -> str:
    """A token for the load script, which cannot log in."""
    body = {"email": "admin@parcela.local", "password": ADMIN_PASSWORD}
    session = httpx2.post(f"{url}/api/v1/login", json=body, timeout=60).raise_for_status().json()["access_token"]
    made = httpx2.post(
        f"{url}/api/v1/tokens/",
        json={"name": "load script", "scopes": ["machine:write"]},
        headers={"Authorization": f"Bearer {session}"},
        timeout=60,
    )
    assert made.status_code == 201, made.text
    return str(made.json()["token"])


def test_pages_and_load_script_through_nginx_and_a_restart(project: Project, url: str, engine: Engine) -> None:
    pages, script = Pages(url), LoadScript(url, personal_token(url))
    try:
        pages.log_in("admin", ADMIN_PASSWORD)
        codes = [script.iteration(number, 1_795_000_000_000) for number in range(ADDED)]
        assert set(script.statuses) == {200}
        assert set(codes) <= pages.machines().keys()
        pages.add_record(codes[0])
        history = pages.records(codes[0])
        assert len(history) == 1

        log = engine.podman("exec", project.container("nginx"), "cat", "/var/log/nginx/balanceo_siglab.log")
        lines = [LINE.match(line) for line in log.splitlines()]
        counted = dashboard_counts([(line["upstream"], int(line["status"])) for line in lines if line])
        assert sum(counted.values()) == ADDED
        assert len(counted) == len(BACKENDS), counted

        project.restart(*STORES, *BACKENDS, "nginx")
        project.wait((*STORES, *BACKENDS, "nginx"))
        assert set(codes) <= pages.machines().keys()
        assert pages.records(codes[0]) == history
    finally:
        pages.close()
        script.close()


def test_nginx_says_how_it_is(ports: dict[str, int], project: Project, url: str) -> None:
    assert httpx2.get(f"{url}/health", timeout=60).text.strip() == "healthy", project.logs("nginx")
    status = httpx2.get(f"http://127.0.0.1:{ports['status']}/nginx_status", timeout=60)
    assert "Active connections" in status.text


def test_a_replica_that_dies_is_left_out(engine: Engine, project: Project, url: str) -> None:
    pages = Pages(url)
    try:
        pages.log_in("admin", ADMIN_PASSWORD)
        engine.podman("stop", "--time", "0", project.container("backend-3"))
        seen = {pages.fetch("GET", "/api/maquinas/listar").headers["X-Server-Id"] for _ in range(8)}
        assert seen == {"1", "2"}
        engine.podman("start", project.container("backend-3"))
        project.wait(["backend-3"])
        deadline = time.monotonic() + 120
        while pages.fetch("GET", "/api/maquinas/listar").headers["X-Server-Id"] != "3":
            assert time.monotonic() < deadline, "the replica gets no requests any more"
    finally:
        pages.close()
