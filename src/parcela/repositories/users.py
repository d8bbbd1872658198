"""Users."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, delete, func, or_, select

from parcela.core.lifecycle import OPERATION_TERMINAL, SLICE_TERMINAL, VM_TERMINAL
from parcela.core.permissions import ALL
from parcela.models import (
    ConsoleTicket,
    ExternalIdentity,
    Image,
    Operation,
    Role,
    RolePermission,
    Segment,
    Slice,
    Template,
    User,
    VirtualMachine,
)
from parcela.models.derived import folded_name, same
from parcela.repositories.base import Repository
from parcela.repositories.paging import Page, PageRequest, fetch_page

DEAD_VMS = [state.value for state in VM_TERMINAL]
DEAD_SLICES = [state.value for state in SLICE_TERMINAL]
ENDED = [state.value for state in OPERATION_TERMINAL]


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A user as others see it: no password hash, the role by its name."""

    id: int
    email: str
    username: str
    full_name: str
    role: str
    role_id: int
    is_superuser: bool
    is_active: bool
    locale: str
    created_at: datetime
    last_login_at: datetime | None


def _records() -> Select[Any]:
    columns = [User.__table__.c[name] for name in UserRecord.__slots__ if name != "role"]
    return select(*columns, Role.name.label("role")).join(Role, Role.id == User.role_id)


class UserRepository(Repository[User]):
    """Users; identifiers are kept in lower case."""

    model = User
    noun = "user"

    async def record(self, user_id: int) -> UserRecord | None:
        """A user with the name of the role, as stored now."""
        row = (await self._session.execute(_records().where(User.id == user_id))).mappings().one_or_none()
        return None if row is None else UserRecord(**row)

    async def page(
        self, request: PageRequest, *, role: str | None = None, is_active: bool | None = None, prefix: str | None = None
    ) -> Page:
        """Users with the fields of UserRecord; ``prefix`` is the beginning of e-mail address, username or full name."""
        statement = _records()
        if role is not None:
            statement = statement.where(same(Role.name, role))
        if is_active is not None:
            statement = statement.where(User.is_active.is_(is_active))
        if prefix:
            begins = folded_name(prefix)
            places = (User.email, User.username, User.full_name_fold)
            statement = statement.where(or_(*(place.startswith(begins, autoescape=True) for place in places)))
        names = ("email", "username", "full_name", "created_at")
        sortable: dict[str, Any] = {name: getattr(User, name) for name in names}
        return await fetch_page(self._session, statement, request, sortable=sortable, id_column=User.__table__.c.id)

    async def by_identifier(self, identifier: str) -> User | None:
        """The user with this e-mail address or username, in lower case.

        Compared again here: MariaDB's collation takes "josé" for "jose", and each such spelling would come with a login
        counter of its own.
        """
        statement = select(User).where(or_(User.email == identifier, User.username == identifier))
        rows = (await self._session.scalars(statement, execution_options={"populate_existing": True})).all()
        return next((row for row in rows if identifier in {row.email, row.username}), None)

    async def unfinished(self, before: datetime, limit: int = 100) -> list[int]:
        """Ids of accounts that registered before a time and were never entered: no password, login or identity."""
        linked = select(ExternalIdentity.id).where(ExternalIdentity.user_id == User.id)
        statement = select(User.id).where(
            User.self_registered.is_(True),
            User.password_hash == "",
            User.last_login_at.is_(None),
            User.created_at < before,
            ~linked.exists(),
        )
        return list((await self._session.scalars(statement.order_by(User.id).limit(limit))).all())

    async def count(self) -> int:
        """Number of users."""
        return int((await self._session.execute(select(func.count(User.id)))).scalar_one())

    async def lock_administrators(self) -> list[int]:
        """Ids of the active users that may do everything, locked in the order of their ids.

        Whoever takes somebody's rights away takes these locks first, so that two administrators cannot remove each
        other at the same moment.
        """
        everything = select(RolePermission.role_id).where(RolePermission.permission == ALL)
        role_ids = (await self._session.scalars(everything)).all()
        statement = (
            select(User.id)
            .where(User.is_active.is_(True), or_(User.is_superuser.is_(True), User.role_id.in_(role_ids)))
            .order_by(User.id)
            .with_for_update()
        )
        return list((await self._session.scalars(statement)).all())

    async def ids_with_role(self, role_id: int, *, limit: int) -> list[int]:
        """Some of the users that hold a role."""
        statement = select(User.id).where(User.role_id == role_id).order_by(User.id).limit(limit)
        return list((await self._session.scalars(statement)).all())

    async def template_names(self, owner_id: int) -> list[tuple[int, str]]:
        """(id, name) of the templates of a user."""
        return await self._pairs(select(Template.id, Template.name).where(Template.owner_id == owner_id))

    async def image_names(self, owner_id: int) -> list[tuple[int, str]]:
        """(id, name) of the images of a user."""
        return await self._pairs(select(Image.id, Image.name).where(Image.owner_id == owner_id))

    async def unfinished_operations(self, owner_id: int) -> list[tuple[int, str]]:
        """(id, kind) of the operations of a user that have not ended."""
        statement = select(Operation.id, Operation.kind)
        return await self._pairs(statement.where(Operation.owner_id == owner_id, Operation.state.not_in(ENDED)))

    async def _pairs(self, statement: Select[int, str]) -> list[tuple[int, str]]:
        rows = await self._session.execute(statement.order_by(statement.selected_columns[0]))
        return [(row_id, name) for row_id, name in rows]

    async def remove_with_history(self, user: User) -> None:
        """Remove a user and the rows of what they once had: ended operations, deleted VMs, destroyed slices.

        Events stay, they hold no reference. What still lives keeps its reference, so the database refuses then.
        """
        vm_ids = await self._ids(VirtualMachine.id, VirtualMachine.owner_id == user.id, VirtualMachine.state, DEAD_VMS)
        slice_ids = await self._ids(Slice.id, Slice.owner_id == user.id, Slice.state, DEAD_SLICES)
        ended = Operation.state.in_(ENDED)
        await self._changed(delete(Operation).where(ended, Operation.owner_id == user.id))
        for some in _chunks(vm_ids):
            await self._changed(delete(Operation).where(ended, Operation.vm_id.in_(some)))
            await self._changed(delete(ConsoleTicket).where(ConsoleTicket.vm_id.in_(some)))
            await self._changed(delete(VirtualMachine).where(VirtualMachine.id.in_(some)))
        for some in _chunks(slice_ids):
            await self._changed(delete(Operation).where(ended, Operation.slice_id.in_(some)))
            await self._changed(delete(Segment).where(Segment.slice_id.in_(some)))
            await self._changed(delete(Slice).where(Slice.id.in_(some)))
        await self.delete(user)

    async def _ids(self, id_column: Any, owned: Any, state_column: Any, states: Sequence[str]) -> list[int]:
        return list((await self._session.scalars(select(id_column).where(owned, state_column.in_(states)))).all())


def _chunks(ids: Sequence[int], size: int = 500) -> list[Sequence[int]]:
    """Parts that fit into one statement (SQLite takes 32,766 parameters, asyncpg 32,767)."""
    return [ids[start : start + size] for start in range(0, len(ids), size)]
