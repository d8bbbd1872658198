"""Counts of refused requests, per hour."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from parcela.models import AuditRefusal, User
from parcela.repositories.paging import Page, PageRequest, fetch_page


@dataclass(frozen=True, slots=True)
class RefusalKey:
    """What is counted together.

    Attributes:
        hour: its beginning.
        actor_id: 0 for strangers.
        action: as in the audit trail, e.g. ``auth.refused``.
        reason: stable code of the answer.
        origin: range of addresses of strangers; "" for users, wherever they are.
        noun_id: the account of a failed login, or "".
    """

    hour: datetime
    actor_id: int
    action: str
    reason: str
    origin: str = ""
    noun_id: str = ""


class RefusalRepository:
    """Adds to counts and reads them."""

    def __init__(self, session: AsyncSession) -> None:
        """Work in a session of the unit of work."""
        self._session = session

    async def add(self, counts: Mapping[RefusalKey, tuple[int, datetime]]) -> None:
        """Raise counts (by so much, the last one at), in one statement and in one order: no deadlocks."""
        rows: Sequence[dict[str, Any]] = sorted(
            ({**asdict(key), "count": count, "last_at": last_at} for key, (count, last_at) in counts.items()),
            key=lambda row: tuple(str(row[name]) for name in ("hour", "actor_id", "action", "reason", "origin")),
        )
        table, dialect = AuditRefusal.__table__.c, self._session.get_bind().dialect.name
        if dialect in {"mysql", "mariadb"}:
            upsert = mysql.insert(AuditRefusal)
            new = upsert.inserted
            raised = upsert.on_duplicate_key_update(count=table["count"] + new["count"], last_at=new.last_at)
            await self._session.execute(raised, rows)
            return
        insert: Any = postgresql.insert if dialect == "postgresql" else sqlite.insert
        upserting = insert(AuditRefusal)
        new = upserting.excluded
        keys = ["hour", "actor_id", "action", "reason", "origin", "noun_id"]
        values = {"count": table["count"] + new["count"], "last_at": new.last_at}
        await self._session.execute(upserting.on_conflict_do_update(index_elements=keys, set_=values), rows)

    async def page(self, request: PageRequest) -> Page:
        """Counts with the name of the user, by default the oldest first."""
        columns = AuditRefusal.__table__.c
        statement = select(*columns, User.username.label("actor_name")).outerjoin(
            User, User.id == AuditRefusal.actor_id
        )
        sortable = {"count": columns["count"], "last_at": columns["last_at"]}
        return await fetch_page(self._session, statement, request, sortable=sortable, id_column=columns["id"])
