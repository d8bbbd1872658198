"""Users: rules of creation, change and deletion."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.core.lifecycle import OperationState, SliceState, VmState
from parcela.core.permissions import Permission
from parcela.models import (
    ConsoleTicket,
    Image,
    Nic,
    Operation,
    OperationStep,
    Segment,
    Slice,
    Template,
    VirtualMachine,
    Zone,
)
from parcela.repositories.paging import PageRequest
from parcela.repositories.uow import UnitOfWork
from parcela.services.access import Caller
from parcela.services.identity.users import NewUser, UserChanges
from tests.integration.identity.support import ADMIN_ID, PASSWORD, ROOT, Identity, together

pytestmark = pytest.mark.anyio

USER_WRITER = frozenset({"user:read", "user:write", "vm:create"})
NEW = NewUser(email="Ana.Q@Lab.Local", username="Ana", password_hash="-", full_name="Ana Quispe", role="client")


async def create(identity: Identity, new: NewUser, caller: Caller = ROOT) -> int:
    async with identity.uows.write() as uow:
        user = await identity.users.create(uow, caller, new)
        await uow.commit()
    return user.id


async def change(identity: Identity, user_id: int, caller: Caller = ROOT, **changes: Any) -> None:
    async with identity.uows.write() as uow:
        await identity.users.update(uow, caller, user_id, UserChanges(**changes))
        await uow.commit()


async def delete(identity: Identity, user_id: int, caller: Caller = ROOT) -> None:
    async with identity.uows.write() as uow:
        await identity.users.delete(uow, caller, user_id)
        await uow.commit()


async def refusal(work: Any) -> ParcelaError:
    with pytest.raises(ParcelaError) as caught:
        await work
    return caught.value


async def writer(identity: Identity, name: str = "boss") -> Caller:
    """Somebody with ``user:write`` and little else."""
    if name == "boss":
        await identity.add_role("boss", *USER_WRITER)
    await identity.add_user(name, role="boss")
    return await identity.caller(name)


async def test_create(anywhere: Identity) -> None:
    user_id = await create(anywhere, NEW)
    async with anywhere.uows.read() as uow:
        user = await anywhere.users.get(uow, ROOT, user_id)
    assert (user.email, user.username, user.full_name) == ("ana.q@lab.local", "ana", "Ana Quispe")
    assert (user.role, user.is_superuser, user.is_active, user.locale) == ("client", False, True, "en")
    assert (user.created_at, user.last_login_at) == (anywhere.clock(), None)
    event = anywhere.events[-1]
    assert (event.type, event.actor_id, event.owner_id) == ("user.created", ADMIN_ID, None)
    assert event.data == {"user_id": user_id, "username": "ana", "role": "client"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"email": "no address"}, "email_invalid"),
        ({"username": "-x"}, "username_invalid"),
        ({"locale": "fr"}, "locale_unknown"),
        ({"role": "king"}, "unknown_role"),
        ({"role": "client\x01"}, "unknown_role"),
    ],
)
async def test_bad_values(identity: Identity, changes: dict[str, Any], code: str) -> None:
    error = await refusal(create(identity, replace(NEW, **changes)))
    assert (error.kind, error.code) == (ErrorKind.INVALID, code)
    assert error.problems[0].where == next(iter(changes))


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"email": "ADMIN@lab.local"}, "email_taken"), ({"username": "Admin"}, "username_taken")],
)
async def test_taken(anywhere: Identity, changes: dict[str, Any], code: str) -> None:
    error = await refusal(create(anywhere, replace(NEW, **changes)))
    assert (error.kind, error.code) == (ErrorKind.CONFLICT, code)
    user_id = await create(anywhere, NEW)
    error = await refusal(change(anywhere, user_id, **changes))
    assert (error.kind, error.code) == (ErrorKind.CONFLICT, code)


async def test_two_creations_at_once(anywhere: Identity) -> None:
    outcomes = await together(*(create(anywhere, NEW) for _ in range(4)))
    codes = [outcome.code for outcome in outcomes if isinstance(outcome, ParcelaError)]
    assert len(codes) == 3
    assert set(codes) <= {"email_taken", "username_taken"}, "which constraint speaks first is the database's choice"


async def test_who_sees_whom(identity: Identity) -> None:
    ana, bob = await identity.add_user("ana"), await identity.add_user("bob")
    caller = await identity.caller("ana")
    async with identity.uows.read() as uow:
        assert (await identity.users.get(uow, caller, ana)).id == ana
        for hidden in (bob, 999):
            error = await refusal(identity.users.get(uow, caller, hidden))
            assert (error.kind, error.code) == (ErrorKind.NOT_FOUND, "user_not_found")
        error = await refusal(identity.users.page(uow, caller, PageRequest()))
        assert (error.kind, error.code) == (ErrorKind.FORBIDDEN, "permission_missing")


async def test_clients_change_nobody(identity: Identity) -> None:
    await identity.add_user("ana")
    caller = await identity.caller("ana")
    for work in (
        create(identity, replace(NEW, username="eve"), caller),
        change(identity, ADMIN_ID, caller, full_name="x"),
        change(identity, caller.user_id, caller, role="admin"),
        delete(identity, ADMIN_ID, caller),
    ):
        assert (await refusal(work)).code == "permission_missing"


async def test_nobody_is_made_more_powerful_than_the_maker(anywhere: Identity) -> None:
    boss = await writer(anywhere)
    await create(anywhere, replace(NEW, role="boss"), boss)
    error = await refusal(create(anywhere, replace(NEW, username="eve", role="admin"), boss))
    assert (error.kind, error.code) == (ErrorKind.FORBIDDEN, "beyond_your_rights")
    error = await refusal(create(anywhere, replace(NEW, username="eve", role="boss", is_superuser=True), boss))
    assert (error.kind, error.code) == (ErrorKind.FORBIDDEN, "superuser_only")


async def test_nobody_makes_themselves_more_powerful(identity: Identity) -> None:
    boss = await writer(identity)
    assert (await refusal(change(identity, boss.user_id, boss, role="admin"))).code == "beyond_your_rights"
    assert (await refusal(change(identity, boss.user_id, boss, is_superuser=True))).code == "superuser_only"


async def test_the_powerful_are_not_taken_over(identity: Identity) -> None:
    """A new password or address for an administrator would be the administrator's account."""
    boss = await writer(identity)
    plain_admin = await identity.add_user("carl", role="admin")
    for changes in ({"password_hash": "x"}, {"email": "boss@evil.test"}, {"is_active": False}, {"role": "boss"}):
        assert (await refusal(change(identity, plain_admin, boss, **changes))).code == "beyond_your_rights"
        assert (await refusal(change(identity, ADMIN_ID, boss, **changes))).code == "superuser_only"
    assert (await refusal(delete(identity, plain_admin, boss))).code == "beyond_your_rights"
    assert (await refusal(delete(identity, ADMIN_ID, boss))).code == "superuser_only"


async def test_administrators_do_not_touch_superusers(identity: Identity) -> None:
    await identity.add_user("carl", role="admin")
    carl = await identity.caller("carl")
    assert (await refusal(change(identity, carl.user_id, carl, is_superuser=True))).code == "superuser_only"
    assert (await refusal(change(identity, ADMIN_ID, carl, password_hash="x"))).code == "superuser_only"
    await change(identity, carl.user_id, ROOT, is_superuser=True)


async def test_a_scoped_token_does_not_escalate(identity: Identity) -> None:
    """The token of a superuser, limited to users, must not make an administrator."""
    scoped = replace(ROOT, scopes=frozenset({"user:read", "user:write"}))
    assert (await refusal(create(identity, replace(NEW, role="admin"), scoped))).code == "beyond_your_rights"
    assert (await refusal(create(identity, replace(NEW, is_superuser=True), scoped))).code == "superuser_only"
    assert (await refusal(change(identity, ADMIN_ID, scoped, password_hash="x"))).code == "superuser_only"


@pytest.mark.parametrize("changes", [{"is_active": False}, {"role": "client", "is_superuser": False}])
async def test_the_last_administrator_stays(anywhere: Identity, changes: dict[str, Any]) -> None:
    error = await refusal(change(anywhere, ADMIN_ID, **changes))
    assert (error.kind, error.code) == (ErrorKind.CONFLICT, "last_administrator")
    error = await refusal(delete(anywhere, ADMIN_ID))
    assert (error.kind, error.code) == (ErrorKind.CONFLICT, "last_administrator")
    sleeping = await anywhere.add_user("carl", role="admin", is_active=False)
    assert (await refusal(change(anywhere, ADMIN_ID, **changes))).code == "last_administrator"
    await change(anywhere, sleeping, is_active=True)
    await change(anywhere, ADMIN_ID, **changes)


async def test_a_superuser_without_the_role_is_an_administrator(identity: Identity) -> None:
    await change(identity, ADMIN_ID, role="client")
    error = await refusal(change(identity, ADMIN_ID, is_superuser=False))
    assert error.code == "last_administrator"


async def test_two_administrators_cannot_remove_each_other_at_once(anywhere: Identity) -> None:
    second = await anywhere.add_user("carl", role="admin", is_superuser=True)
    carl = replace(ROOT, user_id=second, username="carl")
    for work in (change, delete):
        facts: dict[str, Any] = {"is_active": False} if work is change else {}
        outcomes = await together(work(anywhere, second, ROOT, **facts), work(anywhere, ADMIN_ID, carl, **facts))
        assert sorted(getattr(outcome, "code", "done") for outcome in outcomes) == ["done", "last_administrator"]
        async with anywhere.uows.read() as uow:
            left = await uow.users.lock_administrators()
        assert len(left) == 1
        if work is change:
            await change(anywhere, ADMIN_ID, is_active=True)
            await change(anywhere, second, is_active=True)


async def test_what_everybody_may_change_of_themselves(identity: Identity) -> None:
    await identity.add_user("ana")
    caller = await identity.caller("ana")
    async with identity.uows.write() as uow:
        me = await identity.users.update_me(uow, caller, full_name="Ana", locale="es")
        await uow.commit()
    assert (me.full_name, me.locale) == ("Ana", "es")
    assert (await identity.caller("ana")).locale == "es"
    scoped = replace(caller, scopes=frozenset({"vm:*"}))
    async with identity.uows.write() as uow:
        assert (await refusal(identity.users.update_me(uow, scoped, full_name="x"))).code == "scope_missing"


async def test_filters_and_pages(anywhere: Identity) -> None:
    for name in ("ana", "anna", "bob_", "bobx"):
        await anywhere.add_user(name)
    await anywhere.add_user("carl", role="admin", is_active=False)

    async def names(**filters: Any) -> list[str]:
        async with anywhere.uows.read() as uow:
            page = await anywhere.users.page(uow, ROOT, PageRequest(sort="username"), **filters)
        return [row["username"] for row in page.rows]

    assert sorted(await names()) == ["admin", "ana", "anna", "bob_", "bobx", "carl"]
    assert await names(prefix="AN") == ["ana", "anna"]
    assert await names(prefix="bob_") == ["bob_"], "no wildcards"
    assert await names(prefix="%") == []
    assert await names(prefix="ana@lab.l") == ["ana"]
    assert await names(role="admin") == ["admin", "carl"]
    assert await names(role="admin", is_active=True) == ["admin"]
    assert await names(is_active=False) == ["carl"]
    async with anywhere.uows.read() as uow:
        first = await anywhere.users.page(uow, ROOT, PageRequest(limit=4, sort="-email"))
        rest = await anywhere.users.page(uow, ROOT, PageRequest(limit=4, sort="-email", cursor=first.next_cursor))
    seen = [row["username"] for row in [*first.rows, *rest.rows]]
    assert (seen[0], seen[-2:], len(set(seen))) == ("carl", ["ana", "admin"], 6)


class Estate:
    """Rows that a user owns."""

    def __init__(self, uow: UnitOfWork, owner_id: int) -> None:
        self.uow = uow
        self.owner_id = owner_id
        self.now = uow.clock()

    async def template(self) -> Template:
        row = Template(name="first", owner_id=self.owner_id, created_at=self.now, updated_at=self.now)
        return await self.uow.templates.add(row)

    async def image(self, owner_id: int | None) -> Image:
        row = Image(name=f"image of {owner_id}", format="qcow2", sha256="0", size_bytes=1, virtual_size_bytes=1)
        row.owner_id, row.path, row.created_at = owner_id, "x", self.now
        return await self.uow.images.add(row)

    async def slice(self, zone_id: int, state: SliceState) -> Slice:
        row = Slice(uuid=uuid4(), name="lab", owner_id=self.owner_id, zone_id=zone_id, state=state.value)
        row.created_at = row.updated_at = self.now
        return await self.uow.slices.add(row)

    async def vm(self, zone_id: int, image_id: int, slice_id: int | None, state: VmState) -> VirtualMachine:
        row = VirtualMachine(uuid=uuid4(), name="web", owner_id=self.owner_id, zone_id=zone_id, image_id=image_id)
        row.slice_id, row.state, row.guest = slice_id, state.value, {}
        row.cores, row.memory_mib, row.disk_gib = 1, 128, 1
        row.created_at = row.updated_at = self.now
        return await self.uow.vms.add(row)

    async def operation(self, state: OperationState, vm_id: int | None, slice_id: int | None) -> Operation:
        row = Operation(kind="deploy", state=state.value, owner_id=self.owner_id, vm_id=vm_id, slice_id=slice_id)
        row.created_at = self.now
        operation = await self.uow.operations.add(row)
        step = OperationStep(
            operation_id=operation.id, position=0, key="k", kind="k", label="l", depends_on=[], args={}
        )
        await self._add(step)
        return operation

    async def remains(self, zone_id: int, image_id: int) -> None:
        """What a destroyed slice leaves."""
        gone = await self.slice(zone_id, SliceState.DESTROYED)
        segment = Segment(uuid=uuid4(), slice_id=gone.id, name="lan", kind="lan", created_at=self.now)
        await self._add(segment)
        vm = await self.vm(zone_id, image_id, gone.id, VmState.DELETED)
        await self._add(Nic(vm_id=vm.id, position=0, mac="52:54:00:00:00:01", segment_id=segment.id))
        ticket = ConsoleTicket(token_hash="t", vm_id=vm.id, user_id=ADMIN_ID, kind="vnc")
        ticket.expires_at = ticket.created_at = self.now
        await self._add(ticket)
        await self.operation(OperationState.SUCCEEDED, vm.id, None)
        await self.operation(OperationState.FAILED, None, gone.id)

    async def _add(self, row: Any) -> None:
        self.uow._session.add(row)
        await self.uow.flush()  # ids


async def test_deletion_names_all_that_stands_in_the_way(anywhere: Identity) -> None:
    user_id = await anywhere.add_user("ana")
    async with anywhere.uows.write() as uow:
        estate = Estate(uow, user_id)
        zone = await uow.zones.add(Zone(name="z", provider="simulated", created_at=anywhere.clock()))
        image = await estate.image(user_id)
        template = await estate.template()
        slice_ = await estate.slice(zone.id, SliceState.RUNNING)
        inside = await estate.vm(zone.id, image.id, slice_.id, VmState.RUNNING)
        alone = await estate.vm(zone.id, image.id, None, VmState.STOPPED)
        running = await estate.operation(OperationState.RUNNING, inside.id, None)
        await estate.remains(zone.id, image.id)
        await uow.commit()
    error = await refusal(delete(anywhere, user_id))
    assert (error.kind, error.code) == (ErrorKind.CONFLICT, "user_owns_things")
    assert [(problem.where, problem.code) for problem in error.problems] == [
        (f"virtual_machines[{inside.id}]", "owns_virtual_machine"),
        (f"virtual_machines[{alone.id}]", "owns_virtual_machine"),
        (f"slices[{slice_.id}]", "owns_slice"),
        (f"templates[{template.id}]", "owns_template"),
        (f"images[{image.id}]", "owns_image"),
        (f"operations[{running.id}]", "owns_running_operation"),
    ]
    assert "web" in error.problems[0].what
    async with anywhere.uows.read() as uow:
        assert (await anywhere.users.get(uow, ROOT, user_id)).is_active


async def test_what_once_was_stands_in_nobodys_way(anywhere: Identity) -> None:
    user_id = await anywhere.add_user("ana")
    await anywhere.login("ana")
    async with anywhere.uows.write() as uow:
        zone = await uow.zones.add(Zone(name="z", provider="simulated", created_at=anywhere.clock()))
        estate = Estate(uow, user_id)
        image = await estate.image(None)
        await estate.remains(zone.id, image.id)
        await uow.commit()
    await delete(anywhere, user_id)
    async with anywhere.uows.read() as uow:
        assert await uow.users.get_or_none(user_id) is None
        for rows in (uow.tokens, uow.slices, uow.vms, uow.operations, uow.console_tickets):
            assert await rows.all() == []
    assert anywhere.events[-1].data == {"user_id": user_id, "username": "ana"}


async def test_a_user_who_is_not_there(identity: Identity) -> None:
    for work in (delete(identity, 99), change(identity, 99, full_name="x")):
        error = await refusal(work)
        assert (error.kind, error.code) == (ErrorKind.NOT_FOUND, "user_not_found")


async def test_rights_of_new_users_come_from_their_role(identity: Identity) -> None:
    await create(identity, replace(NEW, password_hash=await identity.users.hash_password(PASSWORD)))
    caller = await identity.caller("ana")
    assert caller.can(Permission.VM_CREATE)
    assert not caller.can(Permission.VM_READ_ALL)
