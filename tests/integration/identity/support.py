"""What the tests of identity share: a fresh migrated database, the services, a clock, a small app."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
from fastapi import FastAPI

from parcela.api.errors import ProblemDetails, install_error_handlers
from parcela.api.routers import auth, password_resets, roles, second_factor, sessions, tokens, users
from parcela.core.passwords import Lane, PasswordHasher
from parcela.core.settings import Settings
from parcela.core.tokens import TokenSigner
from parcela.db.database import Database
from parcela.models import User
from parcela.repositories.events import EventRecord
from parcela.repositories.uow import UnitOfWorkFactory
from parcela.services.access import Caller
from parcela.services.idempotency import IdempotencyService
from parcela.services.identity.auth import AuthService
from parcela.services.identity.password_resets import PasswordResetService
from parcela.services.identity.prolonging import ProlongingService
from parcela.services.identity.registration import RegistrationService
from parcela.services.identity.roles import RoleService
from parcela.services.identity.second_factors import SecondFactorService
from parcela.services.identity.services import build_identity
from parcela.services.identity.sessions import SessionService, TokenPair
from parcela.services.identity.single_sign_on.single_sign_on import SingleSignOnService
from parcela.services.identity.users import NewUser, UserService
from parcela.services.mail.outbox import MailService

SECRET = "k" * 40
PASSWORD = "correct horse"
ADDRESS = "192.0.2.7"
ADMIN_ID = 1


@dataclass
class Clock:
    """A clock that tests turn."""

    now: datetime = field(default_factory=lambda: datetime(2030, 1, 1, 12, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def turn(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class CountingHasher(PasswordHasher):
    """A cheap hasher that remembers against what it verified."""

    def __init__(self) -> None:
        super().__init__(rounds=4)
        self.verified: list[str | None] = []

    async def verify(self, password: str, hashed: str | None, lane: Lane = Lane.KNOWN) -> bool:
        self.verified.append(hashed)
        return await super().verify(password, hashed, lane)


@dataclass
class Identity:
    """The services on a real database; user 1 is the superuser ``admin``."""

    settings: Settings
    clock: Clock
    uows: UnitOfWorkFactory
    hasher: CountingHasher
    signer: TokenSigner
    auth: AuthService
    sessions: SessionService
    prolonging: ProlongingService
    second_factors: SecondFactorService
    mail: MailService
    password_resets: PasswordResetService
    single_sign_on: SingleSignOnService
    users: UserService
    registration: RegistrationService
    roles: RoleService
    idempotency: IdempotencyService = field(default_factory=IdempotencyService)
    events: list[EventRecord] = field(default_factory=list)

    def event_types(self) -> list[str]:
        return [event.type for event in self.events]

    async def caller(self, name: str, password: str = PASSWORD) -> Caller:
        """Log in and authenticate."""
        pair = await self.login(name, password)
        return await self.auth.authenticate(pair.access_token, ADDRESS)

    async def login(self, name: str, password: str = PASSWORD, address: str = ADDRESS) -> TokenPair:
        return await self.auth.login(name, password, address)

    async def add_user(self, name: str, **facts: Any) -> int:
        """A user made by the administrator."""
        new = NewUser(
            email=f"{name}@lab.local",
            username=name,
            password_hash=await self.users.hash_password(PASSWORD),
            **facts,
        )
        async with self.uows.write() as uow:
            user = await self.users.create(uow, ROOT, new)
            await uow.commit()
        return user.id

    async def add_role(self, name: str, *permissions: str) -> int:
        async with self.uows.write() as uow:
            role = await self.roles.create(uow, ROOT, name=name, permissions=permissions)
            await uow.commit()
        return role.id


ROOT = Caller(ADMIN_ID, "admin", "admin", frozenset({"*"}), is_superuser=True)


@asynccontextmanager
async def open_identity(url: str, folder: Path, **settings: Any) -> AsyncIterator[Identity]:
    database = Database(url)
    clock = Clock()
    uows = UnitOfWorkFactory(database, clock)
    made_settings = Settings(_env_file=None, PARCELA_DATA_DIR=folder, **settings)
    hasher = CountingHasher()
    signer = TokenSigner(SECRET, clock)
    made = Identity(
        settings=made_settings,
        clock=clock,
        uows=uows,
        hasher=hasher,
        signer=signer,
        **vars(build_identity(uows, hasher, SECRET, made_settings)),
    )

    def publish(records: Any) -> None:
        made.auth.on_events(records)
        made.events.extend(records)

    uows.publish_to(publish)
    try:
        async with uows.write() as uow:
            await uow.users.add(
                User(
                    email="admin@lab.local",
                    username="admin",
                    password_hash=await hasher.hash(PASSWORD),
                    role_id=1,
                    is_superuser=True,
                    created_at=clock(),
                )
            )
            await uow.commit()
        yield made
    finally:
        await made.auth.aclose()
        await made.mail.aclose()
        await made.single_sign_on.aclose()
        hasher.close()
        await database.aclose()


@dataclass
class Client:
    """An HTTP client of a small app with the routers of identity."""

    http: httpx2.AsyncClient
    app: FastAPI
    token: str = ""

    async def call(self, method: str, path: str, *, token: str | None = None, **options: Any) -> httpx2.Response:
        bearer = self.token if token is None else token
        headers = dict(options.pop("headers", {}))
        if bearer:
            headers["Authorization"] = f"Bearer {bearer}"
        return await self.http.request(method, f"/api/v1{path}", headers=headers, **options)

    async def login(self, name: str, password: str = PASSWORD) -> dict[str, Any]:
        """Log in; later calls use the token."""
        answer = await self.call("POST", "/login", token="", json={"email": name, "password": password})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        self.token = body["access_token"]
        return body


@asynccontextmanager
async def open_client(identity: Identity) -> AsyncIterator[Client]:
    app = FastAPI()
    install_error_handlers(app)
    app.state.services = SimpleNamespace(**vars(identity))
    for module in (auth, password_resets, second_factor, sessions, users, roles, tokens):
        app.include_router(module.router)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False, client=(ADDRESS, 5000))
    async with httpx2.AsyncClient(transport=transport, base_url="http://lab") as http:
        yield Client(http, app)


def problem(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """Check that an answer is this problem document."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert ProblemDetails.model_validate(body).code == code, body
    return body


async def together(*work: Any) -> list[Any]:
    """Results or errors of coroutines that run side by side."""
    return list(await asyncio.gather(*work, return_exceptions=True))
