"""A real ``parcela serve`` in a process of its own, as the clients of the older APIs meet it: an address."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import httpx2

from tests.lab.service import free_port

START_TIMEOUT_S = 300
STOP_TIMEOUT_S = 120
REQUEST_TIMEOUT_S = 60
ADMIN_EMAIL, ADMIN_PASSWORD = "admin@parcela.local", "adminadmin"
PASSWORD = "correct horse battery"
REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        url: ``http://127.0.0.1:<port>``, without a slash at the end.
        database: ``sqlite``, ``postgres`` or ``mariadb``.
        pid: of the server's process.
        log: what it wrote.
    """

    url: str
    database: str
    pid: int
    log: Path
    numbers: "count[int]"

    def unique(self, noun: str) -> str:
        """A name that nobody has on this server."""
        return f"{noun}{next(self.numbers)}"

    def admin_headers(self) -> dict[str, str]:
        """A session of the first administrator by the canonical API, to prepare what an older API cannot."""
        body = {"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD}
        answer = httpx2.post(f"{self.url}/api/v1/login", json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def user(self, **fields: object) -> str:
        """A new user of the canonical API (role ``client`` unless told otherwise), with ``PASSWORD``; the username."""
        name = self.unique("user")
        body = {"username": name, "email": f"{name}@class.example", "password": PASSWORD} | fields
        answer = httpx2.post(f"{self.url}/api/v1/users/", json=body, headers=self.admin_headers(), timeout=60)
        assert answer.status_code == 201, answer.text
        return name


def build_guest(folder: Path) -> None:
    """A bundled guest of a few bytes: the simulated hypervisor does not read it."""
    folder.mkdir()
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(folder / "disk.qcow2"), "64M"], check=True)
    disk = (folder / "disk.qcow2").read_bytes()
    part = {"file": "disk.qcow2", "sha256": hashlib.sha256(disk).hexdigest(), "size_bytes": len(disk)}
    manifest = {"name": "tiny", "version": "test", "disk": part, "ready_marker": "PARCELA READY"}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def environment(folder: Path, port: int, database_url: str, **more: str) -> dict[str, str]:
    """Settings of a server, without those of whoever runs the tests."""
    foreign = ("PARCELA_", "DATABASE_URL", "REDIS_URL", "MONGO_URL")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return (
        kept
        | {
            "DATABASE_URL": database_url,
            "PARCELA_DATA_DIR": str(folder / "data"),
            "PARCELA_GUEST_DIR": str(folder / "guest"),
            "PARCELA_TIME_ZONE": "UTC",
            "PARCELA_HYPERVISOR": "simulated",
            "PARCELA_ADMIN_EMAIL": ADMIN_EMAIL,
            "PARCELA_ADMIN_PASSWORD": ADMIN_PASSWORD,
            "PARCELA_PORT": str(port),
            "PARCELA_LOGIN_ATTEMPTS_PER_ADDRESS": "10000",  # every client of the tests has the same address
            "PARCELA_REGISTRATIONS_PER_ADDRESS": "1000",
        }
        | more
    )


@contextmanager
def serving(folder: Path, database: str, database_url: str, **more: str) -> Iterator[Server]:
    """Start a server on a database, wait until it answers, and stop it at the end."""
    build_guest(folder / "guest")
    port = free_port()
    log = folder / "log"
    environ = environment(folder, port, database_url, **more)
    with log.open("wb") as output:
        command = [sys.executable, "-m", "parcela.cli", "serve"]
        process = subprocess.Popen(command, env=environ, cwd=folder, stdout=output, stderr=output)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(url, process, log)
        yield Server(url, database, process.pid, log, count(1))
    finally:
        process.terminate()
        process.wait(timeout=STOP_TIMEOUT_S)


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx2.get(f"{url}/api/v1/system/health", timeout=REQUEST_TIMEOUT_S).status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.1)  # between two looks, not a guess of how long it takes
    raise AssertionError(f"the server did not start:\n{log.read_text()}")
