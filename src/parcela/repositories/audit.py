"""The audit trail: it is added to and read, nothing else (triggers of the database refuse the rest)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from parcela.core.collation import caseless
from parcela.models import AuditEntry, User
from parcela.repositories.paging import Page, PageRequest, fetch_page


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What to look for; None means anything.

    Attributes:
        actor: username of who did it.
        noun: kind of thing, e.g. ``flavour``.
        noun_id: its id.
        action: e.g. ``flavour.updated``; a prefix when it ends with ``*``.
        outcome: ``ok`` or ``refused``.
        address: of the client.
        since, until: times, the first included, the second not.
    """

    actor: str | None = None
    noun: str | None = None
    noun_id: str | None = None
    action: str | None = None
    outcome: str | None = None
    address: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """As SQL."""
        equal = {
            # As usernames are stored; MariaDB would take capitals as well, the others would not.
            AuditEntry.actor_name: None if self.actor is None else caseless(self.actor),
            AuditEntry.noun: self.noun,
            AuditEntry.noun_id: self.noun_id,
            AuditEntry.outcome: self.outcome,
            AuditEntry.address: self.address,
        }
        found: list[ColumnElement[bool]] = [column == value for column, value in equal.items() if value is not None]
        if self.action is not None and self.action.endswith("*"):
            found.append(AuditEntry.action.startswith(self.action[:-1], autoescape=True))
        elif self.action is not None:
            found.append(AuditEntry.action == self.action)
        if self.since is not None:
            found.append(AuditEntry.at >= self.since)
        if self.until is not None:
            found.append(AuditEntry.at < self.until)
        return found


class AuditRepository:
    """Adds and reads entries."""

    def __init__(self, session: AsyncSession) -> None:
        """Work in a session of the unit of work."""
        self._session = session

    async def append(self, entries: Sequence[dict[str, Any]]) -> None:
        """Store entries, given as columns by name."""
        await self._session.execute(insert(AuditEntry), list(entries))

    async def username(self, user_id: int) -> str:
        """Name of a user; "" when they are gone."""
        return (await self._session.scalar(select(User.username).where(User.id == user_id))) or ""

    async def page(self, request: PageRequest, wanted: AuditFilter) -> Page:
        """Entries, by default the oldest first."""
        columns = AuditEntry.__table__.c
        statement = select(*columns).where(*wanted.conditions())
        return await fetch_page(
            self._session, statement, request, sortable={"at": columns["at"]}, id_column=columns["id"]
        )
