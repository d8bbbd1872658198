"""A real ``parcela serve`` on a free port, with the simulated hypervisor; one for all tests of this folder."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tests.lab.service import free_port
from tests.unit.cli.support import Result, run

START_TIMEOUT_S = 300
STOP_TIMEOUT_S = 120
REQUEST_TIMEOUT_S = 60
FOREIGN = ("PARCELA_", "DATABASE_URL", "REDIS_URL", "MONGO_URL")
ADMIN, PASSWORD = "admin@parcela.local", "adminadmin"


@dataclass(frozen=True)
class Server:
    url: str
    data_dir: Path
    environ: dict[str, str]


def server_environment(folder: Path, port: int) -> dict[str, str]:
    """Settings of a server, without those of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return kept | {
        "PARCELA_DATA_DIR": str(folder / "data"),
        "PARCELA_GUEST_DIR": str(folder / "guest"),
        "PARCELA_HYPERVISOR": "simulated",
        "PARCELA_ADMIN_PASSWORD": PASSWORD,
        "PARCELA_PORT": str(port),
        "PARCELA_LOGIN_ATTEMPTS_PER_ADDRESS": "10000",
    }


def build_guest(folder: Path) -> None:
    """A guest of a few bytes: the simulated hypervisor does not read it."""
    folder.mkdir()
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(folder / "disk.qcow2"), "64M"], check=True)
    disk = (folder / "disk.qcow2").read_bytes()
    part = {"file": "disk.qcow2", "sha256": hashlib.sha256(disk).hexdigest(), "size_bytes": len(disk)}
    manifest = {"name": "tiny", "version": "test", "disk": part, "ready_marker": "PARCELA READY"}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx2.get(f"{url}/api/v1/system/health", timeout=REQUEST_TIMEOUT_S).status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.1)  # between two looks, not a guess of how long it takes
    raise AssertionError(f"the server did not start:\n{log.read_text()}")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("cli-server")
    build_guest(folder / "guest")
    port = free_port()
    environ = server_environment(folder, port)
    url, log = f"http://127.0.0.1:{port}", folder / "log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "parcela.cli", "serve"]
        process = subprocess.Popen(command, env=environ, cwd=folder, stdout=output, stderr=output)
    try:
        wait_until_ready(url, process, log)
        yield Server(url, folder / "data", environ)
    finally:
        process.terminate()
        process.wait(timeout=STOP_TIMEOUT_S)


@pytest.fixture
def strangers(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Server:
    """The server is known, nobody is logged in."""
    monkeypatch.setenv("PARCELA_CONFIG", str(tmp_path / "cli.json"))
    monkeypatch.setenv("PARCELA_URL", server.url)
    monkeypatch.delenv("PARCELA_TOKEN", raising=False)
    monkeypatch.chdir(tmp_path)
    return server


@pytest.fixture
def admin(strangers: Server) -> Server:
    """Logged in as the administrator."""
    done(run("login", "--email", ADMIN, "--password-stdin", stdin=f"{PASSWORD}\n"))
    return strangers


def done(result: Result) -> Result:
    """It must have worked."""
    assert result.code == 0, result.err
    return result
