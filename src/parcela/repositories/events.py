"""Events: numbered in the order of commits."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, false, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from parcela.models import Counter, Event, Slice, VirtualMachine


@dataclass(frozen=True, slots=True)
class EventRecord:
    """An event as it goes to streams.

    Attributes:
        id: sequence number (>= 1, without gaps); 0 until it is committed.
        type: what happened, e.g. ``vm.state``.
        owner_id: who may see it besides those with ``event:read_all``; None for administrators only.
        project_id: project whose managers may see it too; found by slice or VM when it is left out.
    """

    type: str
    at: datetime
    id: int = 0
    actor_id: int | None = None
    owner_id: int | None = None
    project_id: int | None = None
    slice_id: int | None = None
    vm_id: int | None = None
    operation_id: int | None = None
    data: dict[str, Any] = field(default_factory=dict)


COLUMNS = ("id", "type", "at", "actor_id", "owner_id", "project_id", "slice_id", "vm_id", "operation_id", "data")


class EventRepository:
    """Appends and reads events."""

    def __init__(self, session: AsyncSession) -> None:
        """Work in a session of the unit of work."""
        self._session = session

    async def append(self, records: Sequence[EventRecord]) -> list[EventRecord]:
        """Number and store events. Call it last before the commit: it holds the counter's row lock until then."""
        projects = await self._projects(records)
        await self._session.execute(
            update(Counter).where(Counter.name == "events").values(value=Counter.value + len(records)),
            execution_options={"synchronize_session": False},
        )
        last = (await self._session.execute(select(Counter.value).where(Counter.name == "events"))).scalar_one()
        first = last - len(records) + 1
        numbered = [
            replace(
                record, id=first + index, project_id=record.project_id or projects.get((record.slice_id, record.vm_id))
            )
            for index, record in enumerate(records)
        ]
        await self._session.execute(
            insert(Event), [{name: getattr(record, name) for name in COLUMNS} for record in numbered]
        )
        return numbered

    async def _projects(self, records: Sequence[EventRecord]) -> dict[tuple[int | None, int | None], int]:
        """Project by (slice, VM) of the records that say nothing of theirs."""
        found: dict[tuple[int | None, int | None], int] = {}
        asked: dict[tuple[str, int], int | None] = {}  # the VMs of a slice are all in its project
        for slice_id, vm_id in {(record.slice_id, record.vm_id) for record in records if record.project_id is None}:
            if slice_id is not None:
                key, statement = ("slice", slice_id), select(Slice.project_id).where(Slice.id == slice_id)
            elif vm_id is not None:
                key, statement = ("vm", vm_id), select(VirtualMachine.project_id).where(VirtualMachine.id == vm_id)
            else:
                continue
            if key not in asked:
                asked[key] = (await self._session.execute(statement)).scalar_one_or_none()
            project_id = asked[key]
            if project_id is not None:
                found[(slice_id, vm_id)] = project_id
        return found

    async def last_id(self) -> int:
        """Number of the newest event, 0 when there is none."""
        return int((await self._session.execute(select(func.coalesce(func.max(Event.id), 0)))).scalar_one())

    async def first_id(self) -> int:
        """Number of the oldest event that is kept, 0 when there is none."""
        return int((await self._session.execute(select(func.coalesce(func.min(Event.id), 0)))).scalar_one())

    async def since(
        self,
        after_id: int,
        *,
        limit: int,
        owner_id: int | None = None,
        managed: Collection[int] = (),
        nouns: Collection[str] | None = None,
        slice_id: int | None = None,
        types: Sequence[str] = (),
    ) -> list[EventRecord]:
        """Events with a number above ``after_id``, oldest first.

        Args:
            after_id: 0 for all.
            limit: at most so many.
            owner_id: only those this user may see; None for all.
            managed: projects whose events this user sees too.
            nouns: only types that begin with one of these words; None for all.
            slice_id: only those of this slice.
            types: only these types.
        """
        conditions: list[ColumnElement[bool]] = [Event.id > after_id]
        if owner_id is not None:
            mine: ColumnElement[bool] = Event.owner_id == owner_id
            conditions.append(or_(mine, Event.project_id.in_(sorted(managed))) if managed else mine)
        if nouns is not None:
            conditions.append(or_(false(), *[Event.type.like(f"{noun}.%") for noun in sorted(nouns)]))
        if slice_id is not None:
            conditions.append(Event.slice_id == slice_id)
        if types:
            conditions.append(Event.type.in_(types))
        columns = [getattr(Event, name) for name in COLUMNS]
        statement = select(*columns).where(*conditions).order_by(Event.id).limit(limit)
        return [EventRecord(**row) for row in (await self._session.execute(statement)).mappings()]
