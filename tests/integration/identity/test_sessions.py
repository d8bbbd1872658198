"""Sessions: what a token is worth, and how it stops being worth anything."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.core.tokens import TokenSigner, hash_token
from parcela.models import ApiToken
from parcela.repositories.uow import UnitOfWorkFactory
from parcela.services.identity.auth import AuthService
from parcela.services.identity.roles import RoleChanges
from parcela.services.identity.services import build_identity
from parcela.services.identity.users import UserChanges
from tests.integration.identity.support import (
    ADDRESS,
    ADMIN_ID,
    PASSWORD,
    ROOT,
    SECRET,
    Identity,
    open_identity,
    together,
)

pytestmark = pytest.mark.anyio


async def refused(identity: Identity, token: str) -> str:
    with pytest.raises(ParcelaError) as caught:
        await identity.auth.authenticate(token, ADDRESS)
    assert caught.value.kind is ErrorKind.UNAUTHENTICATED
    return caught.value.code


async def refresh_refused(identity: Identity, token: str) -> str:
    with pytest.raises(ParcelaError) as caught:
        await identity.auth.refresh(token, ADDRESS)
    assert caught.value.kind is ErrorKind.UNAUTHENTICATED
    return caught.value.code


class Statements:
    """The statements that reach the database."""

    def __init__(self, identity: Identity) -> None:
        self.seen: list[str] = []
        database = identity.uows.database
        for engine in (database.engine, database.reading):
            event.listen(engine.sync_engine, "before_cursor_execute", self._note)

    def _note(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        self.seen.append(statement)


async def test_what_a_caller_knows(anywhere: Identity) -> None:
    user_id = await anywhere.add_user("ana", locale="es")
    pair = await anywhere.login("ana")
    caller = await anywhere.auth.authenticate(pair.access_token, ADDRESS)
    assert (caller.user_id, caller.username, caller.role, caller.locale) == (user_id, "ana", "client", "es")
    assert caller.permissions == {"catalogue:read", "image:create", "slice:create", "template:create", "vm:create"}
    assert caller.scopes is None
    assert not caller.is_superuser
    assert caller.token_family


async def test_a_role_without_rights(anywhere: Identity) -> None:
    await anywhere.add_role("guest")
    await anywhere.add_user("ana", role="guest")
    assert (await anywhere.caller("ana")).permissions == frozenset()


async def test_the_second_request_asks_no_database(identity: Identity) -> None:
    pair = await identity.login("admin")
    first = await identity.auth.authenticate(pair.access_token, ADDRESS)
    await identity.auth.aclose()
    statements = Statements(identity)
    identity.clock.turn(29)
    assert await identity.auth.authenticate(pair.access_token, ADDRESS) is first
    assert statements.seen == []
    identity.clock.turn(1)
    await identity.auth.authenticate(pair.access_token, ADDRESS)
    assert sum(text.startswith("SELECT") for text in statements.seen) == 2, (
        "thirty seconds later, two queries: the caller, and their projects"
    )


async def test_the_cache_does_not_outlive_the_token(identity: Identity) -> None:
    pair = await identity.login("admin")
    identity.clock.turn(identity.settings.access_token_ttl_s - 5)
    await identity.auth.authenticate(pair.access_token, ADDRESS)
    identity.clock.turn(5)
    assert await refused(identity, pair.access_token) == "token_expired"


async def test_last_use_is_written_once_a_minute(anywhere: Identity) -> None:
    pair = await anywhere.login("admin")

    async def last_use() -> tuple[Any, str]:
        await anywhere.auth.aclose()
        async with anywhere.uows.write() as uow:
            row = await uow.tokens.lock_by_hash(hash_token(pair.access_token))
        assert row is not None
        return row.last_used_at, row.ip

    begin = anywhere.clock()
    await anywhere.auth.authenticate(pair.access_token, "192.0.2.8")
    assert await last_use() == (begin, "192.0.2.8")
    anywhere.clock.turn(40)
    await anywhere.auth.authenticate(pair.access_token, "192.0.2.9")
    assert await last_use() == (begin, "192.0.2.8")
    anywhere.clock.turn(31)
    await anywhere.auth.authenticate(pair.access_token, "192.0.2.9")
    assert await last_use() == (anywhere.clock(), "192.0.2.9")


async def test_noting_a_use_waits_for_no_writer(identity: Identity) -> None:
    """On SQLite, the request that authenticates may hold the one writer lock itself."""
    pair = await identity.login("admin")
    async with identity.uows.write():
        await identity.auth.authenticate(pair.access_token, ADDRESS)
    await identity.auth.aclose()


async def test_failing_to_note_a_use_hurts_nobody(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = await identity.login("admin")

    def broken(_self: UnitOfWorkFactory) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(UnitOfWorkFactory, "write", broken)
    await identity.auth.authenticate(pair.access_token, ADDRESS)
    await identity.auth.aclose()


async def test_garbage(identity: Identity) -> None:
    for token in ("", "x", "a.b.c", "pcl_", "pcl_unknown", "ü", "\ud800", "x" * 5000, "e30.e30.", "W10.e30.x"):
        assert await refused(identity, token) == "token_invalid"
        assert await refresh_refused(identity, token) == "token_invalid"


async def test_a_signature_alone_lets_nobody_in(identity: Identity) -> None:
    """Forged with our own key, but never given out."""
    token, _ = identity.signer.sign(user_id=ADMIN_ID, role="admin", kind="access", ttl_s=600)
    assert await refused(identity, token) == "token_invalid"
    refresh, _ = identity.signer.sign(user_id=ADMIN_ID, role="admin", kind="refresh", ttl_s=600)
    assert await refresh_refused(identity, refresh) == "token_invalid"


async def test_another_key_lets_nobody_in(identity: Identity) -> None:
    forger = TokenSigner("f" * 40, identity.clock)
    token, _ = forger.sign(user_id=ADMIN_ID, role="admin", kind="access", ttl_s=600)
    assert await refused(identity, token) == "token_invalid"


async def test_kinds_are_not_exchangeable(identity: Identity) -> None:
    pair = await identity.login("admin")
    assert await refused(identity, pair.refresh_token) == "token_invalid"
    assert await refresh_refused(identity, pair.access_token) == "token_invalid"


async def test_a_stored_kind_counts_too(identity: Identity) -> None:
    """A row of another kind with the hash of a well-signed token: not for this use."""
    token, claims = identity.signer.sign(user_id=ADMIN_ID, role="admin", kind="access", ttl_s=600)
    async with identity.uows.write() as uow:
        row = ApiToken(user_id=ADMIN_ID, kind="personal", token_hash=hash_token(token), scopes=["*"])
        row.created_at, row.expires_at = identity.clock(), claims.expires_at
        await uow.tokens.add(row)
        await uow.commit()
    assert await refused(identity, token) == "token_invalid"


async def test_logout_is_real(anywhere: Identity) -> None:
    pair = await anywhere.login("admin")
    other = await anywhere.login("admin")
    caller = await anywhere.auth.authenticate(pair.access_token, ADDRESS)
    await anywhere.auth.logout(caller)
    assert await refused(anywhere, pair.access_token) == "token_revoked"
    assert await refresh_refused(anywhere, pair.refresh_token) == "token_revoked"
    await anywhere.auth.authenticate(other.access_token, ADDRESS)
    assert anywhere.event_types()[-1] == "auth.logged_out"


async def test_logout_ends_what_refreshes_made(identity: Identity) -> None:
    first = await identity.login("admin")
    second = await identity.auth.refresh(first.refresh_token, ADDRESS)
    await identity.auth.logout(await identity.auth.authenticate(first.access_token, ADDRESS))
    assert await refused(identity, second.access_token) == "token_revoked"
    assert await refresh_refused(identity, second.refresh_token) == "token_revoked"


async def test_refresh_rotates(anywhere: Identity) -> None:
    first = await anywhere.login("admin")
    anywhere.clock.turn(3601)
    assert await refused(anywhere, first.access_token) == "token_expired"
    second = await anywhere.auth.refresh(first.refresh_token, ADDRESS)
    caller = await anywhere.auth.authenticate(second.access_token, ADDRESS)
    assert caller.user_id == ADMIN_ID
    assert second.refresh_token != first.refresh_token


async def test_a_spent_refresh_token_ends_the_family(anywhere: Identity) -> None:
    first = await anywhere.login("admin")
    second = await anywhere.auth.refresh(first.refresh_token, ADDRESS)
    await anywhere.auth.authenticate(second.access_token, ADDRESS)
    other = await anywhere.login("admin")
    assert await refresh_refused(anywhere, first.refresh_token) == "token_reused"
    assert await refused(anywhere, first.access_token) == "token_revoked"
    assert await refused(anywhere, second.access_token) == "token_revoked"
    assert await refresh_refused(anywhere, second.refresh_token) == "token_revoked"
    await anywhere.auth.authenticate(other.access_token, ADDRESS)
    assert anywhere.event_types()[-1] == "auth.token_reused"


async def test_two_refreshes_at_once(anywhere: Identity) -> None:
    first = await anywhere.login("admin")
    outcomes = await together(*(anywhere.auth.refresh(first.refresh_token, ADDRESS) for _ in range(5)))
    errors = [outcome.code for outcome in outcomes if isinstance(outcome, ParcelaError)]
    assert sorted(errors) == ["token_reused", *["token_revoked"] * 3]


async def test_refresh_expires(identity: Identity) -> None:
    pair = await identity.login("admin")
    identity.clock.turn(identity.settings.refresh_token_ttl_s)
    assert await refresh_refused(identity, pair.refresh_token) == "token_expired"


async def test_deactivation_works_at_once(anywhere: Identity) -> None:
    user_id = await anywhere.add_user("ana")
    pair = await anywhere.login("ana")
    await anywhere.auth.authenticate(pair.access_token, ADDRESS)
    async with anywhere.uows.write() as uow:
        await anywhere.users.update(uow, ROOT, user_id, UserChanges(is_active=False))
        await uow.commit()
    assert await refused(anywhere, pair.access_token) == "token_revoked"
    assert await refresh_refused(anywhere, pair.refresh_token) == "token_revoked"
    async with anywhere.uows.write() as uow:
        await anywhere.users.update(uow, ROOT, user_id, UserChanges(is_active=True))
        await uow.commit()
    assert await refused(anywhere, pair.access_token) == "token_revoked"
    await anywhere.login("ana")


async def test_deletion_works_at_once(anywhere: Identity) -> None:
    user_id = await anywhere.add_user("ana")
    pair = await anywhere.login("ana")
    await anywhere.auth.authenticate(pair.access_token, ADDRESS)
    async with anywhere.uows.write() as uow:
        await anywhere.users.delete(uow, ROOT, user_id)
        await uow.commit()
    assert await refused(anywhere, pair.access_token) == "token_invalid"
    assert await refresh_refused(anywhere, pair.refresh_token) == "token_invalid"


async def test_new_rights_of_a_role_work_at_once(identity: Identity) -> None:
    role_id = await identity.add_role("tech", "host:read")
    await identity.add_user("ana", role="tech")
    pair = await identity.login("ana")
    assert (await identity.auth.authenticate(pair.access_token, ADDRESS)).permissions == {"host:read"}
    async with identity.uows.write() as uow:
        await identity.roles.update(uow, ROOT, role_id, RoleChanges(permissions=["host:*"]))
        await uow.commit()
    assert (await identity.auth.authenticate(pair.access_token, ADDRESS)).permissions == {"host:*"}


async def test_another_role_works_at_once(identity: Identity) -> None:
    user_id = await identity.add_user("ana", role="admin")
    pair = await identity.login("ana")
    assert (await identity.auth.authenticate(pair.access_token, ADDRESS)).role == "admin"
    async with identity.uows.write() as uow:
        await identity.users.update(uow, ROOT, user_id, UserChanges(role="client"))
        await uow.commit()
    assert (await identity.auth.authenticate(pair.access_token, ADDRESS)).role == "client"


async def test_a_change_that_was_rolled_back_forgets_nothing(identity: Identity) -> None:
    user_id = await identity.add_user("ana")
    pair = await identity.login("ana")
    first = await identity.auth.authenticate(pair.access_token, ADDRESS)
    async with identity.uows.write() as uow:
        await identity.users.update(uow, ROOT, user_id, UserChanges(is_active=False))
    assert await identity.auth.authenticate(pair.access_token, ADDRESS) is first


async def test_a_lookup_that_began_before_a_revocation(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read as valid, then revoked, then put into the cache: it must not stay there."""
    pair = await identity.login("admin")
    caller = await identity.auth.authenticate(pair.access_token, ADDRESS)
    identity.auth.forget_all()
    from_database = identity.auth._cache.put

    def put_late(key: str, late: Any, until: Any, *, epoch: int) -> None:
        identity.auth.forget_user(caller.user_id)
        from_database(key, late, until, epoch=epoch)

    monkeypatch.setattr(identity.auth._cache, "put", put_late)
    await identity.auth.authenticate(pair.access_token, ADDRESS)
    assert identity.auth._cache.get(hash_token(pair.access_token), identity.clock()) is None


async def test_change_of_password(anywhere: Identity) -> None:
    await anywhere.add_user("ana")
    mine, other = await anywhere.login("ana"), await anywhere.login("ana")
    caller = await anywhere.auth.authenticate(mine.access_token, ADDRESS)
    await anywhere.auth.authenticate(other.access_token, ADDRESS)
    await anywhere.auth.change_password(caller, PASSWORD, "battery staple")
    await anywhere.auth.authenticate(mine.access_token, ADDRESS)
    await anywhere.auth.refresh(mine.refresh_token, ADDRESS)
    assert await refused(anywhere, other.access_token) == "token_revoked"
    assert await refresh_refused(anywhere, other.refresh_token) == "token_revoked"
    with pytest.raises(ParcelaError, match="wrong"):
        await anywhere.login("ana")
    await anywhere.login("ana", "battery staple")
    assert "battery" not in str(anywhere.events)


@pytest.mark.parametrize(
    ("new", "code"),
    [("short", "password_too_short"), ("x" * 73, "password_too_long"), ("ñ" * 37, "password_too_long")],
)
async def test_rules_of_new_passwords(identity: Identity, new: str, code: str) -> None:
    with pytest.raises(ParcelaError) as caught:
        await identity.auth.change_password(ROOT, PASSWORD, new)
    assert (caught.value.kind, caught.value.code) == (ErrorKind.INVALID, code)
    assert caught.value.problems[0].where == "new_password"


async def test_guessing_the_old_password(identity: Identity) -> None:
    caller = await identity.caller("admin")
    codes = []
    for _ in range(6):
        with pytest.raises(ParcelaError) as caught:
            await identity.auth.change_password(caller, "wrong", "battery staple")
        codes.append(caught.value.code)
    assert codes == ["wrong_password"] * 5 + ["too_many_attempts"]
    with pytest.raises(ParcelaError, match="Too many"):
        await identity.auth.change_password(caller, PASSWORD, "battery staple")


async def test_a_reset_by_an_administrator_ends_everything(identity: Identity) -> None:
    user_id = await identity.add_user("ana")
    pair = await identity.login("ana")
    caller = await identity.auth.authenticate(pair.access_token, ADDRESS)
    async with identity.uows.write() as uow:
        made = await identity.auth.create_token(uow, caller, name="t", scopes=["*"], expires_at=None)
        await uow.commit()
    hashed = await identity.users.hash_password("battery staple")
    async with identity.uows.write() as uow:
        await identity.users.update(uow, ROOT, user_id, UserChanges(password_hash=hashed))
        await uow.commit()
    assert await refused(identity, pair.access_token) == "token_revoked"
    assert await refused(identity, made.token) == "token_revoked"
    await identity.login("ana", "battery staple")


@pytest.fixture
async def two_processes(
    any_url: str, tmp_path: Path, anyio_backend: str
) -> AsyncIterator[tuple[Identity, AuthService]]:
    async with open_identity(any_url, tmp_path) as made:
        other = build_identity(made.uows, made.hasher, SECRET, made.settings).auth
        yield made, other
        await other.aclose()


async def test_another_process_is_thirty_seconds_behind_at_most(two_processes: tuple[Identity, AuthService]) -> None:
    here, there = two_processes
    pair = await here.login("admin")
    caller = await here.auth.authenticate(pair.access_token, ADDRESS)
    await there.authenticate(pair.access_token, ADDRESS)
    await here.auth.logout(caller)
    here.clock.turn(30)
    with pytest.raises(ParcelaError, match="revoked"):
        await there.authenticate(pair.access_token, ADDRESS)
