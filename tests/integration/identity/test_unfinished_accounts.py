"""Registrations whose link was not used: they tell nothing, and reserve neither an address nor a username."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from parcela.core.clock import utc_now
from tests.integration.identity.support import PASSWORD, Identity, open_client, open_identity
from tests.integration.identity.test_password_resets import mail_settings, token_in
from tests.integration.identity.test_registration import OPEN, older_apis
from tests.integration.identity.test_single_sign_on import ANA, caller_of, enter, sso_settings
from tests.support.mailbox import Mailbox, mail_server
from tests.support.provider import running_provider

pytestmark = pytest.mark.anyio
NEW = "a new and longer one"


@pytest.fixture
async def mailing(sqlite_url: str, tmp_path: Path, anyio_backend: str) -> AsyncIterator[tuple[Identity, Mailbox]]:
    with mail_server() as mailbox:
        async with open_identity(sqlite_url, tmp_path, **mail_settings(mailbox.port, **OPEN)) as identity:
            await identity.add_user("ana")
            yield identity, mailbox


async def wish(identity: Identity, username: str, email: str, full_name: str = "Somebody") -> httpx2.Response:
    """Register at siglab's API as a stranger."""
    facts = {"nombre_completo": full_name, "username": username, "password": PASSWORD, "email": email}
    async with older_apis(identity) as http:
        return await http.post("/api/auth/register", json=facts)


async def complete(identity: Identity, mailbox: Mailbox) -> str:
    """Use the newest link; the username of the account it was mailed to."""
    await identity.mail.settle()
    email = mailbox.mails[-1]["To"]
    await identity.password_resets.complete(token_in(mailbox, len(mailbox.mails) - 1), NEW)
    await identity.mail.settle()
    return (await identity.caller(email, NEW)).username


async def as_admin(identity: Identity, method: str, path: str, **options: Any) -> httpx2.Response:
    async with open_client(identity) as client:
        await client.login("admin")
        return await client.call(method, path, **options)


@pytest.mark.parametrize("victim", ["ana@lab.local", "nobody@lab.local"])
async def test_a_second_use_of_the_username_tells_nothing_of_the_first_address(
    mailing: tuple[Identity, Mailbox], victim: str
) -> None:
    identity, mailbox = mailing
    answers = [await wish(identity, "probe-x", email) for email in (victim, "mine@lab.local")]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].content == answers[1].content
    await identity.mail.settle()
    mine = next(mailbox.words(n) for n, mail in enumerate(mailbox.mails) if mail["To"] == "mine@lab.local")
    assert '"probe-x"' in mine
    await wish(identity, "probe-x", "mine@lab.local")
    assert await complete(identity, mailbox) == "probe-x", "whatever became of the first"


async def test_the_username_of_an_account_is_not_told_before_the_link(mailing: tuple[Identity, Mailbox]) -> None:
    identity, mailbox = mailing
    free, taken = await wish(identity, "ben", "ben@lab.local"), await wish(identity, "ana", "eva@lab.local")
    assert (taken.status_code, taken.content) == (free.status_code, free.content)
    settled = await complete(identity, mailbox)
    assert settled.startswith("ana-")
    assert (await identity.caller("ana")).username == "ana"


async def test_a_username_is_of_who_completes_first(mailing: tuple[Identity, Mailbox]) -> None:
    identity, mailbox = mailing
    await wish(identity, "good-name", "squatter@lab.local")
    await wish(identity, "good-name", "ben@lab.local")
    assert await complete(identity, mailbox) == "good-name"
    await wish(identity, "good-name", "squatter@lab.local")
    assert (await complete(identity, mailbox)).startswith("good-name-")


async def test_the_owner_gets_what_they_registered_and_not_what_a_stranger_typed(
    mailing: tuple[Identity, Mailbox],
) -> None:
    identity, mailbox = mailing
    await wish(identity, "silly", "ben@lab.local", "Silly Name")
    await wish(identity, "ben", "ben@lab.local", "Ben Torres")
    assert await complete(identity, mailbox) == "ben"
    assert "Ben Torres" in mailbox.words()


async def test_an_administrator_replaces_an_unfinished_registration(mailing: tuple[Identity, Mailbox]) -> None:
    identity, mailbox = mailing
    await wish(identity, "nobody", "nobody@lab.local")
    await identity.mail.settle()
    body = {"email": "nobody@lab.local", "username": "nobody", "password": NEW}
    made = await as_admin(identity, "POST", "/users/", json=body)
    assert made.status_code == 201, made.text
    assert made.json()["username"] == "nobody"
    assert not await identity.password_resets.good(token_in(mailbox)), "the stranger's link is void"
    await identity.login("nobody@lab.local", NEW)
    assert identity.event_types().count("user.deleted") == 1
    again = await as_admin(identity, "POST", "/users/", json=body)
    assert again.status_code == 409, "now it is an account"


async def test_an_account_may_be_given_an_address_that_somebody_registered(
    mailing: tuple[Identity, Mailbox],
) -> None:
    identity, _ = mailing
    await wish(identity, "nobody", "ana.new@lab.local")
    async with identity.uows.read() as uow:
        ana = await uow.users.by_identifier("ana")
        assert ana is not None
    changed = await as_admin(identity, "PATCH", f"/users/{ana.id}", json={"email": "ana.new@lab.local"})
    assert (changed.status_code, changed.json().get("email")) == (200, "ana.new@lab.local")


async def test_an_account_that_an_administrator_changed_is_not_replaced(mailing: tuple[Identity, Mailbox]) -> None:
    identity, _ = mailing
    await wish(identity, "nobody", "nobody@lab.local")
    async with identity.uows.read() as uow:
        unfinished = await uow.users.by_identifier("nobody@lab.local")
        assert unfinished is not None
    await as_admin(identity, "PATCH", f"/users/{unfinished.id}", json={"is_active": False})
    body = {"email": "nobody@lab.local", "username": "nobody", "password": NEW}
    assert (await as_admin(identity, "POST", "/users/", json=body)).status_code == 409


async def test_an_account_before_this_rule_gives_its_username_too(mailing: tuple[Identity, Mailbox]) -> None:
    identity, _ = mailing
    await wish(identity, "nobody", "other@lab.local")
    async with identity.uows.write() as uow:
        old = await uow.users.by_identifier("other@lab.local")
        assert old is not None
        old.username = "nobody"
        await uow.commit()
    body = {"email": "nobody@lab.local", "username": "nobody", "password": NEW}
    assert (await as_admin(identity, "POST", "/users/", json=body)).status_code == 201


async def test_single_sign_on_takes_nothing_of_an_unfinished_registration(sqlite_url: str, tmp_path: Path) -> None:
    with mail_server() as mailbox, running_provider() as provider:
        settings = sso_settings(provider.issuer, PARCELA_OIDC_AUTO_CREATE=True)
        settings |= mail_settings(mailbox.port) | OPEN
        async with open_identity(sqlite_url, tmp_path, **settings) as identity:
            await wish(identity, "silly", "ana@lab.local", "Silly Name")
            identity.clock.now = utc_now()  # the provider has no other clock
            provider.know("ana", **ANA)
            caller = await caller_of(identity, await enter(identity, provider, "ana"))
            async with identity.uows.read() as uow:
                user = await uow.users.get(caller.user_id)
    assert (user.username, user.full_name, user.self_registered) == ("aquispe", "Ana Quispe", False)
