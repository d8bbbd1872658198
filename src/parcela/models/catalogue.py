"""Flavours, images, zones and hosts."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Float, ForeignKey, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from parcela.core.lifecycle import HostState
from parcela.models.base import Base, Id, one_of, pk, state_column
from parcela.models.derived import Written, sort_key_of


class Flavour(Base):
    """A named size."""

    __tablename__ = "flavours"
    __table_args__ = (
        UniqueConstraint("name"),
        CheckConstraint("vcpus BETWEEN 1 AND 128", name="vcpus_range"),
        CheckConstraint("memory_mib BETWEEN 64 AND 1048576", name="memory_range"),
        CheckConstraint("disk_gib BETWEEN 1 AND 16384", name="disk_range"),
        Index("ix_flavours_name_sort_id", "name_sort", "id"),
    )

    id: Mapped[int] = pk()
    name: Mapped[str] = mapped_column(Written(64))
    name_sort: Mapped[str] = sort_key_of("name")
    vcpus: Mapped[int] = mapped_column(Integer)
    memory_mib: Mapped[int] = mapped_column(Integer)
    disk_gib: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime]


class Image(Base):
    """What a VM boots; the file is ``images/<sha256>`` in the data folder.

    ``source_sha256`` and ``source_format`` are of the file that was uploaded, before it was unpacked or converted.
    ``project_id``: project whose members use it, and whose quota counts it instead of the owner's. No foreign key, see
    ``Project``.
    """

    __tablename__ = "images"
    __table_args__ = (
        UniqueConstraint("name"),
        CheckConstraint("format IN ('qcow2', 'raw', 'iso')", name="format_known"),
        CheckConstraint("visibility IN ('public', 'private')", name="visibility_known"),
        Index("ix_images_owner_id", "owner_id"),
        Index("ix_images_project_id", "project_id"),
        Index("ix_images_name_sort_id", "name_sort", "id"),
    )

    id: Mapped[int] = pk()
    name: Mapped[str] = mapped_column(Written(100))
    name_sort: Mapped[str] = sort_key_of("name")
    description: Mapped[str] = mapped_column(Written(1000), default="")
    os_type: Mapped[str] = mapped_column(String(32), default="linux")
    os_version: Mapped[str] = mapped_column(Written(64), default="")
    format: Mapped[str] = mapped_column(String(8))
    sha256: Mapped[str] = mapped_column(String(64))
    source_sha256: Mapped[str] = mapped_column(String(64), default="", server_default="")
    source_format: Mapped[str] = mapped_column(String(16), default="", server_default="")
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    virtual_size_bytes: Mapped[int] = mapped_column(BigInteger)
    min_memory_mib: Mapped[int] = mapped_column(Integer, default=64)
    min_disk_gib: Mapped[int] = mapped_column(Integer, default=1)
    visibility: Mapped[str] = mapped_column(String(16), default="private")
    owner_id: Mapped[int | None] = mapped_column(Id, ForeignKey("users.id"))
    project_id: Mapped[int | None] = mapped_column(Id)
    path: Mapped[str] = mapped_column(String(1000))
    kernel_path: Mapped[str | None] = mapped_column(String(1000))
    kernel_sha256: Mapped[str] = mapped_column(String(64), default="")
    initrd_path: Mapped[str | None] = mapped_column(String(1000))
    initrd_sha256: Mapped[str] = mapped_column(String(64), default="")
    cmdline: Mapped[str] = mapped_column(String(2000), default="")
    ready_marker: Mapped[str | None] = mapped_column(String(100))
    created_at: Mapped[datetime]


class ImageCopy(Base):
    """A base image that lies on a host, as the last look at the host found it."""

    __tablename__ = "image_copies"

    host_id: Mapped[int] = mapped_column(
        Id, ForeignKey("hosts.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)


class ImageUpload(Base):
    """Bytes that an image upload under way has reserved of a quota: the project's when it has one, else the user's.

    ``touched_at`` shows that it is alive.
    """

    __tablename__ = "image_uploads"
    __table_args__ = (
        Index("ix_image_uploads_user_id", "user_id"),
        Index("ix_image_uploads_project_id", "project_id"),
    )

    id: Mapped[int] = pk()
    user_id: Mapped[int] = mapped_column(Id, ForeignKey("users.id", ondelete="CASCADE"))
    project_id: Mapped[int | None] = mapped_column(Id)
    reserved_bytes: Mapped[int] = mapped_column(BigInteger)
    started_at: Mapped[datetime]
    touched_at: Mapped[datetime]


class Zone(Base):
    """A named set of hosts with one provider."""

    __tablename__ = "zones"
    __table_args__ = (
        UniqueConstraint("name"),
        CheckConstraint("provider IN ('libvirt', 'openstack', 'simulated')", name="provider_known"),
        Index("ix_zones_name_sort_id", "name_sort", "id"),
    )

    id: Mapped[int] = pk()
    name: Mapped[str] = mapped_column(Written(64))
    name_sort: Mapped[str] = sort_key_of("name")
    description: Mapped[str] = mapped_column(Written(1000), default="")
    provider: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime]


class Host(Base):
    """A hypervisor.

    ``used_*`` are the sums of its reservations, kept by conditional updates: the CHECKs make going over the limits
    impossible on every database and at every instant. Limits are capacity times the overcommit ratio.
    """

    __tablename__ = "hosts"
    __table_args__ = (
        UniqueConstraint("name"),
        one_of("state", HostState),
        CheckConstraint("used_vcpus >= 0 AND used_vcpus <= vcpus_limit", name="vcpus_capacity"),
        CheckConstraint("used_memory_mib >= 0 AND used_memory_mib <= memory_limit_mib", name="memory_capacity"),
        CheckConstraint("used_disk_gib >= 0 AND used_disk_gib <= disk_limit_gib", name="disk_capacity"),
        Index("ix_hosts_zone_id", "zone_id"),
        Index("ix_hosts_name_sort_id", "name_sort", "id"),
    )

    id: Mapped[int] = pk()
    name: Mapped[str] = mapped_column(Written(64))
    name_sort: Mapped[str] = sort_key_of("name")
    zone_id: Mapped[int] = mapped_column(Id, ForeignKey("zones.id"))
    state: Mapped[str] = state_column(HostState.UP)
    vcpus: Mapped[int] = mapped_column(Integer)
    memory_mib: Mapped[int] = mapped_column(Integer)
    disk_gib: Mapped[int] = mapped_column(Integer)
    cpu_overcommit: Mapped[float] = mapped_column(Float, default=8.0)
    memory_overcommit: Mapped[float] = mapped_column(Float, default=1.0)
    disk_overcommit: Mapped[float] = mapped_column(Float, default=4.0)
    vcpus_limit: Mapped[int] = mapped_column(Integer)
    memory_limit_mib: Mapped[int] = mapped_column(Integer)
    disk_limit_gib: Mapped[int] = mapped_column(Integer)
    used_vcpus: Mapped[int] = mapped_column(Integer, default=0)
    used_memory_mib: Mapped[int] = mapped_column(Integer, default=0)
    used_disk_gib: Mapped[int] = mapped_column(Integer, default=0)
    facts: Mapped[dict[str, Any]]
    reachable: Mapped[bool] = mapped_column(Boolean, default=False)
    last_seen_at: Mapped[datetime | None]
    last_error: Mapped[str] = mapped_column(String(500), default="")
    created_at: Mapped[datetime]
