"""The whole application, in process, on the simulated hypervisor, and factories of everything it serves."""

import asyncio
import hashlib
import itertools
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx2
from fastapi import FastAPI
from sqlalchemy import text

from parcela.api.errors import ProblemDetails
from parcela.core.passwords import PasswordHasher
from parcela.core.settings import Settings
from parcela.hypervisors.registry import DriverRegistry
from parcela.hypervisors.simulated import Delays, SimulatedDriver, SimulatedWorld
from parcela.hypervisors.simulated.faults import Failure, Gate
from parcela.main import create_app
from parcela.services.container import Services
from parcela.wiring.workers import Workers
from tests.integration.catalogue.disks import raw_disk
from tests.integration.http.asgi import PATIENCE_S
from tests.support.clock import StoppableClock

API = "/api/v1"
PASSWORD = "correct horse battery"
ORIGIN = "https://class.example"
MIB = 1024 * 1024
READING = [
    "audit:read",
    "catalogue:read",
    "event:read_all",
    "host:read",
    "machine:read",
    "maintenance:read",
    "operation:read_all",
    "project:read_all",
    "role:read",
    "slice:read_all",
    "system:read",
    "template:read_all",
    "user:read",
    "vm:read_all",
    "webhook:read_all",
]
"""Scopes of a token that may look at everything and change nothing."""
ONE_VM = {"vms": [{"name": "web", "image": "tiny", "flavour": "tiny"}]}


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


def make_settings(folder: Path, schema: Path, **values: Any) -> Settings:
    """Settings of an installation in a folder, with a database that is migrated already."""
    data = folder / "data"
    data.mkdir(parents=True)
    shutil.copyfile(schema, data / "parcela.db")
    fixed: dict[str, Any] = {
        "PARCELA_DATA_DIR": data,
        "PARCELA_SERVER_ID": "lab-1",
        "PARCELA_TIME_ZONE": "UTC",
        "DATABASE_URL": "",
        "PARCELA_HYPERVISOR": "simulated",
        "PARCELA_GUEST_DIR": guest_folder(folder / "guest"),
        "PARCELA_ADMIN_PASSWORD": PASSWORD,
        "PARCELA_SECRET_KEY": "k" * 40,
        "PARCELA_CORS_ORIGINS": ORIGIN,
        "PARCELA_SWEEP_INTERVAL_S": 3600,
        "PARCELA_MAX_UPLOAD_BYTES": 4 * MIB,
        "PARCELA_LOGIN_ATTEMPTS": 100,
        # A request that reads while it holds a session for reading would wait for itself: here none may.
        "PARCELA_DATABASE_POOL_SIZE": 1,
        # One owner has all the things of a module.
        "PARCELA_QUOTA_VMS": 0,
        "PARCELA_QUOTA_SLICES": 0,
        "PARCELA_QUOTA_VCPUS": 0,
    }
    return Settings(_env_file=None, **(fixed | values))


@dataclass(frozen=True)
class Person:
    """Somebody with a session or a personal token."""

    name: str
    id: int
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@dataclass
class Lab:
    """The running application and who uses it.

    ``owner`` and ``stranger`` are clients, ``reader`` is a personal token of the administrator that may only read.
    """

    app: FastAPI
    http: httpx2.AsyncClient
    services: Services
    workers: Workers
    world: SimulatedWorld
    clock: StoppableClock
    people: dict[str, Person] = field(default_factory=dict)
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    held: dict[int, Gate] = field(default_factory=dict)
    in_project: dict[str, int] = field(default_factory=dict)
    """``project_id`` of what is made from now on; empty for none."""

    def unique(self, noun: str) -> str:
        """A name nobody else has."""
        return f"{noun}-{next(self.numbers)}"

    async def call(
        self, method: str, path: str, by: str | None = "owner", *, headers: dict[str, str] | None = None, **options: Any
    ) -> httpx2.Response:
        """One request, by somebody or nobody; ``path`` is below ``/api/v1``."""
        auth = self.people[by].headers if by else {}
        return await self.http.request(method, API + path, headers=auth | (headers or {}), **options)

    async def make(self, path: str, by: str = "owner", status: int = 201, **options: Any) -> dict[str, Any]:
        """POST something that must work; the answer."""
        answer = await self.call("POST", path, by, **options)
        assert answer.status_code == status, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def settle(self) -> None:
        """Wait until no operation runs, but those that are held."""
        async with asyncio.timeout(PATIENCE_S):
            while tasks := [task for key, task in self.workers.engine._tasks.items() if key not in self.held]:
                await asyncio.wait(tasks)

    # ---- people

    async def login(self, name: str, password: str = PASSWORD) -> dict[str, Any]:
        """The tokens of a new session."""
        return await self.make("/login", by=None, status=200, json={"email": name, "password": password})  # type: ignore[arg-type]

    async def enter(self, key: str, name: str, user_id: int) -> Person:
        """Log somebody in under a key of ``people``."""
        person = Person(name, user_id, (await self.login(name))["access_token"])
        self.people[key] = person
        return person

    async def user(self, **facts: Any) -> dict[str, Any]:
        """A new client."""
        name = self.unique("user")
        body = {"email": f"{name}@class.example", "username": name, "password": PASSWORD} | facts
        return await self.make("/users/", "admin", json=body)

    async def role(self) -> dict[str, Any]:
        return await self.make("/roles/", "admin", json={"name": self.unique("role"), "permissions": ["host:read"]})

    async def token(self, by: str = "owner", *scopes: str) -> dict[str, Any]:
        """A personal token, secret included."""
        return await self.make("/tokens/", by, json={"name": self.unique("token"), "scopes": list(scopes or ["*"])})

    # ---- catalogue

    async def flavour(self) -> dict[str, Any]:
        body = {"name": self.unique("flavour"), "vcpus": 1, "memory_mib": 128, "disk_gib": 1}
        return await self.make("/flavours/", "admin", json=body)

    async def zone(self) -> dict[str, Any]:
        return await self.make("/zones/", "admin", json={"name": self.unique("zone"), "provider": "simulated"})

    async def host(self) -> dict[str, Any]:
        body = {"name": self.unique("host"), "zone_id": (await self.zone())["id"], "vcpus": 4, "memory_mib": 4096}
        return await self.make("/hosts/", "admin", json=body | {"disk_gib": 100})

    async def image(self, by: str = "owner") -> dict[str, Any]:
        """A private image."""
        params = {"name": self.unique("image")} | self.in_project
        return await self.make("/images/", by, params=params, content=raw_disk())

    async def template(self, by: str = "owner", **facts: Any) -> dict[str, Any]:
        """A private template of one VM."""
        return await self.make(
            "/templates/", by, json={"name": self.unique("template"), "document": ONE_VM} | self.in_project | facts
        )

    async def project(self, **members: str) -> dict[str, Any]:
        """A project with somebody in it (``user_id``); keywords are more members, by username, with their role."""
        made = await self.make("/projects/", "admin", json={"name": self.unique("project")})
        somebody = (await self.user())["username"]
        for name, role in {somebody: "viewer", **members}.items():
            added = await self.make(f"/projects/{made['id']}/members", "admin", json={"user": name, "role": role})
            if name == somebody:
                made["user_id"] = added["user_id"]
            if name not in self.people:
                await self.enter(name, name, added["user_id"])
            await self.make(f"/projects/{made['id']}/accept", name, 200)
        return made

    async def invitation(self) -> dict[str, Any]:
        """An invitation into a project of nobody; ``id`` is that of the project."""
        return await self._invited(await self.project())

    async def invitation_in_project(self) -> dict[str, Any]:
        """The same, with people ``member`` and ``manager`` in the project."""
        return await self._invited(await self.project(owner="member", member="member", manager="manager"))

    async def _invited(self, project: dict[str, Any]) -> dict[str, Any]:
        body = {"email": f"{self.unique('guest')}@class.example"}
        made = await self.make(f"/projects/{project['id']}/invitations", "admin", json=body)
        return {**project, "invitation_id": made["id"]}

    async def classroom(self) -> int:
        """A project of the owner, who is a member, with people ``member`` and ``manager``; its id."""
        for key in ("member", "manager"):
            made = await self.user(username=key, email=f"{key}@class.example")
            await self.enter(key, key, made["id"])
        return int((await self.project(owner="member", member="member", manager="manager"))["id"])

    # ---- things that run

    async def vm(self, state: str = "running", by: str = "owner") -> dict[str, Any]:
        """A stand-alone VM: running, stopped or paused."""
        made = await self.make(
            "/virtual-machines/",
            by,
            json={"name": self.unique("vm"), "os": "tiny", "flavour": "tiny"} | self.in_project,
        )
        await self.settle()
        await self._bring("/virtual-machines", made["id"], state, by)
        return await self._read(f"/virtual-machines/{made['id']}", by)

    async def slice_(self, state: str = "running", by: str = "owner") -> dict[str, Any]:
        """A slice of one VM: draft, running, stopped or paused."""
        template = await self.template(by)
        made = await self.make("/slices/", by, json={"template_id": template["id"]} | self.in_project)
        if state != "draft":
            await self.make(f"/slices/{made['id']}/deploy", by, 202)
            await self.settle()
            await self._bring("/slices", made["id"], state, by)
        return await self._read(f"/slices/{made['id']}", by)

    async def _bring(self, prefix: str, row_id: int, state: str, by: str) -> None:
        action = {"stopped": "stop", "paused": "suspend"}.get(state)
        if action:
            await self.make(f"{prefix}/{row_id}/{action}", by, 202)
            await self.settle()

    async def _read(self, path: str, by: str) -> dict[str, Any]:
        answer = await self.call("GET", path, by)
        assert answer.status_code == 200, answer.text
        seen: dict[str, Any] = answer.json()
        return seen

    async def operation(self, state: str = "succeeded", by: str = "owner") -> dict[str, Any]:
        """The operation that makes a VM: held (until ``settle_held``), failed or succeeded."""
        name = self.unique("vm")
        gate = self.world.faults.block("create_vm", vm=name) if state == "held" else None
        if state == "failed":
            self.world.faults.fail("create_vm", vm=name, failure=Failure.FATAL)
        made = await self.make(
            "/virtual-machines/", by, json={"name": name, "os": "tiny", "flavour": "tiny"} | self.in_project
        )
        if gate:
            async with asyncio.timeout(PATIENCE_S):
                await gate.reached()
            self.held[made["operation_id"]] = gate
        await self.settle()
        return await self._read(f"/operations/{made['operation_id']}", by)

    async def slice_operation(self, state: str = "held", by: str = "owner") -> dict[str, Any]:
        """The operation that makes a slice of one VM, held or failed; its ``slice_id`` is told too."""
        name = self.unique("vm")
        gate = self.world.faults.block("create_vm", vm=name) if state == "held" else None
        if state == "failed":
            self.world.faults.fail("create_vm", vm=name, failure=Failure.FATAL)
        template = await self.template(by, document={"vms": [ONE_VM["vms"][0] | {"name": name}]})
        made = await self.make("/slices/", by, json={"template_id": template["id"]} | self.in_project)
        operation = await self.make(f"/slices/{made['id']}/deploy", by, 202)
        if gate:
            async with asyncio.timeout(PATIENCE_S):
                await gate.reached()
            self.held[operation["id"]] = gate
        await self.settle()
        return await self._read(f"/operations/{operation['id']}", by)

    async def release(self, operation_id: int) -> None:
        """Let go of a held operation, which occupies a place on its host, and wait for its end."""
        if gate := self.held.pop(operation_id, None):
            gate.release()
            await self.settle()

    async def settle_held(self) -> None:
        """Let go of everything that is held, and wait for it."""
        self.world.faults.clear()
        self.held.clear()
        await self.settle()

    # ---- the database behind it all

    async def counts(self) -> dict[str, int]:
        """Rows per table, without what may grow by mere asking (counters of failed logins, notes of refusals)."""
        counts = {}
        async with self.services.uows.database.read_session() as session:
            names = await session.scalars(text("SELECT name FROM sqlite_master WHERE type = 'table'"))
            for name in sorted(set(names) - {"login_throttles", "sqlite_sequence", "audit_entries"}):
                counts[name] = int((await session.execute(text(f'SELECT count(*) FROM "{name}"'))).scalar_one())  # noqa: S608
        return counts


@asynccontextmanager
async def _cheap_passwords() -> AsyncIterator[None]:
    """Real bcrypt, but of the fewest rounds: a quarter of a second for each login was half of the time of the tests."""
    with patch("parcela.main.PasswordHasher", partial(PasswordHasher, 4)):
        yield


@asynccontextmanager
async def started(settings: Settings, world: SimulatedWorld | None = None) -> AsyncIterator[Lab]:
    """Start the application as a server would; nobody is logged in, and it does by itself what a server does."""
    world = world or SimulatedWorld(delays=Delays.none())

    def registry(_settings: Settings, installation: str) -> DriverRegistry:
        return DriverRegistry({"simulated": lambda name: SimulatedDriver(world, name, installation)})

    clock = StoppableClock()
    app = create_app(settings, registry, clock=clock)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False, client=("192.0.2.7", 5000))
    async with (
        _cheap_passwords(),
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://lab") as http,
    ):
        yield Lab(app, http, app.state.services, app.state.workers, world, clock)


@asynccontextmanager
async def open_lab(settings: Settings, world: SimulatedWorld | None = None) -> AsyncIterator[Lab]:
    """Start the application, with everybody logged in."""
    async with started(settings, world) as lab:
        await lab.workers.webhooks.aclose()
        await lab.workers.reconcilers.aclose()  # nothing happens but what a test asks for
        await lab.enter("admin", "admin", 1)
        for key in ("owner", "stranger"):
            made = await lab.user(username=key, email=f"{key}@class.example")
            await lab.enter(key, key, made["id"])
        reader = await lab.token("admin", *READING)
        lab.people["reader"] = Person("reader", 1, reader["token"])
        try:
            yield lab
        finally:
            await lab.settle_held()


def problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """Check that an answer is this problem document."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert ProblemDetails.model_validate(body).code == code, body
    assert body["status"] == status
    return body
