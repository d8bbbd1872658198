"""Slices, their segments, VMs, NICs and the capacity reserved for them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, CheckConstraint, ForeignKey, Index, Integer, String, Text, UniqueConstraint, Uuid
from sqlalchemy.dialects.mysql import MEDIUMTEXT
from sqlalchemy.orm import Mapped, mapped_column

from parcela.core.lifecycle import CrashPolicy, DesiredState, SliceState, VmState
from parcela.models.base import Base, Id, one_of, pk, state_column
from parcela.models.derived import Written, sort_key_of

LONG_TEXT = Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb")
"""64 KiB of user data and more: MariaDB's TEXT ends at 65,535 bytes."""


class Slice(Base):
    """One running copy of a template version. ``operation_id`` is the operation that holds it now."""

    __tablename__ = "slices"
    __table_args__ = (
        UniqueConstraint("uuid"),
        one_of("state", SliceState),
        one_of("crash_policy", CrashPolicy),
        Index("ix_slices_owner_id", "owner_id"),
        Index("ix_slices_project_id", "project_id"),
        Index("ix_slices_expires_at", "expires_at"),
        # Orders of the list: pages go by (column, id).
        Index("ix_slices_state_id", "state", "id"),
        Index("ix_slices_name_sort_id", "name_sort", "id"),
        Index("ix_slices_created_at_id", "created_at", "id"),
        Index("ix_slices_destroyed_at", "destroyed_at"),
    )

    id: Mapped[int] = pk()
    uuid: Mapped[UUID] = mapped_column(Uuid(native_uuid=False))
    name: Mapped[str] = mapped_column(Written(100))
    name_sort: Mapped[str] = sort_key_of("name")
    owner_id: Mapped[int] = mapped_column(Id, ForeignKey("users.id"))
    # No foreign key: SQLite adds a column with one only by writing the whole table anew. Projects with things stay.
    project_id: Mapped[int | None] = mapped_column(Id)
    zone_id: Mapped[int] = mapped_column(Id, ForeignKey("zones.id"))
    template_id: Mapped[int | None] = mapped_column(Id, ForeignKey("templates.id", ondelete="SET NULL"))
    template_version: Mapped[int | None] = mapped_column(Integer)
    state: Mapped[str] = state_column(SliceState.DRAFT)
    crash_policy: Mapped[str] = state_column(CrashPolicy.ERROR)
    error: Mapped[str] = mapped_column(String(1000), default="")
    operation_id: Mapped[int | None] = mapped_column(Id)
    generation: Mapped[int] = mapped_column(Integer, default=1)
    expires_at: Mapped[datetime | None]
    notified_expiry: Mapped[datetime | None]  # the value of expires_at that slice.expiring told
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    destroyed_at: Mapped[datetime | None]


class Segment(Base):
    """A layer-2 segment. ``tag`` is unique among living ones; NULL when the segment is gone."""

    __tablename__ = "segments"
    __table_args__ = (
        UniqueConstraint("uuid"),
        UniqueConstraint("tag"),
        CheckConstraint("kind IN ('edge', 'lan', 'nat')", name="kind_known"),
        CheckConstraint("mtu BETWEEN 576 AND 9000", name="mtu_range"),
        Index("ix_segments_slice_id", "slice_id"),
        Index("ix_segments_removed_at", "removed_at"),
    )

    id: Mapped[int] = pk()
    uuid: Mapped[UUID] = mapped_column(Uuid(native_uuid=False))
    slice_id: Mapped[int | None] = mapped_column(Id, ForeignKey("slices.id"))
    name: Mapped[str] = mapped_column(String(64), default="")
    kind: Mapped[str] = mapped_column(String(8))
    tag: Mapped[int | None] = mapped_column(Integer)
    mtu: Mapped[int] = mapped_column(Integer, default=1500)
    created_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]


class VirtualMachine(Base):
    """A VM of a slice, or one that stands alone (``slice_id`` NULL).

    ``name`` is its host name, ``label`` what its owner calls it ("" where that is the same). ``state`` is observed,
    ``desired`` is wanted, ``operation_id`` is the operation that holds it now. ``status_reason`` is a ``PowerReason``,
    or "".
    """

    __tablename__ = "virtual_machines"
    __table_args__ = (
        UniqueConstraint("uuid"),
        one_of("state", VmState),
        one_of("desired", DesiredState),
        CheckConstraint("cores BETWEEN 1 AND 128", name="cores_range"),
        CheckConstraint("memory_mib BETWEEN 64 AND 1048576", name="memory_range"),
        CheckConstraint("disk_gib BETWEEN 1 AND 16384", name="disk_range"),
        Index("ix_virtual_machines_owner_id", "owner_id"),
        Index("ix_virtual_machines_project_id", "project_id"),
        Index("ix_virtual_machines_slice_id", "slice_id"),
        Index("ix_virtual_machines_host_id", "host_id"),
        # Orders of the list: pages go by (column, id).
        Index("ix_virtual_machines_state_id", "state", "id"),
        Index("ix_virtual_machines_name_sort_id", "name_sort", "id"),
        Index("ix_virtual_machines_label_sort_id", "label_sort", "id"),
        Index("ix_virtual_machines_created_at_id", "created_at", "id"),
        Index("ix_virtual_machines_deleted_at", "deleted_at"),
    )

    id: Mapped[int] = pk()
    uuid: Mapped[UUID] = mapped_column(Uuid(native_uuid=False))
    name: Mapped[str] = mapped_column(Written(63))
    name_sort: Mapped[str] = sort_key_of("name")
    label: Mapped[str] = mapped_column(Written(100), default="", server_default="")
    label_sort: Mapped[str] = sort_key_of("label")
    slice_id: Mapped[int | None] = mapped_column(Id, ForeignKey("slices.id"))
    owner_id: Mapped[int] = mapped_column(Id, ForeignKey("users.id"))
    project_id: Mapped[int | None] = mapped_column(Id)
    zone_id: Mapped[int] = mapped_column(Id, ForeignKey("zones.id"))
    host_id: Mapped[int | None] = mapped_column(Id, ForeignKey("hosts.id"))
    image_id: Mapped[int] = mapped_column(Id, ForeignKey("images.id"))
    flavour_id: Mapped[int | None] = mapped_column(Id, ForeignKey("flavours.id", ondelete="SET NULL"))
    cores: Mapped[int] = mapped_column(Integer)
    memory_mib: Mapped[int] = mapped_column(Integer)
    disk_gib: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = state_column(VmState.DEFINED)
    desired: Mapped[str] = state_column(DesiredState.DEFINED)
    crash_policy: Mapped[str] = state_column(CrashPolicy.ERROR)
    error: Mapped[str] = mapped_column(String(1000), default="")
    status_reason: Mapped[str] = mapped_column(String(32), default="", server_default="")
    operation_id: Mapped[int | None] = mapped_column(Id)
    generation: Mapped[int] = mapped_column(Integer, default=1)
    user_data: Mapped[str | None] = mapped_column(LONG_TEXT)
    guest: Mapped[dict[str, Any]]
    ready_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]


class Nic(Base):
    """A network card; the MAC is unique among all VMs that are not deleted (rows of deleted VMs are removed)."""

    __tablename__ = "nics"
    __table_args__ = (
        UniqueConstraint("vm_id", "position"),
        UniqueConstraint("mac"),
        Index("ix_nics_segment_id", "segment_id"),
    )

    id: Mapped[int] = pk()
    vm_id: Mapped[int] = mapped_column(Id, ForeignKey("virtual_machines.id", ondelete="CASCADE"))
    position: Mapped[int] = mapped_column(Integer)
    mac: Mapped[str] = mapped_column(String(17))
    segment_id: Mapped[int | None] = mapped_column(Id, ForeignKey("segments.id"))
    end: Mapped[int] = mapped_column(Integer, default=0)
    is_public: Mapped[bool] = mapped_column(Boolean, default=False)
    address: Mapped[str | None] = mapped_column(String(64))
    leased_address: Mapped[str | None] = mapped_column(String(64))


class Reservation(Base):
    """Capacity of a host held for a VM, counted by a quota; one unit of work writes it and raises ``used_*``."""

    __tablename__ = "reservations"
    __table_args__ = (
        UniqueConstraint("vm_id"),
        Index("ix_reservations_host_id", "host_id"),
        Index("ix_reservations_quota_id", "quota_id"),
    )

    id: Mapped[int] = pk()
    vm_id: Mapped[int] = mapped_column(Id, ForeignKey("virtual_machines.id"))
    host_id: Mapped[int] = mapped_column(Id, ForeignKey("hosts.id"))
    vcpus: Mapped[int] = mapped_column(Integer)
    memory_mib: Mapped[int] = mapped_column(Integer)
    disk_gib: Mapped[int] = mapped_column(Integer)
    quota_id: Mapped[int | None] = mapped_column(Id)
    created_at: Mapped[datetime]
