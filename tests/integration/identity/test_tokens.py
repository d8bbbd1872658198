"""Personal tokens."""

from datetime import timedelta

import pytest

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.core.permissions import Permission
from parcela.core.tokens import hash_token
from parcela.repositories.paging import PageRequest
from parcela.services.access import Caller
from parcela.services.identity.tokens import NewPersonalToken
from parcela.services.identity.users import UserChanges
from tests.integration.identity.support import ADDRESS, ROOT, Identity

pytestmark = pytest.mark.anyio


async def make(identity: Identity, caller: Caller, *scopes: str, life_s: int | None = None) -> NewPersonalToken:
    expires_at = None if life_s is None else identity.clock() + timedelta(seconds=life_s)
    async with identity.uows.write() as uow:
        made = await identity.auth.create_token(uow, caller, name="laptop", scopes=scopes, expires_at=expires_at)
        await uow.commit()
    return made


async def refusal(identity: Identity, caller: Caller, *scopes: str, life_s: int | None = None) -> ParcelaError:
    with pytest.raises(ParcelaError) as caught:
        await make(identity, caller, *scopes, life_s=life_s)
    return caught.value


async def test_only_the_hash_is_stored(anywhere: Identity) -> None:
    made = await make(anywhere, ROOT, "vm:*", "host:read", "vm:*")
    assert made.token.startswith("pcl_")
    async with anywhere.uows.read() as uow:
        row = await uow.tokens.get(made.id)
        page = await anywhere.auth.tokens(uow, ROOT, PageRequest())
    assert (row.token_hash, row.scopes, row.kind) == (hash_token(made.token), ["host:read", "vm:*"], "personal")
    assert "token_hash" not in page.rows[0]
    assert made.token not in str(anywhere.events)
    assert anywhere.event_types()[-1] == "token.created"


async def test_scopes_are_a_ceiling(anywhere: Identity) -> None:
    made = await make(anywhere, ROOT, "vm:*", "host:read")
    caller = await anywhere.auth.authenticate(made.token, ADDRESS)
    assert caller.is_superuser
    assert caller.can(Permission.VM_READ_ALL)
    assert caller.can(Permission.HOST_READ)
    assert not caller.can(Permission.HOST_WRITE)
    assert not caller.can(Permission.USER_READ)


async def test_a_wildcard_gives_no_more_than_the_user_has(identity: Identity) -> None:
    await identity.add_user("ana")
    made = await make(identity, await identity.caller("ana"), "*")
    caller = await identity.auth.authenticate(made.token, ADDRESS)
    assert [right for right in Permission if caller.can(right)] == [
        Permission.CATALOGUE_READ,
        Permission.IMAGE_CREATE,
        Permission.TEMPLATE_CREATE,
        Permission.SLICE_CREATE,
        Permission.VM_CREATE,
    ]


async def test_named_rights_must_be_held(identity: Identity) -> None:
    await identity.add_user("ana")
    ana = await identity.caller("ana")
    await make(identity, ana, "vm:create")
    error = await refusal(identity, ana, "vm:create", "user:write")
    assert (error.kind, error.code) == (ErrorKind.FORBIDDEN, "beyond_your_rights")
    assert "user:write" in error.message
    assert "vm:create" not in error.message


async def test_what_makes_no_sense(identity: Identity) -> None:
    error = await refusal(identity, ROOT, "vm:fly", "vm:create", "*:*", "nothing:*")
    assert (error.kind, error.code) == (ErrorKind.INVALID, "unknown_permission")
    assert [problem.where for problem in error.problems] == ["scopes[0]", "scopes[2]", "scopes[3]"]
    assert (await refusal(identity, ROOT)).code == "token_useless"
    assert (await refusal(identity, ROOT, "*", life_s=0)).problems[0].where == "expires_at"


async def test_expiry(anywhere: Identity) -> None:
    made = await make(anywhere, ROOT, "*", life_s=10)
    await anywhere.auth.authenticate(made.token, ADDRESS)
    anywhere.clock.turn(10)
    with pytest.raises(ParcelaError) as caught:
        await anywhere.auth.authenticate(made.token, ADDRESS)
    assert caught.value.code == "token_expired"
    async with anywhere.uows.read() as uow:
        assert not (await anywhere.auth.tokens(uow, ROOT, PageRequest())).rows


async def test_revoking(anywhere: Identity) -> None:
    made = await make(anywhere, ROOT, "*")
    await anywhere.auth.authenticate(made.token, ADDRESS)
    async with anywhere.uows.write() as uow:
        await anywhere.auth.revoke_token(uow, ROOT, made.id)
        await uow.commit()
    with pytest.raises(ParcelaError) as caught:
        await anywhere.auth.authenticate(made.token, ADDRESS)
    assert caught.value.code == "token_revoked"
    async with anywhere.uows.write() as uow:
        assert not (await anywhere.auth.tokens(uow, ROOT, PageRequest())).rows
        with pytest.raises(ParcelaError, match="no token"):
            await anywhere.auth.revoke_token(uow, ROOT, made.id)


async def test_tokens_of_others_do_not_exist(identity: Identity) -> None:
    await identity.add_user("ana")
    ana = await identity.caller("ana")
    made = await make(identity, ROOT, "*")
    async with identity.uows.write() as uow:
        with pytest.raises(ParcelaError, match="no token"):
            await identity.auth.revoke_token(uow, ana, made.id)
        assert not (await identity.auth.tokens(uow, ana, PageRequest())).rows


async def test_sessions_are_no_personal_tokens(identity: Identity) -> None:
    caller = await identity.caller("admin")
    async with identity.uows.write() as uow:
        assert not (await identity.auth.tokens(uow, caller, PageRequest())).rows
        with pytest.raises(ParcelaError, match="no token"):
            await identity.auth.revoke_token(uow, caller, caller.token_id)


async def test_what_needs_a_session(identity: Identity) -> None:
    made = await make(identity, ROOT, "*")
    caller = await identity.auth.authenticate(made.token, ADDRESS)
    assert (await refusal(identity, caller, "vm:*")).code == "session_required"
    with pytest.raises(ParcelaError, match="needs a login"):
        await identity.auth.logout(caller)
    with pytest.raises(ParcelaError, match="needs a login"):
        await identity.auth.change_password(caller, "correct horse", "battery staple")
    async with identity.uows.write() as uow:
        with pytest.raises(ParcelaError, match="needs a login"):
            await identity.auth.revoke_token(uow, caller, made.id)
        with pytest.raises(ParcelaError, match="needs a login"):
            await identity.auth.tokens(uow, caller, PageRequest())


async def test_tokens_of_inactive_users(anywhere: Identity) -> None:
    user_id = await anywhere.add_user("ana")
    made = await make(anywhere, await anywhere.caller("ana"), "*")
    await anywhere.auth.authenticate(made.token, ADDRESS)
    async with anywhere.uows.write() as uow:
        await anywhere.users.update(uow, ROOT, user_id, UserChanges(is_active=False))
        await uow.commit()
    with pytest.raises(ParcelaError) as caught:
        await anywhere.auth.authenticate(made.token, ADDRESS)
    assert caught.value.code == "token_revoked"


async def test_a_logout_leaves_them_and_a_password_change_only_when_told_so(identity: Identity) -> None:
    await identity.add_user("ana")
    ana = await identity.caller("ana")
    made = await make(identity, ana, "*")
    await identity.auth.change_password(ana, "correct horse", "battery staple", keep_personal=True)
    await identity.auth.logout(ana)
    await identity.auth.authenticate(made.token, ADDRESS)
    ana = await identity.caller("ana", "battery staple")
    await identity.auth.change_password(ana, "battery staple", "correct battery horse")
    with pytest.raises(ParcelaError) as caught:
        await identity.auth.authenticate(made.token, ADDRESS)
    assert caught.value.code == "token_revoked"


async def test_pages(anywhere: Identity) -> None:
    for _ in range(3):
        await make(anywhere, ROOT, "*")
    async with anywhere.uows.read() as uow:
        first = await anywhere.auth.tokens(uow, ROOT, PageRequest(limit=2, sort="-created_at"))
        rest = await anywhere.auth.tokens(uow, ROOT, PageRequest(limit=2, sort="-created_at", cursor=first.next_cursor))
    assert len(first.rows) == 2
    assert len(rest.rows) == 1
    assert rest.next_cursor is None
