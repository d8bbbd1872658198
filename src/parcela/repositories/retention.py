"""What is past its retention, a batch at a time: found by an index, looked at again under its lock, and removed.

No table has its ids used again (migration 0021), so also the newest row of one may go.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, String, cast, delete, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from parcela.core.lifecycle import OPERATION_TERMINAL, SLICE_TERMINAL, SliceState, VmState
from parcela.models import (
    ApiToken,
    AuditEntry,
    AuditRefusal,
    Base,
    ConsoleTicket,
    DeliveryState,
    Event,
    IdempotencyKey,
    Nic,
    Operation,
    Reservation,
    Segment,
    Slice,
    Template,
    TemplateVersion,
    VirtualMachine,
    WebhookDelivery,
)
from parcela.repositories.vms import EMPTIED

ENDED = [state.value for state in OPERATION_TERMINAL]
LIVING = [state.value for state in SliceState if state not in SLICE_TERMINAL]


@dataclass(frozen=True)
class Rule:
    """When rows of a table may go.

    Attributes:
        model: the table.
        at: column with the time that counts; an index begins with it.
        only: what else must be true of a row.
        detached: foreign keys (model, column) that are set to NULL first.
        owned: rows (model, column) that go first.
    """

    model: type[Base]
    at: Any
    only: tuple[ColumnElement[bool], ...] = ()
    detached: tuple[tuple[type[Base], str], ...] = ()
    owned: tuple[tuple[type[Base], str], ...] = ()

    @property
    def name(self) -> str:
        """Name of the table."""
        return str(self.model.__tablename__)


def _idle(column: Any, parent: Any) -> ColumnElement[bool]:
    """No operation that has not ended for good works on it."""
    return ~exists().where(column == parent, Operation.state.not_in(ENDED))


def _unused(column: Any, parent: Any) -> ColumnElement[bool]:
    return ~exists().where(column == parent)


VMS = Rule(
    VirtualMachine,
    VirtualMachine.deleted_at,
    (
        VirtualMachine.state == VmState.DELETED.value,
        VirtualMachine.operation_id.is_(None),
        _unused(Reservation.vm_id, VirtualMachine.id),
        _idle(Operation.vm_id, VirtualMachine.id),
    ),
    detached=((Operation, "vm_id"),),
    owned=((ConsoleTicket, "vm_id"), (Nic, "vm_id")),
)
SEGMENTS = Rule(Segment, Segment.removed_at, (Segment.tag.is_(None), _unused(Nic.segment_id, Segment.id)))
SLICES = Rule(
    Slice,
    Slice.destroyed_at,
    (
        Slice.state == SliceState.DESTROYED.value,
        Slice.operation_id.is_(None),
        _unused(VirtualMachine.slice_id, Slice.id),
        _unused(Segment.slice_id, Slice.id),
        _idle(Operation.slice_id, Slice.id),
    ),
    detached=((Operation, "slice_id"),),
)
OPERATIONS = Rule(Operation, Operation.finished_at, (Operation.state.in_(ENDED),))
DELIVERIES = Rule(WebhookDelivery, WebhookDelivery.created_at, (WebhookDelivery.state != DeliveryState.PENDING.value,))
IDEMPOTENCY = Rule(IdempotencyKey, IdempotencyKey.created_at)
EXPIRED_TOKENS = Rule(ApiToken, ApiToken.expires_at)
REVOKED_TOKENS = Rule(ApiToken, ApiToken.revoked_at, (ApiToken.expires_at.is_(None),))
AUDIT = Rule(AuditEntry, AuditEntry.at)
REFUSALS = Rule(AuditRefusal, AuditRefusal.hour)


class RetentionRepository:
    """Finds and removes. The caller commits after every batch."""

    def __init__(self, session: AsyncSession) -> None:
        """Work in a session of the unit of work."""
        self._session = session

    async def beyond(self, rule: Rule, rows: int) -> datetime | None:
        """Time of the newest row that is one too many when only ``rows`` of them are kept; None when none is."""
        statement = select(rule.at).where(rule.at.is_not(None)).order_by(rule.at.desc()).offset(rows).limit(1)
        found: datetime | None = await self._session.scalar(statement)
        return found

    async def past(self, rule: Rule, before: datetime, limit: int, among: Collection[int] | None = None) -> list[int]:
        """Ids of rows that may go, the oldest first.

        Args:
            rule: which table.
            before: of an earlier time.
            limit: at most so many.
            among: only these, which are locked against other writers.
        """
        ids: Any = rule.model.__table__.c["id"]
        statement = select(ids).where(rule.at < before, *rule.only).order_by(rule.at).limit(limit)
        if among is not None:
            statement = statement.where(ids.in_(among)).with_for_update(skip_locked=True)
        return list((await self._session.scalars(statement)).all())

    async def remove(self, rule: Rule, ids: Collection[int]) -> None:
        """Remove rows with what hangs on them."""
        for model, column in rule.owned:
            await self._session.execute(delete(model).where(model.__table__.c[column].in_(ids)))
        for model, column in rule.detached:
            table = model.__table__
            await self._run(update(model).where(table.c[column].in_(ids)).values({column: None}))
        await self._run(delete(rule.model).where(rule.model.__table__.c["id"].in_(ids)))

    # ---- deleted VMs of versions that kept their user data

    async def full_deleted_vms(self, limit: int) -> list[int]:
        """Ids of at most ``limit`` deleted VMs that still have user data or keys."""
        table = VirtualMachine.__table__.c
        full = or_(table.user_data.is_not(None), cast(table.guest, String) != "{}")
        statement = select(table.id).where(table.state == VmState.DELETED.value, full).order_by(table.id).limit(limit)
        return list((await self._session.scalars(statement)).all())

    async def empty_vms(self, ids: Collection[int]) -> int:
        """Empty the rows of deleted VMs; how many. A deleted VM never becomes another state."""
        return await self._run(update(VirtualMachine).where(VirtualMachine.id.in_(ids)).values(**EMPTIED))

    # ---- events: always the oldest ones, so that numbers stay without gaps

    async def events_until(self, before: datetime, keep_rows: int, limit: int) -> int:
        """Number of the last of the oldest events that may go, at most ``limit`` of them; 0 for none."""
        last = int(await self._session.scalar(select(func.coalesce(func.max(Event.id), 0))) or 0)
        statement = select(Event.id, Event.at).order_by(Event.id).limit(limit)
        until = 0
        for number, at in await self._session.execute(statement):
            if number >= last or (at >= before and number > last - keep_rows):
                break
            until = number
        return until

    async def remove_events(self, until: int) -> int:
        """Remove the events up to a number; how many."""
        return await self._run(delete(Event).where(Event.id <= until))

    # ---- versions of templates

    async def surplus_versions(self, kept: int, after_id: int, limit: int) -> Mapping[int, tuple[int, int]]:
        """(template, version) by id of versions that are not among the ``kept`` newest, used or not, by id."""
        statement = (
            select(TemplateVersion.id, TemplateVersion.template_id, TemplateVersion.version)
            .join(Template, Template.id == TemplateVersion.template_id)
            .where(TemplateVersion.version <= Template.version - kept, TemplateVersion.id > after_id)
            .order_by(TemplateVersion.id)
            .limit(limit)
        )
        return {
            row_id: (template_id, version) for row_id, template_id, version in await self._session.execute(statement)
        }

    async def versions_in_use(self, template_ids: Collection[int]) -> set[tuple[int, int]]:
        """(template, version) that slices were made from which are not destroyed."""
        statement = (
            select(Slice.template_id, Slice.template_version)
            .where(Slice.state.in_(LIVING), Slice.template_id.in_(template_ids))
            .distinct()
        )
        return {(row[0] or 0, row[1] or 0) for row in await self._session.execute(statement)}

    async def remove_versions(self, ids: Collection[int]) -> int:
        """Remove versions of templates; how many."""
        return await self._run(delete(TemplateVersion).where(TemplateVersion.id.in_(ids)))

    async def _run(self, statement: Any) -> int:
        result: Any = await self._session.execute(statement, execution_options={"synchronize_session": False})
        return int(result.rowcount)
