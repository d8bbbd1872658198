"""The stores of maintenance records and of the activity log: what every one of them offers.

``sql.py`` keeps both in the relational database. An *outside* store (MongoDB) keeps them elsewhere, where the
transaction of a unit of work does not reach; ``external_sync.py`` says how the two are kept in step (ADR 0011).

What is the same for all stores, and tested by ``tests/contract/stores``:

- Ids are UUIDs in text, made by us, so that a record keeps its id when it moves to another store.
- Times are aware, in UTC, with whole milliseconds: that is what every store can keep (``whole_ms``).
- Text is stored in NFC, and searched without regard to case and accents (``core.collation.folded``).
- A store that does not answer raises ``unavailable``; nothing is half written then.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Protocol
from uuid import UUID

from parcela.core.machines import MaintenanceKind, MaintenanceState

MAX_PAGE = 200


def whole_ms(at: datetime) -> datetime:
    """A time without what is below a millisecond."""
    return at.astimezone(UTC).replace(microsecond=at.microsecond // 1000 * 1000)


def _check_time(name: str, at: datetime | None) -> None:
    if at is not None and (at.tzinfo is None or at.microsecond % 1000):
        raise ValueError(f"{name} must be aware and have whole milliseconds: {at!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceRecord:
    """What was or is being done to a machine.

    Attributes:
        id: UUID in its usual text form (36 characters, lower case).
        machine_id: row of the machine.
        kind: preventive or corrective.
        state: open (still to be done) or done.
        performed_on: the day it was done; of an open one the day it was opened or is meant for.
        company: who was asked to do it; "" for our own people. At most 200 characters.
        technician: who did it. At most 200 characters.
        notes: at most 4000 characters.
        cost_minor: cost in the currency's minor unit (cents), 0..10^15; None when it is not known.
        currency: three capital letters of ISO 4217; "" without a cost.
        plan_id: the plan it belongs to, or None.
        author_id: user who wrote it; None for Parcela itself.
        author: that user's name then, which outlives the user.
        begun_at: when the work began; None before.
        finished_at: when it was marked as done; None before.
        created_at: when the record was written.
        updated_at: when it was last changed.
    """

    id: str
    machine_id: int
    kind: MaintenanceKind
    state: MaintenanceState
    performed_on: date
    company: str = ""
    technician: str = ""
    notes: str = ""
    cost_minor: int | None = None
    currency: str = ""
    plan_id: int | None = None
    author_id: int | None = None
    author: str = ""
    begun_at: datetime | None = None
    finished_at: datetime | None = None
    created_at: datetime
    updated_at: datetime

    def __post_init__(self) -> None:
        """Refuse what not every store could give back unchanged."""
        if str(UUID(self.id)) != self.id:
            raise ValueError(f"not a UUID in its usual form: {self.id!r}")
        for name in ("begun_at", "finished_at", "created_at", "updated_at"):
            _check_time(name, getattr(self, name))


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """Which records are wanted; None and "" mean: whatever.

    Attributes:
        machine_ids: only those of these machines; an empty one gives nothing.
        since: performed on this day or later.
        until: performed on this day or earlier.
        company: a part of the company's name.
        technician: a part of the technician's name.
        text: a part of company, technician or notes.
    """

    machine_ids: tuple[int, ...] | None = None
    kind: MaintenanceKind | None = None
    state: MaintenanceState | None = None
    since: date | None = None
    until: date | None = None
    company: str = ""
    technician: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Records of a page, and the cursor of the next one (None at the end)."""

    records: Sequence[MaintenanceRecord]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class MonthCount:
    """How many records of a kind were performed in a month (the first day of which is given)."""

    month: date
    kind: MaintenanceKind
    count: int


class MaintenanceStore(Protocol):
    """Maintenance records. Lists are ordered by (``performed_on``, ``id``).

    Whoever writes a record holds the row lock of its machine (``uow.machines.lock``) until the unit of work ends; an
    outside store depends on it.
    """

    async def add(self, record: MaintenanceRecord) -> None:
        """Store a new record.

        Raises:
            ParcelaError: ``conflict`` ``maintenance_record_exists`` when there is one with this id.
        """
        ...

    async def get(self, record_id: str) -> MaintenanceRecord | None:
        """The record, or None (also for a text that is no UUID)."""
        ...

    async def update(self, record: MaintenanceRecord) -> bool:
        """Replace the record with this id as a whole; False (and nothing changed) when there is none."""
        ...

    async def delete(self, record_id: str) -> bool:
        """Remove a record; False when there is none."""
        ...

    async def page(
        self, wanted: RecordFilter, *, limit: int = 50, cursor: str | None = None, newest_first: bool = True
    ) -> RecordPage:
        """A page of records by keyset.

        Args:
            wanted: which.
            limit: 1..200.
            cursor: ``next_cursor`` of the page before, made by ``codec.encode_cursor``.
            newest_first: False for the oldest first.

        Raises:
            ParcelaError: ``invalid`` ``bad_cursor``.
        """
        ...

    async def count(self, wanted: RecordFilter) -> int:
        """How many records there are."""
        ...

    async def month_counts(self, wanted: RecordFilter) -> list[MonthCount]:
        """How many per month and kind, by month, then kind; months without records are left out."""
        ...

    async def last_performed(self, machine_ids: Sequence[int] | None = None) -> Mapping[int, date]:
        """The day of the last record that is done, by machine; machines without one are left out. None: all."""
        ...

    async def last_of_plan(
        self, plan_id: int, machine_id: int, *, finished_since: datetime | None = None
    ) -> date | None:
        """The day of the last record of a plan that is done, as this unit of work leaves it; None without one.

        Args:
            plan_id: the plan.
            machine_id: its machine, whose row is locked.
            finished_since: only records that were marked as done then or later.
        """
        ...

    async def last_of_plans(self, plan_ids: Sequence[int]) -> Mapping[int, date]:
        """The same of many plans, without what is under way; plans without such a record are left out."""
        ...

    def export(self, wanted: RecordFilter | None = None) -> AsyncIterator[MaintenanceRecord]:
        """All records (or those that are wanted) by id, without holding them all in memory."""
        ...

    async def import_record(self, record: MaintenanceRecord) -> None:
        """Store a record that comes from another store, over whatever has its id. May be repeated."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What somebody did in the inventory. Never changed once written.

    Attributes:
        id: UUID in its usual text form.
        at: when.
        action: what, e.g. ``machine.changed``; at most 64 characters.
        machine_id: row of the machine, or None.
        record_id: the maintenance record, or None.
        actor_id: user; None for Parcela itself.
        actor: that user's name then.
        data: facts, of JSON types only.
    """

    id: str
    at: datetime
    action: str
    machine_id: int | None = None
    record_id: str | None = None
    actor_id: int | None = None
    actor: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """As for records."""
        if str(UUID(self.id)) != self.id:
            raise ValueError(f"not a UUID in its usual form: {self.id!r}")
        _check_time("at", self.at)


@dataclass(frozen=True, slots=True)
class ActivityPage:
    """Entries of a page, newest first, and the cursor of the next one (None at the end)."""

    entries: Sequence[Activity]
    next_cursor: str | None


class ActivityStore(Protocol):
    """The activity log. Lists are ordered by (``at``, ``id``)."""

    async def append(self, entries: Sequence[Activity]) -> None:
        """Store entries; one whose id is there already is left alone, so this may be repeated."""
        ...

    async def page(self, *, machine_id: int | None = None, limit: int = 50, cursor: str | None = None) -> ActivityPage:
        """A page, newest first, perhaps of one machine; limit 1..200.

        Raises:
            ParcelaError: ``invalid`` ``bad_cursor``.
        """
        ...

    async def count(self) -> int:
        """How many entries there are."""
        ...

    def export(self) -> AsyncIterator[Activity]:
        """All entries by id."""
        ...

    async def forget_machine(self, machine_id: int) -> int:
        """Remove the entries of a machine that is removed for good; how many."""
        ...


@dataclass(frozen=True, slots=True)
class PendingChange:
    """A change that an outside store has noted and not carried out."""

    change_id: str
    machine_ids: tuple[int, ...]


class OutsideStore(MaintenanceStore, Protocol):
    """A maintenance store that a transaction of the database does not reach.

    ``stage_*`` note what is to be done under a change id, beside the record as it is; nobody sees it yet. ``confirm``
    carries out all that was noted under the id, ``discard`` forgets it. Both may be repeated, also after a half-done
    one, and then do the rest. One record never has two pending changes: ``external_sync.py`` settles the first before
    it stages the second.
    """

    async def stage_add(self, change_id: str, record: MaintenanceRecord) -> None:
        """Note a new record; ``conflict`` as in ``add``."""
        ...

    async def stage_update(self, change_id: str, record: MaintenanceRecord) -> bool:
        """Note the replacement of a record; False when there is none."""
        ...

    async def stage_delete(self, change_id: str, record_id: str) -> bool:
        """Note the removal of a record; False when there is none."""
        ...

    async def last_of_plan_but(
        self, plan_id: int, machine_id: int, but: Collection[str], finished_since: datetime | None = None
    ) -> date | None:
        """As ``last_of_plan``, of what is confirmed, without the records of these ids."""
        ...

    async def confirm(self, change_id: str) -> None:
        """Carry out what was noted; nothing when there is nothing noted."""
        ...

    async def discard(self, change_id: str) -> None:
        """Forget what was noted; nothing when there is nothing noted."""
        ...

    async def pending(self, record_ids: Sequence[str] | None = None, *, limit: int = 100) -> list[PendingChange]:
        """Changes that wait, perhaps only those of some records; each once."""
        ...
