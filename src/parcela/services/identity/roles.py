"""Roles: named sets of rights. Nobody gives away rights they do not hold."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from parcela.core.errors import Problem, conflict, forbidden, invalid, not_found
from parcela.core.permissions import Permission, grants, is_known
from parcela.core.scopes import is_scope
from parcela.models import Role
from parcela.repositories.paging import PageRequest
from parcela.repositories.roles import RolePage, RoleRecord
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork
from parcela.services.access import Caller

HOLDERS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class RoleChanges:
    """What to change in a role; None leaves a field as it is."""

    name: str | None = None
    description: str | None = None
    permissions: Sequence[str] | None = None


def holds(caller: Caller, right: str) -> bool:
    """Whether a caller holds a right or wildcard, within the scopes of their token."""
    held = caller.is_superuser or grants(caller.permissions, right)
    return held and (caller.scopes is None or grants(caller.scopes, right))


def check_within_rights(caller: Caller, rights: Iterable[str], what: str) -> None:
    """Raise ``forbidden`` when some of the rights are beyond the caller's own."""
    beyond = sorted(right for right in rights if not holds(caller, right))
    if beyond:
        raise forbidden("beyond_your_rights", f"{what} has rights that you do not hold: {', '.join(beyond)}.")


def check_known(rights: Sequence[str], where: str) -> None:
    """Raise ``invalid`` with a problem for every right that does not exist."""
    problems = [
        Problem(f"{where}[{index}]", f"There is no permission '{right}'; see GET /permissions.", "unknown_permission")
        for index, right in enumerate(rights)
        if not is_known(right)
    ]
    if problems:
        raise invalid("unknown_permission", "Some of the permissions do not exist.", *problems)


def check_scopes(scopes: Sequence[str], where: str) -> None:
    """Raise ``invalid`` with a problem for every scope that does not exist."""
    problems = [
        Problem(f"{where}[{index}]", f"There is no scope '{scope}'; see GET /permissions.", "unknown_permission")
        for index, scope in enumerate(scopes)
        if not is_scope(scope)
    ]
    if problems:
        raise invalid("unknown_permission", "Some of the scopes do not exist.", *problems)


async def check_administrators_left(uow: UnitOfWork) -> None:
    """Raise ``conflict`` when the changes made so far leave nobody who may do everything."""
    await uow.flush()  # the database counts what it has been told
    if not await uow.users.lock_administrators():
        raise conflict("last_administrator", "This would leave no active administrator; make another one first.")


class RoleService:
    """Business rules of roles."""

    async def get(self, uow: ReadUnitOfWork, caller: Caller, role_id: int) -> RoleRecord:
        """A role; everybody with ``role:read`` may look."""
        caller.require(Permission.ROLE_READ)
        record = await uow.roles.record(role_id)
        if record is None:
            raise not_found("role", role_id)
        return record

    async def page(self, uow: ReadUnitOfWork, caller: Caller, request: PageRequest) -> RolePage:
        """Roles of a page."""
        caller.require(Permission.ROLE_READ)
        return await uow.roles.page(request)

    @staticmethod
    def check_create(caller: Caller, permissions: Sequence[str]) -> None:
        """Raise when the caller may not make a role with these rights."""
        caller.require(Permission.ROLE_WRITE)
        check_known(permissions, "permissions")
        check_within_rights(caller, permissions, "The role")

    async def create(
        self, uow: UnitOfWork, caller: Caller, *, name: str, permissions: Sequence[str], description: str = ""
    ) -> RoleRecord:
        """Make a custom role of rights the caller holds."""
        self.check_create(caller, permissions)
        role = await uow.roles.add(Role(name=name, description=description, is_builtin=False, created_at=uow.clock()))
        await uow.roles.set_permissions(role.id, permissions)
        self._event(uow, caller, "role.created", role, permissions=sorted(set(permissions)))
        return await self._stored(uow, role.id)

    async def get_for_update(self, uow: UnitOfWork, caller: Caller, role_id: int) -> RoleRecord:
        """A role that is going to be changed or deleted, locked.

        Raises:
            ParcelaError: ``forbidden`` when it has rights beyond the caller's, ``conflict`` when it is a built-in one.
        """
        caller.require(Permission.ROLE_WRITE)
        await uow.users.lock_administrators()
        role = await uow.roles.lock(role_id)
        record = await self._stored(uow, role_id)
        if role.is_builtin:
            raise conflict("role_builtin", f"The role '{role.name}' is built in and stays as it is.")
        check_within_rights(caller, record.permissions, "The role")
        return record

    async def update(
        self,
        uow: UnitOfWork,
        caller: Caller,
        role_id: int,
        changes: RoleChanges,
        check: Callable[[RoleRecord], None] = lambda _: None,
    ) -> RoleRecord:
        """Change a custom role; its holders have the new rights from the next request on.

        ``check`` sees the locked role first.
        """
        before = await self.get_for_update(uow, caller, role_id)
        check(before)
        role = await uow.roles.get(role_id)
        if changes.name is not None:
            role.name = changes.name
        if changes.description is not None:
            role.description = changes.description
        if changes.permissions is not None:
            check_known(changes.permissions, "permissions")
            check_within_rights(caller, changes.permissions, "The role")
            if set(changes.permissions) != set(before.permissions):
                await uow.roles.set_permissions(role_id, changes.permissions)
        await check_administrators_left(uow)
        record = await self._stored(uow, role_id)
        if record != before:
            self._event(uow, caller, "role.updated", role, permissions=list(record.permissions))
        return record

    async def delete(
        self, uow: UnitOfWork, caller: Caller, role_id: int, check: Callable[[RoleRecord], None] = lambda _: None
    ) -> None:
        """Remove a custom role that nobody holds. ``check`` sees the locked role first."""
        check(await self.get_for_update(uow, caller, role_id))
        role = await uow.roles.get(role_id)
        holders = await uow.users.ids_with_role(role_id, limit=HOLDERS_SHOWN)
        if holders:
            problems = [
                Problem(f"users[{user_id}]", f"User {user_id} has this role.", "has_role") for user_id in holders
            ]
            raise conflict("role_in_use", f"Some users still have the role '{role.name}'.", *problems)
        self._event(uow, caller, "role.deleted", role)
        await uow.roles.delete(role)

    @staticmethod
    async def _stored(uow: UnitOfWork, role_id: int) -> RoleRecord:
        record = await uow.roles.record(role_id)
        if record is None:
            raise not_found("role", role_id)
        return record

    @staticmethod
    def _event(uow: UnitOfWork, caller: Caller, event_type: str, role: Role, **data: Any) -> None:
        facts = {"role_id": role.id, "name": role.name, **data}
        uow.add_event(event_type, actor_id=caller.user_id, owner_id=None, data=facts)
