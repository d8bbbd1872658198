"""Roles."""

from dataclasses import replace
from typing import Any

import pytest

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.repositories.paging import PageRequest
from parcela.services.access import Caller
from parcela.services.identity.roles import RoleChanges
from parcela.services.identity.users import UserChanges
from tests.integration.identity.support import ADMIN_ID, ROOT, Identity

pytestmark = pytest.mark.anyio


async def change(identity: Identity, role_id: int, caller: Caller = ROOT, **changes: Any) -> tuple[str, ...]:
    async with identity.uows.write() as uow:
        role = await identity.roles.update(uow, caller, role_id, RoleChanges(**changes))
        await uow.commit()
    return role.permissions


async def delete(identity: Identity, role_id: int, caller: Caller = ROOT) -> None:
    async with identity.uows.write() as uow:
        await identity.roles.delete(uow, caller, role_id)
        await uow.commit()


async def refusal(work: Any) -> ParcelaError:
    with pytest.raises(ParcelaError) as caught:
        await work
    return caught.value


async def keeper(identity: Identity) -> Caller:
    """Somebody who may write roles and read hosts."""
    await identity.add_role("keeper", "role:read", "role:write", "host:read")
    await identity.add_user("kim", role="keeper")
    return await identity.caller("kim")


async def test_life_of_a_role(anywhere: Identity) -> None:
    role_id = await anywhere.add_role("tech", "host:read", "catalogue:*", "host:read")
    async with anywhere.uows.read() as uow:
        role = await anywhere.roles.get(uow, ROOT, role_id)
        page = await anywhere.roles.page(uow, ROOT, PageRequest(sort="name"))
    assert (role.name, role.is_builtin, role.permissions) == ("tech", False, ("catalogue:*", "host:read"))
    known = [(row.name, row.is_builtin) for row in page.rows]
    assert known == [("admin", True), ("client", True), ("tech", False), ("technician", False)]
    assert page.rows[0].permissions == ("*",)
    assert await change(anywhere, role_id, permissions=["host:*"], name="techs") == ("host:*",)
    assert await change(anywhere, role_id, description="Hosts") == ("host:*",)
    assert await change(anywhere, role_id, permissions=[]) == ()
    await delete(anywhere, role_id)
    assert anywhere.event_types() == ["role.created", *["role.updated"] * 3, "role.deleted"]
    assert (await refusal(delete(anywhere, role_id))).kind is ErrorKind.NOT_FOUND


async def test_a_name_is_used_once(anywhere: Identity) -> None:
    error = await refusal(anywhere.add_role("client"))
    assert (error.kind, error.code) == (ErrorKind.CONFLICT, "role_exists")


@pytest.mark.parametrize("role_id", [1, 2])
async def test_built_in_roles_stay(identity: Identity, role_id: int) -> None:
    for work in (change(identity, role_id, permissions=[]), delete(identity, role_id)):
        error = await refusal(work)
        assert (error.kind, error.code) == (ErrorKind.CONFLICT, "role_builtin")


async def test_a_role_in_use_is_not_deleted(anywhere: Identity) -> None:
    role_id = await anywhere.add_role("tech")
    user_id = await anywhere.add_user("ana", role="tech")
    error = await refusal(delete(anywhere, role_id))
    assert (error.kind, error.code) == (ErrorKind.CONFLICT, "role_in_use")
    assert [problem.where for problem in error.problems] == [f"users[{user_id}]"]


async def test_unknown_permissions_are_all_named(identity: Identity) -> None:
    error = await refusal(identity.add_role("tech", "host:read", "host:fly", "*:read", "fly:*", ""))
    assert (error.kind, error.code) == (ErrorKind.INVALID, "unknown_permission")
    assert [problem.where for problem in error.problems] == [f"permissions[{n}]" for n in (1, 2, 3, 4)]


async def test_nobody_gives_away_what_they_do_not_hold(identity: Identity) -> None:
    kim = await keeper(identity)
    async with identity.uows.write() as uow:
        await identity.roles.create(uow, kim, name="reader", permissions=["host:read"])
        for right in ("host:write", "host:*", "*"):
            error = await refusal(identity.roles.create(uow, kim, name="x", permissions=[right]))
            assert (error.kind, error.code) == (ErrorKind.FORBIDDEN, "beyond_your_rights")


async def test_nobody_widens_their_own_role(identity: Identity) -> None:
    kim = await keeper(identity)
    async with identity.uows.read() as uow:
        mine = await uow.roles.by_name("keeper")
    assert mine is not None
    error = await refusal(change(identity, mine.id, kim, permissions=["*"]))
    assert error.code == "beyond_your_rights"


async def test_nobody_cuts_roles_above_their_own(identity: Identity) -> None:
    kim = await keeper(identity)
    role_id = await identity.add_role("boss", "user:*")
    for work in (change(identity, role_id, kim, permissions=[]), delete(identity, role_id, kim)):
        assert (await refusal(work)).code == "beyond_your_rights"


async def test_scopes_limit_what_is_given_away(identity: Identity) -> None:
    scoped = replace(ROOT, scopes=frozenset({"role:*"}))
    async with identity.uows.write() as uow:
        error = await refusal(identity.roles.create(uow, scoped, name="x", permissions=["host:read"]))
    assert error.code == "beyond_your_rights"


async def test_clients_see_no_roles(identity: Identity) -> None:
    await identity.add_user("ana")
    ana = await identity.caller("ana")
    async with identity.uows.write() as uow:
        for work in (
            identity.roles.page(uow, ana, PageRequest()),
            identity.roles.get(uow, ana, 1),
            identity.roles.create(uow, ana, name="x", permissions=[]),
            identity.roles.delete(uow, ana, 1),
        ):
            assert (await refusal(work)).code == "permission_missing"


async def test_the_role_of_the_last_administrators_keeps_its_power(anywhere: Identity) -> None:
    role_id = await anywhere.add_role("root", "*")
    async with anywhere.uows.write() as uow:
        await anywhere.users.update(uow, ROOT, ADMIN_ID, UserChanges(role="root", is_superuser=False))
        await uow.commit()
    error = await refusal(change(anywhere, role_id, permissions=["user:*"]))
    assert (error.kind, error.code) == (ErrorKind.CONFLICT, "last_administrator")
    await anywhere.add_user("carl", role="admin")
    assert await change(anywhere, role_id, permissions=["user:*"]) == ("user:*",)
