"""What the tests of catalogue, templates and idempotency share: a migrated database, callers, a small app."""

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, FastAPI

from parcela.api.dependencies.caller import get_current_user
from parcela.api.errors import ProblemDetails, install_error_handlers
from parcela.core.permissions import ADMIN_ROLE, CLIENT_PERMISSIONS, CLIENT_ROLE
from parcela.core.settings import Settings
from parcela.db.database import Database
from parcela.db.migrate import upgrade
from parcela.models import User
from parcela.repositories.uow import UnitOfWorkFactory
from parcela.services.access import Caller
from parcela.services.catalogue.flavours import FlavourService
from parcela.services.catalogue.image_files.image_store import ImageStore
from parcela.services.catalogue.images import ImageService
from parcela.services.catalogue.zones import ZoneService
from parcela.services.compute.hosts import HostService
from parcela.services.compute.templates import TemplateService
from parcela.services.idempotency import IdempotencyService
from tests.support.servers import empty_database, why_missing

ADMIN_ID, ALICE_ID, BOB_ID = 1, 2, 3
ADMIN = Caller(ADMIN_ID, "admin", ADMIN_ROLE, frozenset({"*"}), is_superuser=True)
OPERATOR = Caller(ADMIN_ID, "admin", "operator", frozenset({"catalogue:*", "host:*"}))
ALICE = Caller(ALICE_ID, "alice", CLIENT_ROLE, frozenset(CLIENT_PERMISSIONS))
BOB = Caller(BOB_ID, "bob", CLIENT_ROLE, frozenset(CLIENT_PERMISSIONS))
NOBODY = Caller(BOB_ID, "bob", "none", frozenset())
SERVERS = ("sqlite", "postgres", "mariadb")


@dataclass
class Clock:
    """A clock that tests turn."""

    now: datetime = field(default_factory=lambda: datetime(2026, 1, 1, 12, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Lab:
    """Services on a real database and a real image store."""

    folder: Path
    settings: Settings
    clock: Clock
    uows: UnitOfWorkFactory
    store: ImageStore
    images: ImageService
    flavours: FlavourService = field(default_factory=FlavourService)
    zones: ZoneService = field(default_factory=ZoneService)
    hosts: HostService = field(default_factory=HostService)
    templates: TemplateService = field(default_factory=TemplateService)
    idempotency: IdempotencyService = field(default_factory=IdempotencyService)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the newest schema, to be copied."""
    path = tmp_path_factory.mktemp("schema") / "parcela.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(migrated: Path, tmp_path: Path) -> str:
    path = tmp_path / "parcela.db"
    shutil.copyfile(migrated, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=[server for server in SERVERS if not why_missing(server)])
def any_url(request: pytest.FixtureRequest, sqlite_url: str, tmp_path: Path) -> Iterator[str]:
    """A fresh database on each server there is."""
    if request.param == "sqlite":
        yield sqlite_url
        return
    with empty_database(request.param, tmp_path) as url:
        upgrade(url)
        yield url


@asynccontextmanager
async def open_lab(url: str, folder: Path, **values: Any) -> AsyncIterator[Lab]:
    """Users 1 (admin), 2 (alice) and 3 (bob), and all services of this part."""
    settings = Settings(_env_file=None, PARCELA_DATA_DIR=folder / "data", **values)
    database = Database(url)
    clock = Clock()
    uows = UnitOfWorkFactory(database, clock)
    store = ImageStore(settings.data_dir)
    lab = Lab(folder, settings, clock, uows, store, ImageService(uows, settings, store))
    try:
        async with uows.write() as uow:
            for name in ("admin", "alice", "bob"):
                mail = f"{name}@parcela.local"
                await uow.users.add(User(email=mail, username=name, password_hash="-", role_id=1, created_at=clock()))
            await uow.commit()
        yield lab
    finally:
        await lab.images.aclose()
        await database.aclose()


@pytest.fixture
async def lab(sqlite_url: str, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Lab]:
    async with open_lab(sqlite_url, tmp_path, PARCELA_MAX_UPLOAD_BYTES=4 * 1024 * 1024) as made:
        yield made


@dataclass
class Client:
    """An HTTP client of a small app; ``caller`` is who it is."""

    http: httpx2.AsyncClient
    app: FastAPI
    caller: Caller = ADMIN

    async def call(self, method: str, path: str, caller: Caller | None = None, **options: Any) -> httpx2.Response:
        self.caller = caller or self.caller
        return await self.http.request(method, f"/api/v1{path}", **options)


@asynccontextmanager
async def open_client(lab: Lab, *routers: APIRouter) -> AsyncIterator[Client]:
    """An app with some routers, as main.py builds it but without login."""
    app = FastAPI(max_body_size=lab.settings.max_body_bytes)
    install_error_handlers(app)
    app.state.services = SimpleNamespace(**{name: getattr(lab, name) for name in vars(lab)})
    for router in routers:
        app.include_router(router)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://lab") as http:
        client = Client(http, app)
        app.dependency_overrides[get_current_user] = lambda: client.caller
        yield client


def problem(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """Check that an answer is this problem document."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert ProblemDetails.model_validate(body).code == code, body
    return body
