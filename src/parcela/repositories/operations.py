"""The journal's rows: operations, steps, leases."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from sqlalchemy import Select, and_, func, or_, select, update

from parcela.core.lifecycle import OPERATION_ACTIVE, DesiredState, OperationState, SliceState, VmState
from parcela.models import Operation, OperationStep, Slice, User, VirtualMachine
from parcela.repositories.base import Repository, mine_or_managed
from parcela.repositories.paging import Page, PageRequest, fetch_page

ACTIVE = [state.value for state in OPERATION_ACTIVE]
DESTRUCTIONS = ("slice.destroy", "vm.destroy")

_COLUMNS = Operation.__table__.c
_HOLDER = or_(
    and_(
        _COLUMNS.vm_id.is_(None),
        select(Slice.operation_id).where(Slice.id == _COLUMNS.slice_id).scalar_subquery() == _COLUMNS.id,
    ),
    select(VirtualMachine.operation_id).where(VirtualMachine.id == _COLUMNS.vm_id).scalar_subquery() == _COLUMNS.id,
)
MAY_RUN = and_(_COLUMNS.state.in_(ACTIVE), or_(_COLUMNS.state != OperationState.PENDING.value, _HOLDER))
"""Has not ended, and does not wait for others: a destruction that waits does not hold its slice or VM yet."""


class OperationRepository(Repository[Operation]):
    """Operations; a claim raises the fencing token."""

    model = Operation
    noun = "operation"

    async def page(
        self,
        request: PageRequest,
        *,
        owner_id: int | None = None,
        managed: Collection[int] = (),
        slice_id: int | None = None,
        vm_id: int | None = None,
        state: str | None = None,
        kind: str | None = None,
    ) -> Page:
        """Operations with the name of who asked for them."""
        statement = select(*Operation.__table__.columns, User.username.label("requested_by_name")).outerjoin(
            User, User.id == Operation.requested_by
        )
        if owner_id is not None:
            statement = statement.where(mine_or_managed(_COLUMNS.owner_id, _COLUMNS.project_id, owner_id, managed))
        filters = {"slice_id": slice_id, "vm_id": vm_id, "state": state, "kind": kind}
        for column, value in filters.items():
            if value is not None:
                statement = statement.where(getattr(Operation, column) == value)
        sortable: dict[str, Any] = {"created_at": Operation.created_at}
        return await fetch_page(
            self._session, statement, request, sortable=sortable, id_column=Operation.__table__.c.id
        )

    async def add_steps(self, steps: Sequence[OperationStep]) -> None:
        """Store the plan."""
        self._session.add_all(steps)
        await self._session.flush()  # steps and operation appear together, or a duplicate key objects here

    async def steps(self, operation_id: int) -> list[OperationStep]:
        """Steps in plan order, fresh."""
        statement = select(OperationStep).where(OperationStep.operation_id == operation_id)
        result = await self._session.scalars(
            statement.order_by(OperationStep.position), execution_options={"populate_existing": True}
        )
        return list(result.all())

    async def some_steps(self, step_ids: Collection[int]) -> dict[int, OperationStep]:
        """Steps by id in plan order, fresh."""
        statement = select(OperationStep).where(OperationStep.id.in_(step_ids)).order_by(OperationStep.position)
        result = await self._session.scalars(statement, execution_options={"populate_existing": True})
        return {row.id: row for row in result}

    async def claimable(self, now: datetime, *, limit: int) -> list[int]:
        """Operations nobody holds; rows that another worker is just claiming are skipped (not on SQLite)."""
        statement = (
            select(Operation.id)
            .where(
                MAY_RUN,
                or_(Operation.lease_expires_at.is_(None), Operation.lease_expires_at < now),
                or_(Operation.retry_at.is_(None), Operation.retry_at <= now),
            )
            .order_by(Operation.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return list((await self._session.scalars(statement)).all())

    async def claim(self, operation_id: int, owner: str, ttl_s: float) -> Operation | None:
        """Take the lease if it is free; the operation, fresh, with its new fencing token, or None."""
        now = self._clock()
        statement = update(Operation).where(
            Operation.id == operation_id,
            MAY_RUN,
            or_(Operation.lease_expires_at.is_(None), Operation.lease_expires_at < now),
        )
        values = {
            "lease_owner": owner,
            "lease_expires_at": now + timedelta(seconds=ttl_s),
            "fencing_token": Operation.fencing_token + 1,
            "attempts": Operation.attempts + 1,
            "retry_at": None,
        }
        if not await self._changed(statement.values(**values)):
            return None
        return await self._session.get(Operation, operation_id, populate_existing=True)

    async def renew(self, operation_id: int, fencing_token: int, ttl_s: float) -> bool:
        """Make the lease longer; False when it is lost."""
        statement = update(Operation).where(Operation.id == operation_id, Operation.fencing_token == fencing_token)
        expires_at = self._clock() + timedelta(seconds=ttl_s)
        return bool(await self._changed(statement.values(lease_expires_at=expires_at)))

    async def fenced(self, operation_id: int, fencing_token: int) -> Operation | None:
        """The operation, locked and fresh, if the token is still the newest; None when the lease is lost."""
        statement = (
            select(Operation)
            .where(Operation.id == operation_id, Operation.fencing_token == fencing_token)
            .with_for_update()
        )
        result = await self._session.scalars(statement, execution_options={"populate_existing": True})
        return result.one_or_none()

    async def drop_lease(self, operation_id: int, fencing_token: int) -> None:
        """Let go at an orderly stop, so that the next process need not wait for the expiry."""
        statement = update(Operation).where(Operation.id == operation_id, Operation.fencing_token == fencing_token)
        await self._changed(statement.values(lease_owner=None, lease_expires_at=None))

    async def drop_all_leases(self) -> int:
        """Void every lease: only for the one process of a SQLite database, at its start."""
        statement = update(Operation).where(Operation.lease_expires_at.is_not(None))
        return await self._changed(statement.values(lease_owner=None, lease_expires_at=None))

    async def request_cancel(self, operation_id: int) -> bool:
        """Ask a running operation to stop; False when it has ended or is being undone already."""
        states = [OperationState.PENDING.value, OperationState.RUNNING.value]
        statement = update(Operation).where(Operation.id == operation_id, Operation.state.in_(states))
        return bool(await self._changed(statement.values(cancel_requested=True)))

    async def in_the_way(self, *, slice_id: int | None = None, vm_id: int | None = None) -> list[Operation]:
        """What works on a slice (with its VMs) or on a VM and was not asked to stop, by id; destructions are not."""
        statement = _on(select(Operation), slice_id, vm_id).where(
            Operation.state.in_([OperationState.PENDING.value, OperationState.RUNNING.value]),
            Operation.kind.not_in(DESTRUCTIONS),
            Operation.cancel_requested.is_(False),
        )
        return list((await self._session.scalars(statement.order_by(Operation.id))).all())

    async def destruction(self, *, slice_id: int | None = None, vm_id: int | None = None) -> Operation | None:
        """The destruction of a slice or of a stand-alone VM that waits or is under way."""
        statement = _on(select(Operation), slice_id, vm_id).where(
            Operation.state.in_(ACTIVE), Operation.kind.in_(DESTRUCTIONS)
        )
        result = await self._session.scalars(
            statement.order_by(Operation.id).limit(1), execution_options={"populate_existing": True}
        )
        return result.one_or_none()

    async def unfinished_destructions(self, *, after_id: int, limit: int) -> list[tuple[int, int | None, int | None]]:
        """Destructions that failed and whose slice or VM is still there, with nothing at work on it.

        Returns:
            at most ``limit`` of (operation, slice, VM), by operation. An older one of the same thing may be among them.
        """
        slice_left = and_(Slice.state == SliceState.ERROR.value, Slice.operation_id.is_(None))
        wanted_gone = VirtualMachine.desired == DesiredState.DELETED.value
        vm_left = and_(
            VirtualMachine.state != VmState.DELETED.value, VirtualMachine.operation_id.is_(None), wanted_gone
        )
        statement = (
            select(Operation.id, Operation.slice_id, Operation.vm_id)
            .outerjoin(Slice, and_(Slice.id == Operation.slice_id, Operation.vm_id.is_(None)))
            .outerjoin(VirtualMachine, VirtualMachine.id == Operation.vm_id)
            .where(
                Operation.state == OperationState.FAILED.value,
                Operation.kind.in_(DESTRUCTIONS),
                Operation.id > after_id,
                or_(slice_left, vm_left),
            )
        )
        rows = await self._session.execute(statement.order_by(Operation.id).limit(limit))
        return [(operation_id, slice_id, vm_id) for operation_id, slice_id, vm_id in rows]

    async def failed_in_a_row(
        self, *, slice_id: int | None = None, vm_id: int | None = None, limit: int
    ) -> list[datetime]:
        """When those destructions of a slice or VM failed that nothing has followed, the newest first."""
        statement = _on(select(Operation), slice_id, vm_id)
        if slice_id is not None:
            statement = statement.where(Operation.vm_id.is_(None))
        found = (await self._session.scalars(statement.order_by(Operation.id.desc()).limit(limit))).all()
        failed = takewhile(lambda row: row.kind in DESTRUCTIONS and row.state == OperationState.FAILED.value, found)
        return [row.finished_at or row.created_at for row in failed]

    async def reopen(self, operation_id: int, *, old: OperationState, new: OperationState) -> bool:
        """Put an ended or stuck operation back to work."""
        statement = update(Operation).where(Operation.id == operation_id, Operation.state == old.value)
        values = {"state": new.value, "lease_owner": None, "lease_expires_at": None, "finished_at": None}
        return bool(await self._changed(statement.values(**values)))

    async def stuck(self, ended_before: datetime, *, after_id: int, limit: int) -> list[int]:
        """At most ``limit`` operations, by id, with effects that could not be undone by then."""
        statement = select(Operation.id).where(
            Operation.state == OperationState.STUCK.value,
            or_(Operation.finished_at.is_(None), Operation.finished_at <= ended_before),
            Operation.id > after_id,
        )
        return list((await self._session.scalars(statement.order_by(Operation.id).limit(limit))).all())

    async def active_on_host(self, host_id: int) -> bool:
        """Whether an operation that has not ended has steps on a host."""
        states = [*ACTIVE, OperationState.STUCK.value]
        statement = (
            select(Operation.id)
            .join(OperationStep, OperationStep.operation_id == Operation.id)
            .where(Operation.state.in_(states), OperationStep.host_id == host_id)
            .limit(1)
        )
        return (await self._session.scalars(statement)).first() is not None

    async def active_count(self) -> int:
        """How many operations are not ended."""
        statement = select(func.count(Operation.id)).where(Operation.state.in_(ACTIVE))
        return int((await self._session.execute(statement)).scalar_one())


def _on(statement: Select[Operation], slice_id: int | None, vm_id: int | None) -> Select[Operation]:
    """Those on a slice, or those on a VM."""
    column, value = (_COLUMNS.vm_id, vm_id) if slice_id is None else (_COLUMNS.slice_id, slice_id)
    return statement.where(column == value)
