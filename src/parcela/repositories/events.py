"""Events: numbered in the order of commits."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from parcela.models import Counter, Event


@dataclass(frozen=True, slots=True)
class EventRecord:
    """An event as it goes to streams.

    Attributes:
        id: sequence number (>= 1, without gaps); 0 until it is committed.
        type: what happened, e.g. ``vm.state``.
        owner_id: who may see it besides those with ``event:read_all``; None for administrators only.
    """

    type: str
    at: datetime
    id: int = 0
    actor_id: int | None = None
    owner_id: int | None = None
    slice_id: int | None = None
    vm_id: int | None = None
    operation_id: int | None = None
    data: dict[str, Any] = field(default_factory=dict)


COLUMNS = ("id", "type", "at", "actor_id", "owner_id", "slice_id", "vm_id", "operation_id", "data")


class EventRepository:
    """Appends and reads events."""

    def __init__(self, session: AsyncSession) -> None:
        """Work in a session of the unit of work."""
        self._session = session

    async def append(self, records: Sequence[EventRecord]) -> list[EventRecord]:
        """Number and store events. Call it last before the commit: it holds the counter's row lock until then."""
        await self._session.execute(
            update(Counter).where(Counter.name == "events").values(value=Counter.value + len(records)),
            execution_options={"synchronize_session": False},
        )
        last = (await self._session.execute(select(Counter.value).where(Counter.name == "events"))).scalar_one()
        first = last - len(records) + 1
        numbered = [
            EventRecord(**{name: getattr(record, name) for name in COLUMNS if name != "id"}, id=first + index)
            for index, record in enumerate(records)
        ]
        await self._session.execute(
            insert(Event), [{name: getattr(record, name) for name in COLUMNS} for record in numbered]
        )
        return numbered

    async def last_id(self) -> int:
        """Number of the newest event, 0 when there is none."""
        return int((await self._session.execute(select(func.coalesce(func.max(Event.id), 0)))).scalar_one())

    async def since(
        self,
        after_id: int,
        *,
        limit: int,
        owner_id: int | None = None,
        slice_id: int | None = None,
        types: Sequence[str] = (),
    ) -> list[EventRecord]:
        """Events with a number above ``after_id``, oldest first.

        Args:
            after_id: 0 for all.
            limit: at most so many.
            owner_id: only those this user may see; None for all.
            slice_id: only those of this slice.
            types: only these types.
        """
        conditions: list[ColumnElement[bool]] = [Event.id > after_id]
        if owner_id is not None:
            conditions.append(Event.owner_id == owner_id)
        if slice_id is not None:
            conditions.append(Event.slice_id == slice_id)
        if types:
            conditions.append(Event.type.in_(types))
        columns = [getattr(Event, name) for name in COLUMNS]
        statement = select(*columns).where(*conditions).order_by(Event.id).limit(limit)
        return [EventRecord(**row) for row in (await self._session.execute(statement)).mappings()]
