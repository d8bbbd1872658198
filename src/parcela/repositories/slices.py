"""Slices."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, or_, select, update

from parcela.core.lifecycle import SLICE_TERMINAL, SliceState
from parcela.models import Project, Slice, Template, User, VirtualMachine, Zone
from parcela.models.derived import same, shown
from parcela.repositories.base import Repository, mine_or_managed
from parcela.repositories.paging import Page, PageRequest, fetch_page

_SLICES = Slice.__table__.c
DEAD = [state.value for state in SLICE_TERMINAL]


class SliceRepository(Repository[Slice]):
    """Slices; state changes are compare-and-set."""

    model = Slice
    noun = "slice"

    async def page(
        self,
        request: PageRequest,
        *,
        owner_id: int | None = None,
        managed: Collection[int] = (),
        project_id: int | None = None,
        state: str | None = None,
        template_id: int | None = None,
        name: str | None = None,
        slice_id: int | None = None,
        include_destroyed: bool = False,
        without: Collection[SliceState] = (),
    ) -> Page:
        """Slices with the names of owner, project, zone and template, and their number of living VMs.

        ``owner_id``: only this user's and those in the ``managed`` projects; None for everybody's. ``without``: further
        states that are left out.
        """
        statement = _with_names()
        if owner_id is not None:
            statement = statement.where(mine_or_managed(_SLICES.owner_id, _SLICES.project_id, owner_id, managed))
        if project_id is not None:
            statement = statement.where(Slice.project_id == project_id)
        if state is not None:
            statement = statement.where(Slice.state == state)
        elif not include_destroyed:
            statement = statement.where(Slice.state.not_in(DEAD))
        if without:
            statement = statement.where(Slice.state.not_in([state.value for state in without]))
        if slice_id is not None:
            statement = statement.where(Slice.id == slice_id)
        if template_id is not None:
            statement = statement.where(Slice.template_id == template_id)
        if name is not None:
            statement = statement.where(same(Slice.name, name))
        sortable: dict[str, Any] = {
            "name": Slice.name,
            "created_at": Slice.created_at,
            "state": Slice.state,
        }
        return await fetch_page(self._session, statement, request, sortable=sortable, id_column=Slice.__table__.c.id)

    async def claim(self, slice_id: int, operation_id: int, old: SliceState, new: SliceState) -> bool:
        """Give the slice to an operation, if nobody holds it and it is still in ``old``."""
        statement = update(Slice).where(Slice.id == slice_id, Slice.operation_id.is_(None), Slice.state == old.value)
        return bool(
            await self._changed(
                statement.values(
                    operation_id=operation_id,
                    state=new.value,
                    error="",
                    generation=Slice.generation + 1,
                    updated_at=self._clock(),
                )
            )
        )

    async def touch_if_free(self, slice_id: int) -> bool:
        """Raise the generation of a slice that no operation holds, and none waits to destroy.

        Serialises VM operations with slice operations.
        """
        free = (Slice.operation_id.is_(None), Slice.state != SliceState.DESTROYING.value)
        statement = update(Slice).where(Slice.id == slice_id, *free)
        values = {"generation": Slice.generation + 1, "updated_at": self._clock()}
        return bool(await self._changed(statement.values(**values)))

    async def settle(
        self, slice_id: int, state: SliceState, *, error: str = "", operation_id: int | None = None
    ) -> bool:
        """Set the state and let go of the operation, if it still holds the slice."""
        statement = update(Slice).where(Slice.id == slice_id)
        if operation_id is None:
            statement = statement.where(Slice.operation_id.is_(None))
        else:
            statement = statement.where(Slice.operation_id == operation_id)
        values: dict[str, Any] = {
            "state": state.value,
            "error": error[:1000],
            "operation_id": None,
            "generation": Slice.generation + 1,
            "updated_at": self._clock(),
        }
        if state == SliceState.DESTROYED:
            values["destroyed_at"] = self._clock()
        return bool(await self._changed(statement.values(**values)))

    async def show_destroying(self, slice_id: int) -> None:
        """A destruction waits for whatever holds the slice or its VMs; they keep it until they end."""
        values = {"state": SliceState.DESTROYING.value, "error": "", "generation": Slice.generation + 1}
        await self._changed(update(Slice).where(Slice.id == slice_id).values(**values, updated_at=self._clock()))

    async def set_error(self, slice_id: int, error: str) -> None:
        """Show why an operation is stuck; it keeps the slice."""
        values = {"error": error[:1000], "updated_at": self._clock()}
        await self._changed(update(Slice).where(Slice.id == slice_id).values(**values))

    async def expired(self, now: datetime) -> list[Slice]:
        """Living slices past their expiry that no operation holds."""
        statement = select(Slice).where(
            Slice.expires_at.is_not(None),
            Slice.expires_at <= now,
            Slice.operation_id.is_(None),
            Slice.state.not_in([*DEAD, SliceState.DESTROYING.value]),
        )
        return list((await self._session.scalars(statement.order_by(Slice.id).limit(100))).all())

    async def ending(self, now: datetime, until: datetime) -> list[Slice]:
        """Living slices that end after ``now`` and not after ``until``, and whose owners were not told of this end."""
        statement = select(Slice).where(
            Slice.expires_at > now,
            Slice.expires_at <= until,
            or_(Slice.notified_expiry.is_(None), Slice.notified_expiry != Slice.expires_at),
            Slice.state.not_in([*DEAD, SliceState.DESTROYING.value]),
        )
        return list((await self._session.scalars(statement.order_by(Slice.expires_at).limit(100))).all())

    async def note_expiry(self, slice_id: int, expires_at: datetime) -> bool:
        """Note which end was told of; False when the slice has another end by now, or was told."""
        statement = update(Slice).where(
            Slice.id == slice_id,
            Slice.expires_at == expires_at,
            or_(Slice.notified_expiry.is_(None), Slice.notified_expiry != expires_at),
            Slice.state.not_in([*DEAD, SliceState.DESTROYING.value]),
        )
        return bool(await self._changed(statement.values(notified_expiry=expires_at)))

    async def count_of(self, owner_id: int) -> int:
        """How many slices of a user exist."""
        statement = select(func.count(Slice.id)).where(Slice.owner_id == owner_id, Slice.state.not_in(DEAD))
        return int((await self._session.execute(statement)).scalar_one())

    async def names_of_owner(self, owner_id: int) -> list[tuple[int, str]]:
        """(id, name) of the living slices of a user."""
        statement = select(Slice.id, Slice.name).where(Slice.owner_id == owner_id, Slice.state.not_in(DEAD))
        return [(row_id, name) for row_id, name in await self._session.execute(statement)]


def _with_names() -> Select[Any]:
    vms = (
        select(func.count(VirtualMachine.id))
        .where(VirtualMachine.slice_id == Slice.id, VirtualMachine.state != "deleted")
        .correlate(Slice)
        .scalar_subquery()
        .label("vm_count")
    )
    return (
        select(
            *shown(Slice),
            User.username.label("owner"),
            Zone.name.label("zone"),
            Template.name.label("template"),
            Project.name.label("project"),
            vms,
        )
        .join(User, User.id == Slice.owner_id)
        .join(Zone, Zone.id == Slice.zone_id)
        .outerjoin(Template, Template.id == Slice.template_id)
        .outerjoin(Project, Project.id == Slice.project_id)
    )
