"""Accounts that strangers make for themselves: who may, how many, and what the answers give away."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from parcela.api.compat.cloud import auth as cloud
from parcela.api.compat.siglab import auth as siglab
from parcela.api.compat.vm_api import users as vm_api
from parcela.api.compat.vms import users as vms
from parcela.api.errors import install_error_handlers
from parcela.core.errors import ParcelaError
from parcela.core.passwords import Lane
from parcela.services.identity.registration import Applicant
from parcela.services.identity.sessions import Origin
from parcela.workers.reconcilers.registrations import UnfinishedRegistrations
from tests.integration.identity.support import ADDRESS, PASSWORD, ROOT, Identity, open_identity, together
from tests.integration.identity.test_password_resets import mail_settings, token_in
from tests.support.mailbox import Mailbox, mail_server

pytestmark = pytest.mark.anyio
NEW = "a new and longer one"
OPEN = {"PARCELA_SELF_REGISTRATION": True}
WEEK_S = 7 * 86400


@pytest.fixture
async def mailing(any_url: str, tmp_path: Path, anyio_backend: str) -> AsyncIterator[tuple[Identity, Mailbox]]:
    with mail_server() as mailbox:
        async with open_identity(any_url, tmp_path, **mail_settings(mailbox.port, **OPEN)) as identity:
            await identity.add_user("ana")
            yield identity, mailbox


@asynccontextmanager
async def older_apis(identity: Identity, address: str = ADDRESS) -> AsyncIterator[httpx2.AsyncClient]:
    """The APIs at which people register."""
    app = FastAPI()
    install_error_handlers(app)
    app.state.services = SimpleNamespace(**vars(identity))
    for router in (cloud.router, siglab.router, vms.router, vm_api.registration):
        app.include_router(router)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False, client=(address, 5000))
    async with httpx2.AsyncClient(transport=transport, base_url="http://lab") as http:
        yield http


async def by_cloud(http: httpx2.AsyncClient, name: str) -> httpx2.Response:
    facts = {"email": f"{name}@lab.local", "full_name": "Somebody", "password": PASSWORD}
    return await http.post("/auth/register", data=facts, headers={"Accept": "application/json"})


async def by_siglab(http: httpx2.AsyncClient, name: str, username: str = "") -> httpx2.Response:
    facts = {"nombre_completo": "Somebody", "username": username or f"{name}-new", "password": PASSWORD}
    return await http.post("/api/auth/register", json=facts | {"email": f"{name}@lab.local"})


async def by_vms(http: httpx2.AsyncClient, name: str) -> httpx2.Response:
    facts = {"name": "Somebody", "email": f"{name}@lab.local", "password": PASSWORD, "rol": "cliente"}
    return await http.post("/users/", json=facts)


async def by_vm_api(http: httpx2.AsyncClient, name: str) -> httpx2.Response:
    facts = {"email": f"{name}@lab.local", "username": name, "password": PASSWORD, "role": "CLIENT"}
    return await http.post("/api/v1/users/", json=facts)


async def register(identity: Identity, name: str, address: str = ADDRESS) -> Any:
    applicant = Applicant(email=f"{name}@lab.local", password=PASSWORD)
    return (await together(identity.registration.register(None, applicant, Origin(address))))[0]


@pytest.mark.parametrize("way", [by_cloud, by_siglab, by_vms, by_vm_api])
async def test_an_answer_does_not_tell_whether_the_address_has_an_account(
    mailing: tuple[Identity, Mailbox], way: Any
) -> None:
    identity, mailbox = mailing
    async with older_apis(identity) as http:
        known, unknown = await way(http, "ana"), await way(http, "ben")
    # Two of them repeat the address, and one the username, as they were typed.
    assert (known.status_code, known.text.replace("ana", "")) == (
        unknown.status_code,
        unknown.text.replace("ben", ""),
    )
    assert known.status_code < 300
    await identity.mail.settle()
    assert {mail["To"]: mail["Subject"] for mail in mailbox.mails}.keys() == {"ana@lab.local", "ben@lab.local"}
    assert "/password/reset" not in mailbox.words(0), "the owner of the account gets no link that changes it"
    await identity.login("ana")


async def test_the_password_is_chosen_by_the_link_of_the_mail(mailing: tuple[Identity, Mailbox]) -> None:
    """Whoever registers somebody else's address must not know the password of the account that its owner confirms."""
    identity, mailbox = mailing
    assert await register(identity, "ben") is None
    outcome = (await together(identity.login("ben@lab.local")))[0]
    assert isinstance(outcome, ParcelaError)
    await identity.mail.settle()
    await identity.password_resets.complete(token_in(mailbox), NEW)
    await identity.login("ben@lab.local", NEW)
    assert await register(identity, "ben") is None
    await identity.mail.settle()
    assert mailbox.mails[-1]["Subject"] == "You have an account for Parcela already"


async def test_a_link_that_was_lost_is_asked_for_again(mailing: tuple[Identity, Mailbox]) -> None:
    identity, mailbox = mailing
    for _ in range(2):
        await register(identity, "ben")
        await identity.mail.settle()
    assert not await identity.password_resets.good(token_in(mailbox, 0)), "only the newest works"
    await identity.password_resets.complete(token_in(mailbox, 1), NEW)


async def test_a_lost_link_can_be_replaced_by_that_of_a_forgotten_password(mailing: tuple[Identity, Mailbox]) -> None:
    identity, mailbox = mailing
    await register(identity, "ben")
    await identity.password_resets.request("ben@lab.local", ADDRESS)
    await identity.mail.settle()
    await identity.password_resets.complete(token_in(mailbox), NEW)
    await identity.login("ben@lab.local", NEW)


async def test_the_same_registration_at_once_tells_nothing(mailing: tuple[Identity, Mailbox]) -> None:
    identity, _ = mailing
    for name in ("ana", "ben"):
        assert await together(*(register(identity, name, f"203.0.113.{n}") for n in range(4))) == [None] * 4


async def test_an_account_that_nobody_finished_is_removed(mailing: tuple[Identity, Mailbox]) -> None:
    identity, mailbox = mailing
    for name in ("ben", "eva"):
        await register(identity, name)
        await identity.mail.settle()
    await identity.password_resets.complete(token_in(mailbox), NEW)  # of eva
    reconciler = UnfinishedRegistrations(identity.registration, identity.clock)
    identity.clock.turn(WEEK_S - 1)
    assert await reconciler.run() == 0
    identity.clock.turn(3600)
    assert await reconciler.run() == 1
    async with identity.uows.read() as uow:
        emails = {user.email for user in await uow.users.all()}
    assert emails == {"admin@lab.local", "ana@lab.local", "eva@lab.local"}
    assert identity.event_types()[-1] == "user.deleted"


async def test_mails_by_registering_are_limited(mailing: tuple[Identity, Mailbox]) -> None:
    identity, mailbox = mailing
    for number in range(20):
        assert await register(identity, "ana", f"203.0.113.{number}") is None
    await identity.mail.settle()
    assert len(mailbox.mails) == 6


async def test_without_mails_a_conflict_is_told(sqlite_url: str, tmp_path: Path) -> None:
    async with open_identity(sqlite_url, tmp_path, **OPEN) as identity, older_apis(identity) as http:
        made = await by_cloud(http, "ben")
        assert (made.status_code, made.json()["user"]["email"]) == (201, "ben@lab.local")
        assert (await by_cloud(http, "ben")).status_code == 400
        assert (await by_siglab(http, "eva", "ben")).status_code == 409
        await identity.login("ben@lab.local")


@pytest.mark.parametrize("way", [by_cloud, by_siglab, by_vms, by_vm_api])
async def test_registrations_are_limited_per_address_and_in_all(sqlite_url: str, tmp_path: Path, way: Any) -> None:
    limits = {"PARCELA_REGISTRATIONS_PER_ADDRESS": 3, "PARCELA_REGISTRATIONS_PER_HOUR": 7}
    async with open_identity(sqlite_url, tmp_path, **OPEN, **limits) as identity:
        statuses = []
        for network in range(3):
            async with older_apis(identity, f"2001:db8:{network}::1") as http:
                statuses.append([(await way(http, f"user{network}{number}")).status_code for number in range(5)])
        assert [[status < 300 for status in row].count(True) for row in statuses] == [3, 3, 1]
        assert {status for row in statuses for status in row if status >= 300} == {429}
        async with older_apis(identity, "192.0.2.77") as http:
            late = await way(http, "late")
            assert (late.status_code, int(late.headers["retry-after"]) > 0) == (429, True)
            hashed = len(identity.hasher.verified)
            identity.clock.turn(3600)
            assert (await way(http, "late")).status_code < 300
            assert len(identity.hasher.verified) == hashed


async def test_a_network_of_ipv6_does_not_multiply_registrations(sqlite_url: str, tmp_path: Path) -> None:
    async with open_identity(sqlite_url, tmp_path, **OPEN, PARCELA_REGISTRATIONS_PER_ADDRESS=1) as identity:
        made = [await register(identity, f"user{n}", f"2001:db8:1:{n:x}::1") for n in range(12)]
    assert [isinstance(one, ParcelaError) for one in made].count(False) == 4, "of a /56"


async def test_staff_is_not_limited_and_told_the_truth(mailing: tuple[Identity, Mailbox]) -> None:
    identity, mailbox = mailing
    for number in range(70):
        applicant = Applicant(email=f"user{number}@lab.local", password=PASSWORD)
        assert await identity.registration.register(ROOT, applicant, Origin(ADDRESS)) is not None
    again = Applicant(email="ana@lab.local", password=PASSWORD)
    outcome = (await together(identity.registration.register(ROOT, again, Origin(ADDRESS))))[0]
    assert isinstance(outcome, ParcelaError)
    assert outcome.code == "email_taken"
    assert mailbox.mails == []


async def test_strangers_hash_in_their_own_lane(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_identity(sqlite_url, tmp_path, **OPEN) as identity:
        lanes: list[Lane] = []
        hash_ = identity.hasher.hash

        async def note(password: str, lane: Lane = Lane.KNOWN) -> str:
            lanes.append(lane)
            return await hash_(password, lane)

        monkeypatch.setattr(identity.hasher, "hash", note)
        await register(identity, "ben")
        await identity.registration.register(ROOT, Applicant(email="eva@lab.local", password=PASSWORD), Origin(ADDRESS))
    assert lanes == [Lane.STRANGERS, Lane.KNOWN]
