"""Replicas of one installation, all in this process: each has its own application, caches and connections."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from parcela.core.settings import Settings
from parcela.db.redis import RedisStore
from parcela.hypervisors.registry import DriverRegistry
from parcela.hypervisors.simulated import Delays, SimulatedDriver, SimulatedWorld
from parcela.main import create_app
from parcela.services.container import Services
from tests.integration.http.lab import PASSWORD, guest_folder

API = "/api/v1"
PATIENCE_S = 240.0


@dataclass
class Replica:
    """One application and a client of it; ``headers`` are the administrator's, once somebody has logged in."""

    app: FastAPI
    http: httpx2.AsyncClient
    services: Services
    headers: dict[str, str]

    async def call(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """A request by the administrator; ``path`` is below ``/api/v1``."""
        return await self.http.request(method, API + path, headers=self.headers, **options)

    async def login(self) -> None:
        """Become the administrator here."""
        body = {"email": "admin", "password": PASSWORD}
        answer = await self.http.post(f"{API}/login", json=body)
        assert answer.status_code == 200, answer.text
        self.headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}

    async def vm(self, name: str) -> None:
        """Make a VM."""
        answer = await self.call("POST", "/virtual-machines/", json={"name": name, "os": "tiny", "flavour": "tiny"})
        assert answer.status_code == 201, answer.text

    async def vm_names(self) -> set[str]:
        """Names on the (cached) list of VMs."""
        answer = await self.call("GET", "/virtual-machines/")
        assert answer.status_code == 200, answer.text
        return {vm["name"] for vm in answer.json()["items"]}

    async def health(self) -> dict[str, str]:
        """Status by part."""
        answer = await self.http.get(f"{API}/system/health", headers=self.headers)
        if answer.status_code == 503 and "checks" not in answer.json():
            return {"database": "down"}  # nobody can be recognised as an administrator then
        return {check["name"]: check["status"] for check in answer.json()["checks"]}

    async def until_health(self, part: str, status: str) -> None:
        """Wait until a part has this status."""

        async def there() -> bool:
            return (await self.health()).get(part) == status

        await until(there)


async def until(true: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait until something is true."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = true()
            if await found if inspect.isawaitable(found) else found:
                return
            await asyncio.sleep(0.01)  # between two looks


def replica_settings(folder: Path, database_url: str, **values: Any) -> Settings:
    """Settings of a replica whose reconcilers run once."""
    folder.mkdir(parents=True, exist_ok=True)
    guest = folder / "guest"
    fixed: dict[str, Any] = {
        "PARCELA_DATA_DIR": folder / "data",
        "DATABASE_URL": database_url,
        "PARCELA_HYPERVISOR": "simulated",
        "PARCELA_GUEST_DIR": guest if guest.exists() else guest_folder(guest),
        "PARCELA_ADMIN_PASSWORD": PASSWORD,
        "PARCELA_SECRET_KEY": "k" * 40,
        "PARCELA_SWEEP_INTERVAL_S": 3600,
    }
    return Settings(_env_file=None, **(fixed | values))


@asynccontextmanager
async def replica(settings: Settings, world: SimulatedWorld | None = None) -> AsyncIterator[Replica]:
    """Start one; nobody is logged in."""
    simulated = world or SimulatedWorld(delays=Delays.none())

    def registry(_settings: Settings, installation: str) -> DriverRegistry:
        return DriverRegistry({"simulated": lambda name: SimulatedDriver(simulated, name, installation)})

    with pytest.MonkeyPatch.context() as patch:
        # One that a test kills refuses at once; one that is slow, because this process is, is not lost.
        patch.setattr("parcela.services.stores._redis", partial(RedisStore, timeout_s=PATIENCE_S))
        app = create_app(settings, registry)
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False, client=("192.0.2.7", 5000))
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=transport, base_url="http://lab") as http,
        ):
            yield Replica(app, http, app.state.services, {})
