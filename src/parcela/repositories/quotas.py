"""Ceilings and what of them is used.

Every change of ``used_*`` is one conditional UPDATE, so that two units of work can never both take the last of it,
whatever the database's isolation. The row of a quota is taken before rows of hosts, always: no two requests wait in a
circle.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, distinct, func, or_, select, update
from sqlalchemy.dialects import mysql, postgresql, sqlite

from parcela.models import Quota, Reservation, VirtualMachine
from parcela.models.projects import RESOURCES
from parcela.repositories.base import Repository

PAGE = 500
_USED: list[Any] = [Quota.__table__.c[name] for name in ("id", *(f"used_{resource}" for resource in RESOURCES))]
"""The id, and the sums in the order of ``Amount``'s fields."""

Limits = Mapping[str, int | None]
"""Ceiling by resource; None for none."""


@dataclass(frozen=True, slots=True)
class Amount:
    """So much of everything that quotas count."""

    vcpus: int = 0
    memory_mib: int = 0
    disk_gib: int = 0
    vms: int = 0
    slices: int = 0

    def by_resource(self) -> dict[str, int]:
        """Number by resource."""
        return asdict(self)


class QuotaRepository(Repository[Quota]):
    """Quotas of users and projects."""

    model = Quota
    noun = "quota"

    async def of_user(self, user_id: int) -> Quota | None:
        """The row of a user; None as long as nothing was used and no ceiling set."""
        return await self._one(Quota.user_id == user_id)

    async def of_project(self, project_id: int) -> Quota | None:
        """The row of a project, likewise."""
        return await self._one(Quota.project_id == project_id)

    async def _one(self, condition: ColumnElement[bool]) -> Quota | None:
        statement = select(Quota).where(condition)
        rows = await self._session.scalars(statement, execution_options={"populate_existing": True})
        return rows.one_or_none()

    async def lock_or_add(self, *, user_id: int | None = None, project_id: int | None = None) -> Quota:
        """The row of a holder, locked; begun at nothing when there was none.

        The insert comes first and never fails: see ``TokenRepository.lock_or_add_throttle``.
        """
        values: dict[str, Any] = {"user_id": user_id, "project_id": project_id}
        values |= {f"used_{name}": 0 for name in RESOURCES}
        dialect = self._session.get_bind().dialect.name
        if dialect in {"mysql", "mariadb"}:
            upsert = mysql.insert(Quota).values(**values)
            await self._session.execute(upsert.on_duplicate_key_update(user_id=upsert.inserted.user_id))
        elif dialect == "postgresql":
            await self._session.execute(postgresql.insert(Quota).values(**values).on_conflict_do_nothing())
        else:
            await self._session.execute(sqlite.insert(Quota).values(**values).on_conflict_do_nothing())
        holder = Quota.user_id == user_id if project_id is None else Quota.project_id == project_id
        statement = select(Quota).where(holder).with_for_update()
        return (await self._session.scalars(statement, execution_options={"populate_existing": True})).one()

    async def take(self, quota_id: int, amount: Amount, defaults: Limits | None) -> bool:
        """Raise what is used, if it stays within the ceilings.

        Args:
            quota_id: whose.
            amount: how much more.
            defaults: ceilings where the row has none; None to take it in any case.
        """
        more = amount.by_resource()
        fits: list[ColumnElement[bool]] = []
        if defaults is not None:
            for name, number in more.items():
                most, used, default = getattr(Quota, f"max_{name}"), getattr(Quota, f"used_{name}"), defaults[name]
                if number <= 0:
                    continue
                if default is None:
                    fits.append(or_(most.is_(None), used + number <= most))
                else:
                    fits.append(used + number <= func.coalesce(most, default))
        raised = {f"used_{name}": getattr(Quota, f"used_{name}") + number for name, number in more.items()}
        return bool(await self._changed(update(Quota).where(Quota.id == quota_id, *fits).values(**raised)))

    async def give_back(self, quota_id: int, amount: Amount) -> None:
        """Lower what is used."""
        less = amount.by_resource()
        lowered = {f"used_{name}": getattr(Quota, f"used_{name}") - number for name, number in less.items()}
        await self._changed(update(Quota).where(Quota.id == quota_id).values(**lowered))

    async def slice_is_counted(self, slice_id: int, *, besides_vm: int | None = None) -> bool:
        """Whether a slice holds a reservation (of another VM than the one given)."""
        statement = (
            select(Reservation.id)
            .join(VirtualMachine, VirtualMachine.id == Reservation.vm_id)
            .where(VirtualMachine.slice_id == slice_id)
        )
        if besides_vm is not None:
            statement = statement.where(VirtualMachine.id != besides_vm)
        return (await self._session.execute(statement.limit(1))).first() is not None

    async def reserved(self, quota_id: int) -> Amount:
        """What the reservations of a quota sum up to."""
        row = (await self._session.execute(_sums().where(Reservation.quota_id == quota_id))).one()
        return _amount(row)

    async def wrong(self) -> list[int]:
        """Quotas whose sums are not those of their reservations, found in two queries for every ``PAGE`` of them."""
        wrong: list[int] = []
        first = 0
        while True:
            statement = select(*_USED).where(_USED[0] > first).order_by(_USED[0]).limit(PAGE)
            rows = (await self._session.execute(statement)).all()
            if not rows:
                return wrong
            grouped = _sums().add_columns(Reservation.quota_id).group_by(Reservation.quota_id)
            grouped = grouped.where(Reservation.quota_id.between(rows[0].id, rows[-1].id))
            reserved = {row[-1]: _amount(row[:-1]) for row in await self._session.execute(grouped)}
            wrong += [row.id for row in rows if _amount(row[1:]) != reserved.get(row.id, Amount())]
            if len(rows) < PAGE:
                return wrong
            first = rows[-1].id

    async def correct(self, quota_id: int) -> bool:
        """Set the sums to what is reserved, under the row's lock; whether they were wrong."""
        row = await self.lock(quota_id)
        truth = await self.reserved(quota_id)
        if used_of(row) == truth:
            return False
        values = {f"used_{name}": number for name, number in truth.by_resource().items()}
        await self._changed(update(Quota).where(Quota.id == quota_id).values(**values))
        return True


def used_of(row: Quota) -> Amount:
    """What a row says is used."""
    return Amount(*(getattr(row, f"used_{name}") for name in RESOURCES))


def _sums() -> Select[Any]:
    """Sums over reservations, in the order of ``Amount``'s fields."""
    sums: list[Any] = [
        func.coalesce(func.sum(Reservation.vcpus), 0),
        func.coalesce(func.sum(Reservation.memory_mib), 0),
        func.coalesce(func.sum(Reservation.disk_gib), 0),
        func.count(Reservation.id),
        func.count(distinct(VirtualMachine.slice_id)),
    ]
    return select(*sums).join(VirtualMachine, VirtualMachine.id == Reservation.vm_id)


def _amount(numbers: Sequence[Any]) -> Amount:
    return Amount(*(int(number) for number in numbers))  # MariaDB sums are decimals
