"""What ends when an account is recovered: everything that was issued for it, whoever holds it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from parcela.core.errors import ParcelaError
from parcela.services.identity.auth import Challenge
from parcela.services.identity.sessions import Origin
from parcela.services.identity.users import UserChanges
from tests.integration.identity.support import (
    ADDRESS,
    PASSWORD,
    ROOT,
    Identity,
    open_client,
    open_identity,
    problem,
    together,
)
from tests.integration.identity.test_password_resets import mail_settings, token_in
from tests.integration.identity.test_second_factor import code_at, enrol
from tests.support.mailbox import Mailbox, mail_server

pytestmark = pytest.mark.anyio
NEW = "a new and longer one"


@pytest.fixture
async def mailing(any_url: str, tmp_path: Path, anyio_backend: str) -> AsyncIterator[tuple[Identity, Mailbox]]:
    with mail_server() as mailbox:
        async with open_identity(any_url, tmp_path, **mail_settings(mailbox.port)) as identity:
            await identity.add_user("ana")
            yield identity, mailbox


async def personal_token(identity: Identity, name: str = "ana") -> str:
    caller = await identity.caller(name)
    async with identity.uows.write() as uow:
        made = await identity.auth.create_token(uow, caller, name="script", scopes=["*"], expires_at=None)
        await uow.commit()
    return made.token


async def refused(work: Awaitable[object]) -> str:
    with pytest.raises(ParcelaError) as caught:
        await work
    return caught.value.code


async def is_valid(identity: Identity, token: str) -> bool:
    outcome = (await together(identity.auth.authenticate(token, ADDRESS)))[0]
    assert not isinstance(outcome, ParcelaError) or outcome.code == "token_revoked", outcome
    return not isinstance(outcome, ParcelaError)


async def update(identity: Identity, user_id: int, **changes: object) -> None:
    async with identity.uows.write() as uow:
        await identity.users.update(uow, ROOT, user_id, UserChanges(**changes))  # type: ignore[arg-type]
        await uow.commit()


async def reset(identity: Identity, mailbox: Mailbox, *, keep: bool = False) -> None:
    await identity.password_resets.request("ana", ADDRESS)
    await identity.mail.settle()
    await identity.password_resets.complete(token_in(mailbox), NEW, keep_personal=keep)


async def test_a_reset_by_mail_revokes_all_tokens(mailing: tuple[Identity, Mailbox]) -> None:
    identity, mailbox = mailing
    token, session = await personal_token(identity), await identity.login("ana")
    await reset(identity, mailbox)
    assert not await is_valid(identity, token)
    assert not await is_valid(identity, session.access_token)
    assert await refused(identity.auth.refresh(session.refresh_token, ADDRESS)) == "token_revoked"


async def test_personal_tokens_are_kept_only_when_the_form_says_so(mailing: tuple[Identity, Mailbox]) -> None:
    identity, mailbox = mailing
    token, session = await personal_token(identity), await identity.login("ana")
    await reset(identity, mailbox, keep=True)
    assert await is_valid(identity, token)
    assert not await is_valid(identity, session.access_token)
    await identity.mail.settle()
    assert "personal tokens were kept" in mailbox.words()


async def _password(identity: Identity, user_id: int) -> None:
    await update(identity, user_id, password_hash=await identity.users.hash_password(NEW))


async def _address(identity: Identity, user_id: int) -> None:
    await update(identity, user_id, email="ana@elsewhere.local")


async def _deactivation(identity: Identity, user_id: int) -> None:
    await update(identity, user_id, is_active=False)
    await update(identity, user_id, is_active=True)


async def _second_factor(identity: Identity, user_id: int) -> None:
    async with identity.uows.write() as uow:
        await identity.second_factors.reset(uow, ROOT, user_id)
        await uow.commit()


CHANGES = (_password, _address, _deactivation, _second_factor)


@pytest.mark.parametrize("change", CHANGES)
async def test_what_an_administrator_does_revokes_all_tokens(
    identity: Identity, change: Callable[[Identity, int], Awaitable[None]]
) -> None:
    user_id = await identity.add_user("ana")
    token, session = await personal_token(identity), await identity.login("ana")
    secret, _ = await enrol(identity, "ana")
    begun = await identity.auth.begin("ana", PASSWORD, Origin(ADDRESS))
    assert isinstance(begun, Challenge)
    await change(identity, user_id)
    assert not await is_valid(identity, token)
    assert not await is_valid(identity, session.access_token)
    assert await refused(identity.auth.refresh(session.refresh_token, ADDRESS)) == "token_revoked"
    code = code_at(identity, secret)
    assert await refused(identity.auth.finish(begun.box, code, Origin(ADDRESS))) == "challenge_expired"


@pytest.mark.parametrize("changes", [{"email": "ana@lab.local"}, {"is_active": True}, {"full_name": "Ana Quispe"}])
async def test_what_changes_nothing_of_the_access_ends_nothing(identity: Identity, changes: dict[str, object]) -> None:
    user_id = await identity.add_user("ana")
    token = await personal_token(identity)
    await update(identity, user_id, **changes)
    assert await is_valid(identity, token)


async def test_only_the_newest_link_works(mailing: tuple[Identity, Mailbox]) -> None:
    identity, mailbox = mailing
    for _ in range(2):
        await identity.password_resets.request("ana@lab.local", ADDRESS)
        await identity.mail.settle()
    assert await refused(identity.password_resets.complete(token_in(mailbox, 0), NEW)) == "reset_token_invalid"
    assert not await identity.password_resets.good(token_in(mailbox, 0))
    await identity.password_resets.complete(token_in(mailbox, 1), NEW)


async def test_a_request_beside_the_revocation_leaves_no_token_behind(identity: Identity) -> None:
    user_id = await identity.add_user("ana")
    caller = await identity.caller("ana")  # looked up before, as a request that is under way
    await update(identity, user_id, email="ana@elsewhere.local")
    async with identity.uows.write() as uow:
        work = identity.auth.create_token(uow, caller, name="late", scopes=["*"], expires_at=None)
        assert await refused(work) == "token_revoked"


async def test_a_login_beside_the_revocation_opens_no_session(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id = await identity.add_user("ana")
    verify = identity.hasher.verify

    async def change_meanwhile(*arguments: object, **options: object) -> bool:
        await update(identity, user_id, email="ana@elsewhere.local")
        return await verify(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(identity.hasher, "verify", change_meanwhile)
    assert await refused(identity.login("ana")) == "bad_credentials"


async def test_over_http_the_choice_is_a_field(identity: Identity) -> None:
    await identity.add_user("ana")
    async with open_client(identity) as client:
        await client.login("ana")
        tokens = [
            (await client.call("POST", "/tokens/", json={"name": name, "scopes": ["*"]})).json()["token"]
            for name in ("one", "two")
        ]
        keeping = {"old_password": PASSWORD, "new_password": NEW, "keep_personal_tokens": True}
        assert (await client.call("POST", "/users/me/password", json=keeping)).status_code == 204
        assert (await client.call("GET", "/users/me", token=tokens[0])).status_code == 200
        plain = {"old_password": NEW, "new_password": PASSWORD}
        assert (await client.call("POST", "/users/me/password", json=plain)).status_code == 204
        for token in tokens:
            problem(await client.call("GET", "/users/me", token=token), 401, "token_revoked")
        assert (await client.call("GET", "/users/me")).status_code == 200, "this session goes on"


async def test_expired_sessions_do_not_come_back_with_the_account(identity: Identity) -> None:
    user_id = await identity.add_user("ana")
    pair = await identity.login("ana")
    await update(identity, user_id, is_active=False)
    identity.clock.turn(timedelta(minutes=1).total_seconds())
    await update(identity, user_id, is_active=True)
    assert await refused(identity.auth.refresh(pair.refresh_token, ADDRESS)) == "token_revoked"
    await identity.login("ana")
