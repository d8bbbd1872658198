"""Templates and their versions.

A version is one immutable JSON document (ADR 0003): slices point at the version they were made from, so an edit can
never change a running slice.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, CheckConstraint, ForeignKey, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from parcela.models.base import Base, Id, pk
from parcela.models.derived import Written, sort_key_of


class Template(Base):
    """A drawn topology; ``version`` is the newest one."""

    __tablename__ = "templates"
    __table_args__ = (
        CheckConstraint("visibility IN ('public', 'private')", name="visibility_known"),
        Index("ix_templates_owner_id", "owner_id"),
        Index("ix_templates_project_id", "project_id"),
        Index("ix_templates_name_sort_id", "name_sort", "id"),
    )

    id: Mapped[int] = pk()
    name: Mapped[str] = mapped_column(Written(100))
    name_sort: Mapped[str] = sort_key_of("name")
    description: Mapped[str] = mapped_column(Written(1000), default="")
    owner_id: Mapped[int] = mapped_column(Id, ForeignKey("users.id"))
    visibility: Mapped[str] = mapped_column(String(16), default="private")
    # No foreign key: SQLite adds a column with one only by writing the whole table anew. Projects with things stay.
    project_id: Mapped[int | None] = mapped_column(Id)
    version: Mapped[int] = mapped_column(Integer, default=1)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class TemplateVersion(Base):
    """One saved state of a template."""

    __tablename__ = "template_versions"
    __table_args__ = (UniqueConstraint("template_id", "version"),)

    id: Mapped[int] = pk()
    template_id: Mapped[int] = mapped_column(Id, ForeignKey("templates.id", ondelete="CASCADE"))
    version: Mapped[int] = mapped_column(Integer)
    document: Mapped[dict[str, Any]]
    size_bytes: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    created_by: Mapped[int | None] = mapped_column(Id, ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[datetime]


class TemplateReference(Base):
    """An image or flavour that the document of a version names: the document keeps the name, this row the id.

    A rename thus breaks nothing, and what uses a thing is found without reading documents. Both ids are NULL when the
    thing was removed, and when there was none of that name (``is_resolved`` is false then: the name is looked up when
    it is needed, until something of that name is renamed or removed). ``gone_name``: what a removed thing was called
    last, where everybody could see it.
    """

    __tablename__ = "template_references"
    __table_args__ = (
        CheckConstraint("kind IN ('image', 'flavour')", name="kind_known"),
        Index("ix_template_references_version_id", "version_id"),
        Index("ix_template_references_image_id", "image_id"),
        Index("ix_template_references_flavour_id", "flavour_id"),
        Index("ix_template_references_name", "name"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = pk()
    version_id: Mapped[int] = mapped_column(Id, ForeignKey("template_versions.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(255))
    image_id: Mapped[int | None] = mapped_column(Id, ForeignKey("images.id", ondelete="SET NULL"))
    flavour_id: Mapped[int | None] = mapped_column(Id, ForeignKey("flavours.id", ondelete="SET NULL"))
    is_resolved: Mapped[bool] = mapped_column(Boolean)
    gone_name: Mapped[str | None] = mapped_column(String(255))
