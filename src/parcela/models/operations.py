"""The journal: operations and their steps, and the events they and others leave."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, ForeignKey, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from parcela.core.lifecycle import OperationState, StepState
from parcela.models.base import Base, Id, one_of, pk, state_column


class Operation(Base):
    """One durable piece of long work.

    A worker holds it by ``lease_owner`` until ``lease_expires_at``; every write checks ``fencing_token``, which grows
    with each claim, so a worker that lost its lease cannot write any more.
    """

    __tablename__ = "operations"
    __table_args__ = (
        one_of("state", OperationState),
        Index("ix_operations_state_lease", "state", "lease_expires_at"),
        Index("ix_operations_slice_id", "slice_id"),
        Index("ix_operations_vm_id", "vm_id"),
        Index("ix_operations_owner_id", "owner_id"),
        Index("ix_operations_project_id", "project_id"),
        Index("ix_operations_finished_at", "finished_at"),
    )

    id: Mapped[int] = pk()
    kind: Mapped[str] = mapped_column(String(32))
    state: Mapped[str] = state_column(OperationState.PENDING)
    slice_id: Mapped[int | None] = mapped_column(Id, ForeignKey("slices.id"))
    vm_id: Mapped[int | None] = mapped_column(Id, ForeignKey("virtual_machines.id"))
    owner_id: Mapped[int] = mapped_column(Id, ForeignKey("users.id"))
    project_id: Mapped[int | None] = mapped_column(Id)
    requested_by: Mapped[int | None] = mapped_column(Id, ForeignKey("users.id", ondelete="SET NULL"))
    undo_on_failure: Mapped[bool] = mapped_column(Boolean, default=False)
    cancel_requested: Mapped[bool] = mapped_column(Boolean, default=False)
    error: Mapped[str] = mapped_column(String(1000), default="")
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    fencing_token: Mapped[int] = mapped_column(Integer, default=0)
    lease_owner: Mapped[str | None] = mapped_column(String(100))
    lease_expires_at: Mapped[datetime | None]
    retry_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class OperationStep(Base):
    """One step: written before its side effect, finished after it; idempotent, keyed by (operation, key)."""

    __tablename__ = "operation_steps"
    __table_args__ = (UniqueConstraint("operation_id", "key"), one_of("state", StepState))

    id: Mapped[int] = pk()
    operation_id: Mapped[int] = mapped_column(Id, ForeignKey("operations.id", ondelete="CASCADE"))
    position: Mapped[int] = mapped_column(Integer)
    key: Mapped[str] = mapped_column(String(100))
    kind: Mapped[str] = mapped_column(String(32))
    label: Mapped[str] = mapped_column(String(200))
    depends_on: Mapped[list[str]]
    host_id: Mapped[int | None] = mapped_column(Id)
    vm_id: Mapped[int | None] = mapped_column(Id)
    segment_id: Mapped[int | None] = mapped_column(Id)
    image_id: Mapped[int | None] = mapped_column(Id)
    args: Mapped[dict[str, Any]]
    state: Mapped[str] = state_column(StepState.PENDING)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    message: Mapped[str] = mapped_column(String(1000), default="")
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Event(Base):
    """Something that happened. ``id`` is the sequence number: without gaps in the order of commits (see Counter)."""

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_owner_id", "owner_id"),
        Index("ix_events_project_id", "project_id"),
        Index("ix_events_slice_id", "slice_id"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=False)
    type: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime]
    actor_id: Mapped[int | None] = mapped_column(Id)
    owner_id: Mapped[int | None] = mapped_column(Id)
    project_id: Mapped[int | None] = mapped_column(Id)
    slice_id: Mapped[int | None] = mapped_column(Id)
    vm_id: Mapped[int | None] = mapped_column(Id)
    operation_id: Mapped[int | None] = mapped_column(Id)
    data: Mapped[dict[str, Any]]


class Counter(Base):
    """A number that grows under a row lock held until commit, so readers can never see 8 before 7 is committed.

    The row ``maintenance_in_mongodb`` is a note: 1 when maintenance records were last seen in MongoDB.
    """

    __tablename__ = "counters"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    value: Mapped[int] = mapped_column(Id, default=0)


class IdempotencyKey(Base):
    """The answer to a creation that named an ``Idempotency-Key``, kept for a day."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (UniqueConstraint("user_id", "key"), Index("ix_idempotency_keys_created_at", "created_at"))

    id: Mapped[int] = pk()
    user_id: Mapped[int] = mapped_column(Id, ForeignKey("users.id", ondelete="CASCADE"))
    key: Mapped[str] = mapped_column(String(128))
    request_hash: Mapped[str] = mapped_column(String(64))
    status: Mapped[int] = mapped_column(Integer)
    location: Mapped[str | None] = mapped_column(String(500))
    body: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class ConsoleTicket(Base):
    """One opening of one console, for thirty seconds; only the hash of the ticket is here.

    ``token_id`` and ``family`` (of a session; "" for a personal token) are those of the token that asked for it.
    """

    __tablename__ = "console_tickets"
    __table_args__ = (UniqueConstraint("token_hash"), Index("ix_console_tickets_expires_at", "expires_at"))

    id: Mapped[int] = pk()
    token_hash: Mapped[str] = mapped_column(String(64))
    vm_id: Mapped[int] = mapped_column(Id, ForeignKey("virtual_machines.id"))
    user_id: Mapped[int] = mapped_column(Id, ForeignKey("users.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(8))
    token_id: Mapped[int] = mapped_column(Id, default=0, server_default="0")
    family: Mapped[str] = mapped_column(String(64), default="", server_default="")
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class Installation(Base):
    """One row: the id that marks what is ours on hypervisors."""

    __tablename__ = "installation"

    id: Mapped[int] = pk()
    uuid: Mapped[str] = mapped_column(String(36))
    created_at: Mapped[datetime]
