"""Virtual machines."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, TypedDict
from uuid import UUID

from sqlalchemy import Select, bindparam, func, select, update

from parcela.core.lifecycle import DesiredState, VmState
from parcela.models import Flavour, Host, Image, Slice, User, VirtualMachine
from parcela.models.derived import same, shown, with_derived
from parcela.repositories.base import Repository, mine_or_managed
from parcela.repositories.paging import Page, PageRequest, fetch_page, first_page, read_page

_VMS = VirtualMachine.__table__.c
_USERS, _IMAGES, _FLAVOURS = User.__table__, Image.__table__, Flavour.__table__
_HOSTS, _SLICES = Host.__table__, Slice.__table__
_WITH_NAMES: Select[Any] = (
    select(
        *[column for column in shown(VirtualMachine) if column.name not in {"user_data", "guest"}],
        _USERS.c.username.label("owner"),
        _IMAGES.c.name.label("os"),
        _FLAVOURS.c.name.label("flavour"),
        _HOSTS.c.name.label("host"),
        _SLICES.c.name.label("slice"),
    )
    .join(_USERS, _USERS.c.id == _VMS.owner_id)
    .join(_IMAGES, _IMAGES.c.id == _VMS.image_id)
    .outerjoin(_FLAVOURS, _FLAVOURS.c.id == _VMS.flavour_id)
    .outerjoin(_HOSTS, _HOSTS.c.id == _VMS.host_id)
    .outerjoin(_SLICES, _SLICES.c.id == _VMS.slice_id)
    # MariaDB began with the one image, collected all VMs of it and sorted them: 300 ms with 60,000 VMs instead of 5.
    .prefix_with("STRAIGHT_JOIN", dialect="mariadb")
    .prefix_with("STRAIGHT_JOIN", dialect="mysql")
)
"""VMs with the names of what they refer to. Built once: building it took longer than the database needs for a page.

Of tables, not of entities: the ORM would look at every row once more on its way.
"""
_LIVING = _WITH_NAMES.where(_VMS.state != VmState.DELETED.value)
_FIRST_OF_ALL = first_page(_LIVING, _VMS.id)
_FIRST_OF_OWNER = first_page(_LIVING.where(_VMS.owner_id == bindparam("owner_id")), _VMS.id)
EMPTIED: Mapping[str, Any] = MappingProxyType({"user_data": None, "guest": {}})
"""What a deleted VM does not keep: it may be 64 KiB and more, the row is kept for months, and no quota counts it."""
_SORTABLE: Mapping[str, Any] = MappingProxyType(
    {"name": _VMS.name, "label": _VMS.label, "created_at": _VMS.created_at, "state": _VMS.state}
)


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a living VM belongs, and which operation works on it."""

    host_id: int | None
    operation_id: int | None


@dataclass(frozen=True, slots=True)
class Judged:
    """What a look at the hypervisor is compared with."""

    id: int
    uuid: UUID
    owner_id: int
    slice_id: int | None
    state: str
    desired: str
    crash_policy: str
    error: str
    status_reason: str


class VmFilters(TypedDict, total=False):
    """Exact values that a list of VMs may be narrowed down to; None for any."""

    project_id: int | None
    slice_id: int | None
    host_id: int | None
    name: str | None
    label: str | None


_JUDGED = [_VMS[name] for name in Judged.__dataclass_fields__]


class VmRepository(Repository[VirtualMachine]):
    """VMs; state changes are compare-and-set."""

    model = VirtualMachine
    noun = "virtual machine"

    async def page(
        self,
        request: PageRequest,
        *,
        owner_id: int | None = None,
        managed: Collection[int] = (),
        project_id: int | None = None,
        slice_id: int | None = None,
        state: str | None = None,
        name: str | None = None,
        label: str | None = None,
        host_id: int | None = None,
        vm_id: int | None = None,
        include_deleted: bool = False,
        staying: bool = False,
    ) -> Page:
        """VMs with the names of what they refer to: one query, plain rows.

        ``staying``: without those that are being deleted.
        """
        filters = {
            "project_id": project_id,
            "slice_id": slice_id,
            "state": state,
            "name": name,
            "label": label,
            "host_id": host_id,
            "id": vm_id,
        }
        wanted = {column: value for column, value in filters.items() if value is not None}
        if not wanted and not managed and not include_deleted and not staying and request == PageRequest(request.limit):
            if owner_id is None:
                return await read_page(self._session, _FIRST_OF_ALL, request)
            return await read_page(self._session, _FIRST_OF_OWNER, request, owner_id=owner_id)
        statement = _WITH_NAMES
        if owner_id is not None:
            statement = statement.where(mine_or_managed(_VMS.owner_id, _VMS.project_id, owner_id, managed))
        for column, value in wanted.items():
            statement = statement.where(same(_VMS[column], value))
        if state is None and not include_deleted:
            statement = statement.where(_VMS.state != VmState.DELETED.value)
        if staying:
            statement = statement.where(_VMS.desired != DesiredState.DELETED.value)
        return await fetch_page(self._session, statement, request, sortable=_SORTABLE, id_column=_VMS.id)

    async def of_slice(self, slice_id: int) -> list[VirtualMachine]:
        """VMs of a slice that are not deleted, fresh."""
        statement = select(VirtualMachine).where(
            VirtualMachine.slice_id == slice_id, VirtualMachine.state != VmState.DELETED.value
        )
        result = await self._session.scalars(
            statement.order_by(VirtualMachine.id), execution_options={"populate_existing": True}
        )
        return list(result.all())

    async def to_judge(self, host_id: int, before: datetime, *, after_id: int, limit: int) -> list[Judged]:
        """At most ``limit`` VMs of a host by id: those that should be on it, are nobody's and unchanged since.

        Args:
            host_id: whose.
            before: rows that changed at this moment or later are left out.
            after_id: id of the last one that was given before; 0 to begin.
            limit: rows at a time.
        """
        statement = select(*_JUDGED).where(
            _VMS.host_id == host_id,
            _VMS.operation_id.is_(None),
            _VMS.state.not_in([VmState.DEFINED.value, VmState.DELETED.value]),
            _VMS.updated_at < before,
            _VMS.id > after_id,
        )
        return [Judged(*row) for row in await self._session.execute(statement.order_by(_VMS.id).limit(limit))]

    async def placed(self, uuids: Sequence[UUID]) -> dict[UUID, Placed]:
        """Those of the given VMs that are not deleted."""
        statement = select(_VMS.uuid, _VMS.host_id, _VMS.operation_id)
        statement = statement.where(_VMS.uuid.in_(uuids), _VMS.state != VmState.DELETED.value)
        return {row.uuid: Placed(row.host_id, row.operation_id) for row in await self._session.execute(statement)}

    async def claim(self, vm_ids: Sequence[int], operation_id: int) -> int:
        """Give VMs to an operation; the number of those nobody else held."""
        statement = update(VirtualMachine).where(VirtualMachine.id.in_(vm_ids), VirtualMachine.operation_id.is_(None))
        return await self._changed(statement.values(operation_id=operation_id, updated_at=self._clock()))

    async def let_go(self, operation_id: int) -> None:
        """Take all VMs from an operation."""
        statement = update(VirtualMachine).where(VirtualMachine.operation_id == operation_id)
        await self._changed(statement.values(operation_id=None))

    async def update_fields(self, vm_ids: Sequence[int], **values: Any) -> int:
        """Set columns of VMs; the state ``deleted`` empties what only a VM that may still boot needs."""
        statement = update(VirtualMachine).where(VirtualMachine.id.in_(vm_ids))
        emptied = EMPTIED if values.get("state") == VmState.DELETED.value else {}
        values = with_derived(VirtualMachine, values)
        return await self._changed(
            statement.values(**values, **emptied, generation=VirtualMachine.generation + 1, updated_at=self._clock())
        )

    async def change_state(
        self,
        vm_id: int,
        new: VmState,
        *,
        expected: Collection[VmState],
        operation_id: int | None,
        reason: str = "",
        **values: Any,
    ) -> bool:
        """Set the observed state, if it is one of ``expected`` and this operation (None: nobody) holds the VM.

        ``reason``: a ``PowerReason``, or "". As with ``update_fields``, the state ``deleted`` empties the row.
        """
        emptied = EMPTIED if new is VmState.DELETED else {}
        holder = VirtualMachine.operation_id
        statement = update(VirtualMachine).where(
            VirtualMachine.id == vm_id,
            VirtualMachine.state.in_([state.value for state in expected]),
            holder.is_(None) if operation_id is None else holder == operation_id,
        )
        return bool(
            await self._changed(
                statement.values(
                    state=new.value,
                    status_reason=reason,
                    generation=VirtualMachine.generation + 1,
                    updated_at=self._clock(),
                    **values,
                    **emptied,
                )
            )
        )

    async def names_beginning(self, owner_id: int, start: str) -> list[str]:
        """Names of the living stand-alone VMs of a user that begin so; ``start``: letters, digits and hyphens."""
        statement = select(VirtualMachine.name).where(
            VirtualMachine.owner_id == owner_id,
            VirtualMachine.slice_id.is_(None),
            VirtualMachine.state != VmState.DELETED.value,
            func.lower(VirtualMachine.name).startswith(start.lower()),
        )
        return list((await self._session.scalars(statement)).all())

    async def names_of_owner(self, owner_id: int) -> list[tuple[int, str]]:
        """(id, name) of the living VMs of a user."""
        statement = select(VirtualMachine.id, VirtualMachine.name).where(
            VirtualMachine.owner_id == owner_id, VirtualMachine.state != VmState.DELETED.value
        )
        return [(row_id, name) for row_id, name in await self._session.execute(statement)]
