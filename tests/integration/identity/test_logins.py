"""Logging in, and being kept from guessing."""

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.core.passwords import Lane
from parcela.core.tokens import hash_token
from parcela.services.identity.users import UserChanges
from tests.integration.identity.support import (
    ADDRESS,
    ADMIN_ID,
    PASSWORD,
    ROOT,
    Identity,
    open_identity,
    together,
)

pytestmark = pytest.mark.anyio
WRONG = "wrong"


async def failed_login(identity: Identity, name: str, password: str = WRONG, address: str = ADDRESS) -> ParcelaError:
    with pytest.raises(ParcelaError) as caught:
        await identity.auth.login(name, password, address)
    return caught.value


@pytest.mark.parametrize("name", ["admin", "ADMIN", "admin@lab.local", "Admin@Lab.Local", " admin "])
async def test_username_or_email_in_any_case(identity: Identity, name: str) -> None:
    pair = await identity.login(name)
    assert pair.token_type == "bearer"
    assert pair.expires_in_s == identity.settings.access_token_ttl_s
    caller = await identity.auth.authenticate(pair.access_token, ADDRESS)
    assert (caller.user_id, caller.role, caller.is_superuser, caller.scopes) == (ADMIN_ID, "admin", True, None)


async def test_login_leaves_hashes_an_event_and_the_time(anywhere: Identity) -> None:
    pair = await anywhere.login("admin")
    async with anywhere.uows.read() as uow:
        rows = await uow.tokens.all()
        user = await uow.users.get(ADMIN_ID)
    assert {row.token_hash for row in rows} == {hash_token(pair.access_token), hash_token(pair.refresh_token)}
    assert {row.kind for row in rows} == {"session", "refresh"}
    assert {row.ip for row in rows} == {ADDRESS}
    assert len({row.family for row in rows}) == 1
    assert user.last_login_at == anywhere.clock()
    assert anywhere.event_types() == ["auth.logged_in"]
    assert PASSWORD not in str(anywhere.events)
    assert pair.access_token not in str(anywhere.events)


@pytest.mark.parametrize("name", ["admin", "nobody", "", "ádmin", "x" * 300, "nul\x00", "\ud800"])
async def test_unknown_accounts_cost_and_answer_the_same(anywhere: Identity, name: str) -> None:
    error = await failed_login(anywhere, name)
    assert (error.kind, error.code) == (ErrorKind.UNAUTHENTICATED, "bad_credentials")
    assert len(anywhere.hasher.verified) == 1
    for _ in range(anywhere.settings.login_attempts - 1):
        assert (await failed_login(anywhere, name)).code == "bad_credentials"
    assert (await failed_login(anywhere, name)).code == "too_many_attempts"


async def test_spellings_of_a_collation_are_other_accounts(anywhere: Identity) -> None:
    await anywhere.add_user("jose")
    assert (await failed_login(anywhere, "josé", PASSWORD)).code == "bad_credentials"
    assert anywhere.hasher.verified == [None]


async def test_delays_at_an_account_grow_and_end(anywhere: Identity) -> None:
    for _ in range(5):
        assert (await failed_login(anywhere, "admin")).code == "bad_credentials"
    verified = len(anywhere.hasher.verified)
    error = await failed_login(anywhere, "admin", PASSWORD)
    assert (error.kind, error.code, error.retry_after_s) == (ErrorKind.RATE_LIMITED, "too_many_attempts", 5)
    assert len(anywhere.hasher.verified) == verified, "an attempt within the delay costs no hashing"
    locked = next(event for event in anywhere.events if event.type == "auth.locked")
    assert locked.data == {"by": "account", "address": ADDRESS, "user_id": ADMIN_ID}
    for delay_s in (5, 10, 20, 40):
        anywhere.clock.turn(delay_s - 0.5)
        assert (await failed_login(anywhere, "admin", PASSWORD)).retry_after_s == 1
        anywhere.clock.turn(0.5)
        if delay_s < 40:
            assert (await failed_login(anywhere, "admin")).code == "bad_credentials"
    await anywhere.login("admin")


async def test_failures_are_forgotten_after_a_while(identity: Identity) -> None:
    for _ in range(5):
        await failed_login(identity, "admin")
    identity.clock.turn(300)
    for _ in range(5):
        assert (await failed_login(identity, "admin")).code == "bad_credentials"
    assert (await failed_login(identity, "admin")).code == "too_many_attempts"


async def test_failures_of_another_window_do_not_count(identity: Identity) -> None:
    for _ in range(3):
        for _ in range(4):
            assert (await failed_login(identity, "admin")).code == "bad_credentials"
        identity.clock.turn(300)
    await identity.login("admin")


async def test_success_resets_the_account(identity: Identity) -> None:
    for _ in range(3):
        for _ in range(4):
            assert (await failed_login(identity, "admin")).code == "bad_credentials"
        await identity.login("admin@lab.local")


async def test_delays_of_an_address_spare_others(anywhere: Identity) -> None:
    for number in range(30):
        assert (await failed_login(anywhere, f"user{number}")).code == "bad_credentials"
    error = await failed_login(anywhere, "admin", PASSWORD)
    assert (error.code, error.retry_after_s) == ("too_many_attempts", 5)
    await anywhere.login("admin", address="192.0.2.8")


async def test_an_ipv6_network_is_one_address(identity: Identity) -> None:
    for number in range(30):
        await failed_login(identity, f"user{number}", address=f"2001:db8::{number:x}")
    assert (await failed_login(identity, "admin", PASSWORD, "2001:db8::ffff:1")).code == "too_many_attempts"
    await identity.login("admin", address="2001:db8:0:1::1")


async def test_success_does_not_reset_the_address(identity: Identity) -> None:
    await identity.add_user("ana")
    for number in range(29):
        await failed_login(identity, f"user{number}")
    await identity.login("admin")
    await failed_login(identity, "user29")
    assert (await failed_login(identity, "ana", PASSWORD)).code == "too_many_attempts"


async def test_parallel_guesses_slip_nothing_through(anywhere: Identity) -> None:
    outcomes = await together(*(anywhere.auth.login("admin", f"guess{n}", ADDRESS) for n in range(40)))
    assert all(isinstance(outcome, ParcelaError) for outcome in outcomes), outcomes
    assert Counter(outcome.code for outcome in outcomes) == {"bad_credentials": 5, "too_many_attempts": 35}
    assert len(anywhere.hasher.verified) <= 5 + anywhere.hasher.threads + 1, "the flood was hashed"
    async with anywhere.uows.read() as uow:
        rows = await uow.tokens.throttles([f"login:{ADMIN_ID}:{ADDRESS}", f"address:{ADDRESS}"])
    assert {row.failures for row in rows} <= set(range(5, 5 + anywhere.hasher.threads + 2))


async def test_parallel_guesses_on_many_accounts_lock_the_address(anywhere: Identity) -> None:
    outcomes = await together(*(anywhere.auth.login(f"user{n}", "guess", ADDRESS) for n in range(60)))
    assert Counter(outcome.code for outcome in outcomes) == {"bad_credentials": 30, "too_many_attempts": 30}


async def test_the_right_guess_behind_a_lock_learns_nothing(identity: Identity) -> None:
    guesses = [*(f"guess{n}" for n in range(20)), PASSWORD]
    outcomes = await together(*(identity.auth.login("admin", guess, ADDRESS) for guess in guesses))
    assert outcomes[-1].code == "too_many_attempts"


async def test_a_lock_set_while_hashing_counts(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    """The right password was found right, but the lock came first."""
    verify = identity.hasher.verify

    async def lock_meanwhile(password: str, hashed: str | None, lane: Lane) -> bool:
        fits = await verify(password, hashed, lane)
        monkeypatch.setattr(identity.hasher, "verify", verify)
        for _ in range(5):
            await failed_login(identity, "admin")
        return fits

    monkeypatch.setattr(identity.hasher, "verify", lock_meanwhile)
    assert (await failed_login(identity, "admin", PASSWORD)).code == "too_many_attempts"


async def test_a_class_logs_in_at_once_from_one_address(anywhere: Identity) -> None:
    """More honest logins at once than failures are allowed."""
    outcomes = await together(*(anywhere.login("admin") for _ in range(40)))
    assert not [outcome for outcome in outcomes if isinstance(outcome, BaseException)]


@pytest.mark.parametrize("password", ["x" * 73, "ñ" * 37, "a\x00b", "\ud800", "x" * 1000])
async def test_impossible_passwords_are_wrong_ones(identity: Identity, password: str) -> None:
    assert (await failed_login(identity, "admin", password)).code == "bad_credentials"


async def test_72_bytes_are_not_cut(identity: Identity) -> None:
    password = "a" * 72
    async with identity.uows.write() as uow:
        user = await uow.users.get(ADMIN_ID)
        user.password_hash = await identity.hasher.hash(password)
        await uow.commit()
    await identity.login("admin", password)
    assert (await failed_login(identity, "admin", password + "b")).code == "bad_credentials"


async def test_inactive_users_cannot_log_in(identity: Identity) -> None:
    user_id = await identity.add_user("ana")
    async with identity.uows.write() as uow:
        await identity.users.update(uow, ROOT, user_id, UserChanges(is_active=False))
        await uow.commit()
    assert (await failed_login(identity, "ana", PASSWORD)).code == "account_disabled"
    assert (await failed_login(identity, "ana")).code == "bad_credentials", "shown only with the right password"


async def test_a_user_deleted_while_hashing(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    user_id = await identity.add_user("ana")
    verify = identity.hasher.verify

    async def delete_meanwhile(password: str, hashed: str | None, lane: Lane) -> bool:
        async with identity.uows.write() as uow:
            await identity.users.delete(uow, ROOT, user_id)
            await uow.commit()
        return await verify(password, hashed, lane)

    monkeypatch.setattr(identity.hasher, "verify", delete_meanwhile)
    assert (await failed_login(identity, "ana", PASSWORD)).code == "bad_credentials"


@pytest.fixture
async def strict(any_url: str, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Identity]:
    async with open_identity(any_url, tmp_path, PARCELA_LOGIN_ATTEMPTS=1, PARCELA_LOGIN_LOCK_S=10) as made:
        yield made


async def test_limits_come_from_the_settings(strict: Identity) -> None:
    assert (await failed_login(strict, "admin")).code == "bad_credentials"
    assert (await failed_login(strict, "admin", PASSWORD)).retry_after_s == 5
    strict.clock.turn(5)
    assert (await failed_login(strict, "admin")).code == "bad_credentials"
    assert (await failed_login(strict, "admin", PASSWORD)).retry_after_s == 10, "the longest"


async def test_purge(anywhere: Identity) -> None:
    await anywhere.login("admin")
    for _ in range(5):
        await failed_login(anywhere, "admin")
    assert await anywhere.auth.purge() == 0
    anywhere.clock.turn(anywhere.settings.access_token_ttl_s + 1)
    assert await anywhere.auth.purge() == 1, "the access token"
    anywhere.clock.turn(anywhere.settings.refresh_token_ttl_s)
    assert await anywhere.auth.purge() == 3, "the refresh token and the counters of account and address"
