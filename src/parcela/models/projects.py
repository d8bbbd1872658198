"""Projects, who is in them, and ceilings for people and projects."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from parcela.core.permissions import ProjectKind, ProjectRole
from parcela.models.base import Base, Id, one_of, pk
from parcela.models.derived import Written, caseless_of, sort_key_of

RESOURCES = ("vcpus", "memory_mib", "disk_gib", "vms", "slices")
"""What quotas count; the columns of ``Quota`` are ``max_*`` and ``used_*`` of these."""


class Project(Base):
    """A class or a team. ``name_key`` is ``caseless(name)``: two names that differ in case only are one.

    In lower case a name may be longer.

    Events, operations and destroyed slices remember the ids of removed projects, which are never used again. That is
    why no ``project_id`` outside this file is a foreign key. Locks on memberships keep living things in projects that
    exist: who makes something holds their own, who removes the project holds all of them.
    """

    __tablename__ = "projects"
    __table_args__ = (
        UniqueConstraint("name_key"),
        one_of("kind", ProjectKind),
        Index("ix_projects_name_sort_id", "name_sort", "id"),
    )

    id: Mapped[int] = pk()
    name: Mapped[str] = mapped_column(Written(100))
    name_sort: Mapped[str] = sort_key_of("name")
    name_key: Mapped[str] = caseless_of("name")
    kind: Mapped[str] = mapped_column(String(16), default=ProjectKind.CLASS.value)
    description: Mapped[str] = mapped_column(Written(1000), default="")
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class ProjectMember(Base):
    """One user in one project.

    Until ``opened_at`` is set, only administrators are told who it is: being added by somebody else must not show a
    person to the managers of the project.
    """

    __tablename__ = "project_members"
    __table_args__ = (one_of("role", ProjectRole), Index("ix_project_members_user_id", "user_id"))

    project_id: Mapped[int] = mapped_column(Id, ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[int] = mapped_column(Id, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime]
    opened_at: Mapped[datetime | None]


class ProjectInvitation(Base):
    """An invitation of an e-mail address into a project, whether an account has it or not.

    It counts for the account whose *verified* address it is. Rows stay after a refusal or withdrawal until they expire:
    managers do not see a refusal, and inviting again does not send another mail at once.

    Attributes:
        email: in lower case.
        token_hash: SHA-256 of the token in the mail, which proves that its reader has the address.
        sent_at: when a mail was last due, for the limit per hour.
    """

    __tablename__ = "project_invitations"
    __table_args__ = (
        UniqueConstraint("project_id", "email"),
        UniqueConstraint("token_hash"),
        one_of("role", ProjectRole),
        Index("ix_project_invitations_email", "email"),
        Index("ix_project_invitations_expires_at", "expires_at"),
    )

    id: Mapped[int] = pk()
    project_id: Mapped[int] = mapped_column(Id, ForeignKey("projects.id", ondelete="CASCADE"))
    email: Mapped[str] = mapped_column(String(254))
    role: Mapped[str] = mapped_column(String(16))
    token_hash: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    declined_at: Mapped[datetime | None]
    withdrawn_at: Mapped[datetime | None]


class Quota(Base):
    """Ceilings and use of one user or one project.

    ``max_*`` NULL is the default of the installation (for projects: none, but for images). ``used_*`` is the sum over
    the reservations that name this row; both change in one unit of work, by conditional updates (ADR 0004). Bytes of
    images are summed up when they are asked for (ADR 0034).
    """

    __tablename__ = "quotas"
    __table_args__ = (
        UniqueConstraint("user_id"),
        UniqueConstraint("project_id"),
        CheckConstraint("(user_id IS NULL) <> (project_id IS NULL)", name="one_holder"),
        *(CheckConstraint(f"used_{name} >= 0", name=f"used_{name}_positive") for name in RESOURCES),
    )

    id: Mapped[int] = pk()
    user_id: Mapped[int | None] = mapped_column(Id, ForeignKey("users.id", ondelete="CASCADE"))
    project_id: Mapped[int | None] = mapped_column(Id, ForeignKey("projects.id", ondelete="CASCADE"))
    max_vcpus: Mapped[int | None] = mapped_column(Integer)
    max_memory_mib: Mapped[int | None] = mapped_column(BigInteger)
    max_disk_gib: Mapped[int | None] = mapped_column(BigInteger)
    max_vms: Mapped[int | None] = mapped_column(Integer)
    max_slices: Mapped[int | None] = mapped_column(Integer)
    max_images_gib: Mapped[int | None] = mapped_column(BigInteger)
    used_vcpus: Mapped[int] = mapped_column(Integer, default=0)
    used_memory_mib: Mapped[int] = mapped_column(BigInteger, default=0)
    used_disk_gib: Mapped[int] = mapped_column(BigInteger, default=0)
    used_vms: Mapped[int] = mapped_column(Integer, default=0)
    used_slices: Mapped[int] = mapped_column(Integer, default=0)
