"""The lab's machines, which hypervisors they carry, and what is attached to them."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Date, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from parcela.core.machines import MachineStatus, MaintenanceKind
from parcela.models.base import Base, Id, one_of, pk, state_column
from parcela.models.derived import Written, folded_of, search_text_of, sort_key_of


class Machine(Base):
    """A physical machine. ``code`` is stored in capitals, so that it is unique whatever the case.

    ``status_word`` is the word in which the present status was said, for older clients; "" where it was said in ours.
    ``registered_on_given``: whether a person gave the day of registration; else it is the day on which the machine was
    written down, which says nothing of its age.
    """

    __tablename__ = "machines"
    __table_args__ = (
        UniqueConstraint("code"),
        CheckConstraint("code = upper(code)", name="code_upper"),
        one_of("status", MachineStatus),
        Index("ix_machines_status", "status"),
        Index("ix_machines_area_fold_id", "area_fold", "id"),
        Index("ix_machines_type_fold_id", "type_fold", "id"),
        Index("ix_machines_responsible_id", "responsible_id"),
        Index("ix_machines_code_sort_id", "code_sort", "id"),
        Index("ix_machines_type_sort_id", "type_sort", "id"),
        Index("ix_machines_area_sort_id", "area_sort", "id"),
    )

    id: Mapped[int] = pk()
    code: Mapped[str] = mapped_column(Written(64))
    type: Mapped[str] = mapped_column(Written(64))
    area: Mapped[str] = mapped_column(Written(100), default="")
    status: Mapped[str] = state_column(MachineStatus.OPERATIONAL)
    status_word: Mapped[str] = mapped_column(Written(64), default="", server_default="")
    serial: Mapped[str] = mapped_column(Written(100), default="")
    notes: Mapped[str] = mapped_column(Written(4000), default="")
    code_sort: Mapped[str] = sort_key_of("code")
    type_sort: Mapped[str] = sort_key_of("type")
    area_sort: Mapped[str] = sort_key_of("area")
    type_fold: Mapped[str] = folded_of("type")
    area_fold: Mapped[str] = folded_of("area")
    search_text: Mapped[str] = search_text_of("code", "serial", "type", "area", "notes")
    registered_on: Mapped[date] = mapped_column(Date)
    registered_on_given: Mapped[bool] = mapped_column(Boolean, default=False)
    responsible_id: Mapped[int | None] = mapped_column(Id, ForeignKey("users.id", ondelete="SET NULL"))
    custom_fields: Mapped[dict[str, Any]]
    photo_file: Mapped[str | None] = mapped_column(String(36))
    photo_type: Mapped[str | None] = mapped_column(String(32))
    photo_sha256: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    archived_at: Mapped[datetime | None]


class MachineStatusChange(Base):
    """One step of a machine's life; the first one, of its registration, has no status before."""

    __tablename__ = "machine_status_changes"
    __table_args__ = (one_of("status", MachineStatus), Index("ix_machine_status_changes_machine_id", "machine_id"))

    id: Mapped[int] = pk()
    machine_id: Mapped[int] = mapped_column(Id, ForeignKey("machines.id", ondelete="CASCADE"))
    status_before: Mapped[str | None] = mapped_column(String(32))
    status: Mapped[str] = mapped_column(String(32))
    reason: Mapped[str] = mapped_column(Written(500), default="")
    record_id: Mapped[str | None] = mapped_column(String(36))
    actor_id: Mapped[int | None] = mapped_column(Id, ForeignKey("users.id", ondelete="SET NULL"))
    at: Mapped[datetime]


class HostMachine(Base):
    """Which machine a host is. ``drained_at`` says since when maintenance keeps VMs away from it; null: it does not."""

    __tablename__ = "host_machines"
    __table_args__ = (UniqueConstraint("machine_id"),)

    host_id: Mapped[int] = mapped_column(
        Id, ForeignKey("hosts.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    machine_id: Mapped[int] = mapped_column(Id, ForeignKey("machines.id"))
    drained_at: Mapped[datetime | None]


class OpenMaintenance(Base):
    """Maintenance that is not done yet: what placement, drains and the machine's status go by.

    The record itself may be in another store; this row is written in the same transaction as everything that follows
    from it, so that the database alone knows which machines are being worked on.
    """

    __tablename__ = "open_maintenance"
    __table_args__ = (one_of("kind", MaintenanceKind), Index("ix_open_maintenance_machine_id", "machine_id"))

    record_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    machine_id: Mapped[int] = mapped_column(Id, ForeignKey("machines.id"))
    plan_id: Mapped[int | None] = mapped_column(Id, ForeignKey("maintenance_plans.id", ondelete="SET NULL"))
    kind: Mapped[str] = mapped_column(String(16))
    moved_machine: Mapped[bool] = mapped_column(Boolean, default=False)
    opened_at: Mapped[datetime]
    begun_at: Mapped[datetime | None]


class Attachment(Base):
    """A file that belongs to a machine, perhaps to one of its maintenance records."""

    __tablename__ = "attachments"
    __table_args__ = (
        UniqueConstraint("file"),
        Index("ix_attachments_machine_id", "machine_id"),
        Index("ix_attachments_record_id", "record_id"),
    )

    id: Mapped[int] = pk()
    machine_id: Mapped[int] = mapped_column(Id, ForeignKey("machines.id"))
    record_id: Mapped[str | None] = mapped_column(String(36))
    name: Mapped[str] = mapped_column(Written(200))
    name_sort: Mapped[str] = sort_key_of("name")
    media_type: Mapped[str] = mapped_column(String(100))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    file: Mapped[str] = mapped_column(String(36))
    created_by: Mapped[int | None] = mapped_column(Id, ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[datetime]
