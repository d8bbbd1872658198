"""A real server on a free port, with the simulated hypervisor, in a thread of the test run."""

import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx2
import uvicorn

from parcela.core.passwords import PasswordHasher
from parcela.core.settings import Settings
from parcela.db.migrate import upgrade
from parcela.hypervisors.registry import DriverRegistry
from parcela.hypervisors.simulated import SimulatedDriver, SimulatedWorld
from parcela.main import create_app
from tests.integration.catalogue.disks import raw_disk
from tests.support.clock import StoppableClock

PASSWORD = "correct horse battery"
TIMEOUT_S = 120


@dataclass
class Server:
    """A running server.

    ``world`` is what it drives: its switches may be thrown from here. ``clock`` is what it takes the time from.
    """

    url: str
    world: SimulatedWorld
    clock: StoppableClock
    numbers: "count[int]" = field(default_factory=lambda: count(1))

    @contextmanager
    def admin(self) -> Iterator[httpx2.Client]:
        """A client of the API with the administrator's token."""
        with httpx2.Client(base_url=self.url, timeout=TIMEOUT_S) as client:
            answer = client.post("/api/v1/login", json={"username": "admin", "password": PASSWORD})
            client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
            yield client

    def user(self, locale: str = "en", **fields: str) -> str:
        """A new user with the password of all; the username."""
        name = f"user-{next(self.numbers)}"
        body = {"username": name, "email": f"{name}@class.example", "password": PASSWORD, "locale": locale}
        with self.admin() as client:
            answer = client.post("/api/v1/users/", json=body | fields)
        assert answer.status_code == 201, answer.text
        return name

    def template(self, name: str, document: dict[str, object]) -> int:
        """A new public template; its id."""
        with self.admin() as client:
            body = {"name": name, "document": document, "visibility": "public"}
            answer = client.post("/api/v1/templates/", json=body)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])


def guest_folder(folder: Path) -> Path:
    """A bundled guest as ``guest/build.sh`` leaves it, but one that only a simulated host would boot."""
    folder.mkdir()
    disk = raw_disk(64 * 1024)
    (folder / "disk.img").write_bytes(disk)
    manifest = {
        "name": "tiny",
        "version": "1",
        "disk": {"file": "disk.img", "sha256": hashlib.sha256(disk).hexdigest(), "size_bytes": len(disk)},
        "min_memory_mib": 128,
        "ready_marker": "PARCELA READY",
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@contextmanager
def running_server(folder: Path, **values: Any) -> Iterator[Server]:
    """Start one and wait until it answers; stop it at the end."""
    fixed: dict[str, Any] = {
        "PARCELA_DATA_DIR": folder / "data",
        "DATABASE_URL": "",
        "PARCELA_HYPERVISOR": "simulated",
        "PARCELA_GUEST_DIR": guest_folder(folder / "guest"),
        "PARCELA_ADMIN_PASSWORD": PASSWORD,
        "PARCELA_SECRET_KEY": "k" * 40,
        "PARCELA_SWEEP_INTERVAL_S": 1,
        # Every browser of the tests has the same address.
        "PARCELA_LOGIN_ATTEMPTS_PER_ADDRESS": 1000,
    }
    settings = Settings(_env_file=None, **(fixed | values))
    settings.data_dir.mkdir()
    upgrade(settings.resolved_database_url)
    world = SimulatedWorld()

    def registry(_settings: Settings, installation: str) -> DriverRegistry:
        return DriverRegistry({"simulated": lambda name: SimulatedDriver(world, name, installation)})

    ready = threading.Event()
    clock = StoppableClock()
    app = create_app(settings, registry, clock=clock, on_ready=lambda _admin: ready.set())
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    # Real bcrypt, but of the fewest rounds: its threads give way to everything else, and on a busy machine a login that
    # hashes for a quarter of a second may take half a minute.
    cheap = patch("parcela.main.PasswordHasher", partial(PasswordHasher, 4))
    with cheap, socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), name="server under test")
        thread.start()
        try:
            assert ready.wait(TIMEOUT_S), "the server did not start"
            yield Server(f"http://127.0.0.1:{listener.getsockname()[1]}", world, clock)
        finally:
            server.should_exit = True
            thread.join(TIMEOUT_S)
