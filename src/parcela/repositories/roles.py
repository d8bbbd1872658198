"""Roles and their permissions."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select

from parcela.models import Role, RolePermission
from parcela.models.derived import shown
from parcela.repositories.base import Repository
from parcela.repositories.paging import Page, PageRequest, fetch_page


@dataclass(frozen=True, slots=True)
class RoleRecord:
    """A role with its rights, in alphabetical order."""

    id: int
    name: str
    description: str
    is_builtin: bool
    created_at: datetime
    permissions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RolePage:
    """Roles of a page and the cursor of the next one."""

    rows: list[RoleRecord]
    next_cursor: str | None


class RoleRepository(Repository[Role]):
    """Roles."""

    model = Role
    noun = "role"

    async def record(self, role_id: int) -> RoleRecord | None:
        """A role with its rights, as stored now."""
        found = await self._session.execute(select(*shown(Role)).where(Role.id == role_id))
        row = found.mappings().one_or_none()
        return None if row is None else (await self._with_permissions([dict(row)]))[0]

    async def by_name(self, name: str) -> Role | None:
        """The role with a name."""
        rows = (await self._session.scalars(select(Role).where(Role.name == name))).all()
        return next((row for row in rows if row.name == name), None)

    async def page(self, request: PageRequest) -> RolePage:
        """Roles with their rights."""
        sortable: dict[str, Any] = {"name": Role.name, "created_at": Role.created_at}
        statement = select(*shown(Role))
        page: Page = await fetch_page(
            self._session, statement, request, sortable=sortable, id_column=Role.__table__.c.id
        )
        return RolePage(await self._with_permissions([dict(row) for row in page.rows]), page.next_cursor)

    async def permissions(self, role_id: int) -> frozenset[str]:
        """Rights of a role."""
        return (await self._permissions([role_id])).get(role_id, frozenset())

    async def set_permissions(self, role_id: int, permissions: Iterable[str]) -> None:
        """Replace the rights of a role."""
        await self._changed(delete(RolePermission).where(RolePermission.role_id == role_id))
        rows = [{"role_id": role_id, "permission": permission} for permission in sorted(set(permissions))]
        if rows:
            await self._session.execute(insert(RolePermission), rows)

    async def _permissions(self, role_ids: Collection[int]) -> dict[int, frozenset[str]]:
        statement = select(RolePermission.role_id, RolePermission.permission)
        rows = await self._session.execute(statement.where(RolePermission.role_id.in_(role_ids)))
        found: dict[int, set[str]] = {}
        for role_id, permission in rows:
            found.setdefault(role_id, set()).add(permission)
        return {role_id: frozenset(rights) for role_id, rights in found.items()}

    async def _with_permissions(self, rows: list[dict[str, Any]]) -> list[RoleRecord]:
        rights = await self._permissions([row["id"] for row in rows])
        return [RoleRecord(**row, permissions=tuple(sorted(rights.get(row["id"], ())))) for row in rows]
