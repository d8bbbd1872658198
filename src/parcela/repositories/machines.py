"""Machines of the lab, and the steps of their lives."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, func, select

from parcela.core.collation import folded
from parcela.models import Host, HostMachine, Machine, MachineStatusChange, OpenMaintenance, User
from parcela.models.derived import folded_name, shown
from parcela.repositories.base import Repository
from parcela.repositories.paging import Page, PageRequest, fetch_page, order_of

MachineRow = dict[str, Any]
"""Columns of a machine with ``responsible`` (user name), ``host_id``, ``host`` (name), ``host_state``, and
``open_maintenance`` (number of records that are not done)."""


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """A machine in short."""

    code: str
    type: str
    area: str
    status: str
    registered_on: date
    status_word: str
    archived: bool


class MachineRepository(Repository[Machine]):
    """Machines. Codes are given in capitals, as they are stored."""

    model = Machine
    noun = "machine"

    async def page(self, request: PageRequest, wanted: Mapping[str, Any]) -> Page:
        """Machines as ``detail`` gives them; see ``_conditions`` for what may be wanted."""
        sortable: dict[str, Any] = {
            name: getattr(Machine, name) for name in ("code", "type", "area", "status", "created_at", "updated_at")
        }
        statement = _detailed().where(*_conditions(wanted))
        return await fetch_page(self._session, statement, request, sortable=sortable, id_column=Machine.__table__.c.id)

    async def detail(self, machine_id: int) -> MachineRow | None:
        """One machine with the names that belong to it."""
        statement = _detailed().where(Machine.id == machine_id)
        row = (await self._session.execute(statement)).mappings().one_or_none()
        return None if row is None else {str(name): value for name, value in row.items()}

    async def by_code(self, code: str) -> Machine | None:
        """The machine with this code (in capitals), or None."""
        return (await self._session.scalars(select(Machine).where(Machine.code == code))).one_or_none()

    async def lock_if_any(self, machine_id: int) -> Machine | None:
        """As ``lock``, but None for a machine that is gone."""
        return await self._session.get(Machine, machine_id, with_for_update=True, populate_existing=True)

    async def codes(self, machine_ids: Iterable[int]) -> dict[int, str]:
        """Code by id."""
        statement = select(Machine.id, Machine.code).where(Machine.id.in_(set(machine_ids)))
        rows = await self._session.execute(statement)
        return {row_id: code for row_id, code in rows}  # noqa: C416 (a result has keys(), which dict() would call)

    async def facts(self, machine_ids: Iterable[int]) -> dict[int, MachineFacts]:
        """What reports show of machines, by id; those that are not there are left out."""
        columns = (Machine.id, Machine.code, Machine.type, Machine.area, Machine.status)
        more = (Machine.registered_on, Machine.status_word, Machine.archived_at.is_not(None))
        statement = select(*columns, *more).where(Machine.id.in_(set(machine_ids)))
        return {
            row[0]: MachineFacts(*row[1:7], archived=bool(row[7])) for row in await self._session.execute(statement)
        }

    async def matching_ids(self, wanted: Mapping[str, Any]) -> list[int]:
        """Ids of machines; as for ``page``."""
        return list((await self._session.scalars(select(Machine.id).where(*_conditions(wanted)))).all())

    async def counts_by(self, column: str) -> dict[str, int]:
        """How many machines (archived ones left out) per status, area or type."""
        field: Any = getattr(Machine, column)
        # Grouped by the sort key too: MariaDB takes texts that differ in case or accents for the same.
        key = order_of(field)
        statement = select(field, func.count()).where(Machine.archived_at.is_(None)).group_by(field, key)
        rows = await self._session.execute(statement.order_by(key))
        return {value: count for value, count in rows}  # noqa: C416 (as above)

    async def add_change(self, change: MachineStatusChange) -> None:
        """Note a step of a machine's life."""
        self._session.add(change)

    async def history(self, machine_id: int, request: PageRequest) -> Page:
        """The steps of a machine's life, with the name of who took them."""
        statement = (
            select(*MachineStatusChange.__table__.columns, User.username.label("actor"))
            .join(User, User.id == MachineStatusChange.actor_id, isouter=True)
            .where(MachineStatusChange.machine_id == machine_id)
        )
        id_column = MachineStatusChange.__table__.c.id
        return await fetch_page(self._session, statement, request, sortable={}, id_column=id_column)

    async def changes_count(self, machine_id: int) -> int:
        """How many steps of its life there are; the first is the registration."""
        statement = select(func.count()).where(MachineStatusChange.machine_id == machine_id)
        return int((await self._session.execute(statement)).scalar_one())

    async def forget_history(self, machine_id: int) -> None:
        """Remove the steps of its life."""
        await self._changed(delete(MachineStatusChange).where(MachineStatusChange.machine_id == machine_id))

    async def photos(self, files: Sequence[str]) -> set[str]:
        """Which of these files are photos of machines."""
        statement = select(Machine.photo_file).where(Machine.photo_file.in_(files))
        return {file for file in (await self._session.scalars(statement)).all() if file}


def _detailed() -> Select[Any]:
    opened = select(func.count()).where(OpenMaintenance.machine_id == Machine.id).correlate(Machine).scalar_subquery()
    return (
        select(
            *shown(Machine),
            User.username.label("responsible"),
            Host.id.label("host_id"),
            Host.name.label("host"),
            Host.state.label("host_state"),
            opened.label("open_maintenance"),
        )
        .join(User, User.id == Machine.responsible_id, isouter=True)
        .join(HostMachine, HostMachine.machine_id == Machine.id, isouter=True)
        .join(Host, Host.id == HostMachine.host_id, isouter=True)
    )


def _conditions(wanted: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    """Filters by name; None leaves one out.

    code (in capitals), status and responsible_id are equal; code_part (in capitals) is a part of the code; area and
    type are equal whatever their case and accents; archived is True or False; registered_since and registered_until are
    days; search is a part of code, serial, type, area or notes, whatever its case and accents.
    """
    given = {name: value for name, value in wanted.items() if value is not None}
    found = [getattr(Machine, name) == given[name] for name in ("code", "status", "responsible_id") if name in given]
    places = {"area": Machine.area_fold, "type": Machine.type_fold}
    found += [place == folded_name(given[name]) for name, place in places.items() if name in given]
    if "code_part" in given:
        found.append(Machine.code.contains(given["code_part"], autoescape=True))
    if "archived" in given:
        found.append(Machine.archived_at.is_not(None) if given["archived"] else Machine.archived_at.is_(None))
    if "registered_since" in given:
        found.append(Machine.registered_on >= given["registered_since"])
    if "registered_until" in given:
        found.append(Machine.registered_on <= given["registered_until"])
    if part := given.get("search"):
        found.append(Machine.search_text.contains(folded(part), autoescape=True))
    return found
