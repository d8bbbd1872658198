"""Maintenance: records (where the relational database keeps them), plans, the activity log, changes under way."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Date,
    ForeignKey,
    Index,
    Integer,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from parcela.core.machines import IntervalUnit, MaintenanceKind, MaintenanceState
from parcela.models.base import Base, Id, one_of, pk
from parcela.models.derived import Written, search_text_of, sort_key_of


class MaintenanceRow(Base):
    """A maintenance record in the relational store; see ``repositories/maintenance/store.py`` for the fields.

    ``machine_id`` is no foreign key: records move between stores with their ids, and a store knows no machines.
    """

    __tablename__ = "maintenance_records"
    __table_args__ = (
        one_of("kind", MaintenanceKind),
        one_of("state", MaintenanceState),
        CheckConstraint("cost_minor >= 0", name="cost_not_negative"),
        Index("ix_maintenance_records_machine_id_performed_on", "machine_id", "performed_on"),
        Index("ix_maintenance_records_performed_on", "performed_on"),
        Index("ix_maintenance_records_plan_id", "plan_id"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    machine_id: Mapped[int] = mapped_column(Id)
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    performed_on: Mapped[date] = mapped_column(Date)
    company: Mapped[str] = mapped_column(Written(200))
    technician: Mapped[str] = mapped_column(Written(200))
    notes: Mapped[str] = mapped_column(Written(4000))
    company_fold: Mapped[str] = search_text_of("company")
    technician_fold: Mapped[str] = search_text_of("technician")
    notes_fold: Mapped[str] = search_text_of("notes")
    cost_minor: Mapped[int | None] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(String(3))
    plan_id: Mapped[int | None] = mapped_column(Id)
    author_id: Mapped[int | None] = mapped_column(Id)
    author: Mapped[str] = mapped_column(String(64))
    begun_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class ActivityRow(Base):
    """What somebody did in the inventory; with an outside store this table is where it waits to be sent."""

    __tablename__ = "activity_log"
    __table_args__ = (
        UniqueConstraint("uuid"),
        Index("ix_activity_log_machine_id", "machine_id"),
        Index("ix_activity_log_at", "at"),
    )

    id: Mapped[int] = pk()
    uuid: Mapped[str] = mapped_column(String(36))
    at: Mapped[datetime]
    action: Mapped[str] = mapped_column(String(64))
    machine_id: Mapped[int | None] = mapped_column(Id)
    record_id: Mapped[str | None] = mapped_column(String(36))
    actor_id: Mapped[int | None] = mapped_column(Id)
    actor: Mapped[str] = mapped_column(String(64))
    data: Mapped[dict[str, Any]]


class MaintenanceChange(Base):
    """A change of records in an outside store that this database has agreed to; see ADR 0011.

    It is written by the transaction that the change belongs to. A change that the store still keeps as pending is
    carried out when its row is here, and thrown away when it is not.
    """

    __tablename__ = "maintenance_changes"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    machine_ids: Mapped[list[int]] = mapped_column(JSON)
    created_at: Mapped[datetime]


class MaintenancePlan(Base):
    """Maintenance that is to be done: once (``interval`` null) or again and again.

    ``given_due_on`` is the due date that a person gave, ``given_due_at`` when (null: before any record); it counts
    until a record of the plan is finished after that. ``resumed_on``: when the machine was last back in use, where the
    plan had come due by then. ``called_off``: a person ended the plan. From these and the records of the plan follow
    ``next_due_on``, ``last_done_on``, ``active``, ``remind_on`` and ``drain_on``
    (``services/inventory/plan_dates.py``); they are kept so that every database can search for them.

    ``reminded_for`` and ``overdue_for`` are the due dates that were reported already, so that each is reported once.
    ``drain_days_before``: how long before the due date the machine's host takes no VMs any more; null: from now on.
    """

    __tablename__ = "maintenance_plans"
    __table_args__ = (
        one_of("kind", MaintenanceKind),
        CheckConstraint("interval_days BETWEEN 1 AND 36500", name="interval_range"),
        CheckConstraint("remind_days_before BETWEEN 0 AND 3650", name="remind_range"),
        CheckConstraint("drain_days_before BETWEEN 0 AND 3650", name="drain_range"),
        Index("ix_maintenance_plans_machine_id", "machine_id"),
        Index("ix_maintenance_plans_active_next_due_on", "active", "next_due_on"),
        Index("ix_maintenance_plans_title_sort_id", "title_sort", "id"),
    )

    id: Mapped[int] = pk()
    machine_id: Mapped[int] = mapped_column(Id, ForeignKey("machines.id"))
    title: Mapped[str] = mapped_column(Written(200))
    title_sort: Mapped[str] = sort_key_of("title")
    kind: Mapped[str] = mapped_column(String(16))
    next_due_on: Mapped[date] = mapped_column(Date)
    # The column is called as when days were all there was: renaming it would rebuild the table on SQLite.
    interval: Mapped[int | None] = mapped_column("interval_days", Integer)
    interval_unit: Mapped[str] = mapped_column(String(8), default=IntervalUnit.DAYS.value)
    given_due_on: Mapped[date] = mapped_column(Date)
    given_due_at: Mapped[datetime | None]
    called_off: Mapped[bool] = mapped_column(Boolean, default=False)
    resumed_on: Mapped[date | None] = mapped_column(Date)
    remind_days_before: Mapped[int] = mapped_column(Integer)
    drain_days_before: Mapped[int | None] = mapped_column(Integer)
    remind_on: Mapped[date] = mapped_column(Date)
    drain_on: Mapped[date | None] = mapped_column(Date)
    company: Mapped[str] = mapped_column(Written(200), default="")
    technician: Mapped[str] = mapped_column(Written(200), default="")
    notes: Mapped[str] = mapped_column(Written(4000), default="")
    active: Mapped[bool] = mapped_column(Boolean, default=True)
    last_done_on: Mapped[date | None] = mapped_column(Date)
    reminded_for: Mapped[date | None] = mapped_column(Date)
    overdue_for: Mapped[date | None] = mapped_column(Date)
    created_by: Mapped[int | None] = mapped_column(Id, ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
