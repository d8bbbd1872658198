"""Shapes of projects, memberships and quotas."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from parcela.api.schemas.common import Body, Printable, Schema
from parcela.api.schemas.flavours import Description
from parcela.core.permissions import ProjectKind, ProjectRole
from parcela.services.catalogue.rules import TEXT_PATTERN
from parcela.services.projects.projects import QuotaState

ProjectName = Annotated[str, Field(min_length=1, max_length=100, examples=["Networks 2026"]), Printable]
Ceiling = Annotated[int, Field(ge=0, le=2**31 - 1)] | None
LargeCeiling = Annotated[int, Field(ge=0, le=2**53)] | None


class ProjectCreate(Body):
    """A new project."""

    name: ProjectName
    kind: ProjectKind = ProjectKind.CLASS
    description: Description = ""


class ProjectUpdate(Body):
    """What to change; what is left out stays."""

    name: ProjectName | None = None
    kind: ProjectKind | None = None
    description: Description | None = None


class ProjectRead(Schema):
    """A project."""

    id: int = Field(examples=[3])
    name: str
    kind: ProjectKind
    description: str
    created_at: datetime
    updated_at: datetime


class ProjectItem(ProjectRead):
    """A project in a list."""

    members: int = Field(description="How many people are in it")


class MemberAdd(Body):
    """Somebody to take in."""

    user: Annotated[
        str, Field(min_length=1, max_length=254, pattern=TEXT_PATTERN, description="E-mail address or username")
    ] = Field(examples=["ana"])
    role: ProjectRole = ProjectRole.MEMBER


class MemberChange(Body):
    """Another role."""

    role: ProjectRole


class MemberRead(Schema):
    """Somebody in a project."""

    user_id: int
    username: str
    full_name: str
    role: ProjectRole
    created_at: datetime = Field(description="Since when")
    opened: bool = Field(description="False while only administrators and the person are told that they are in it")


class InvitationCreate(Body):
    """Somebody to invite."""

    email: Annotated[str, Field(min_length=3, max_length=254, pattern=TEXT_PATTERN, examples=["ana@lab.example"])]
    role: ProjectRole = ProjectRole.MEMBER


class InvitationRead(Schema):
    """An invitation that was not accepted yet. It is the same whether an account has the address or not."""

    id: int = Field(examples=[12])
    project_id: int
    email: str
    role: ProjectRole
    created_at: datetime
    expires_at: datetime


class InvitedRead(Schema):
    """What came of a list."""

    invited: int = Field(description="Number of addresses")


class OwnInvitationRead(Schema):
    """A project you are asked into, or were added to."""

    project_id: int
    project: str = Field(examples=["Networks 2026"])
    role: ProjectRole
    since: datetime
    expires_at: datetime | None = Field(description="Null when an administrator has added you")


class InvitationToken(Body):
    """The token of a mail."""

    token: Annotated[str, Field(min_length=1, max_length=200, pattern=TEXT_PATTERN)]


class QuotaLimits(Body):
    """Ceilings; null is the default of the installation (for projects: none, but for images)."""

    vcpus: Ceiling = None
    memory_mib: LargeCeiling = None
    disk_gib: LargeCeiling = None
    vms: Ceiling = None
    slices: Ceiling = None
    images_gib: LargeCeiling = Field(default=None, description="Images with their copies on hosts, in GiB")


class QuotaUse(Schema):
    """One resource."""

    limit: int | None = Field(description="What counts; null for no limit")
    own_limit: int | None = Field(description="What somebody has set; null where the default counts")
    used: int = Field(description="Reserved on hosts now; of images, GiB rounded up")


class QuotaRead(Schema):
    """Ceilings and what of them is used."""

    vcpus: QuotaUse
    memory_mib: QuotaUse
    disk_gib: QuotaUse
    vms: QuotaUse
    slices: QuotaUse
    images_gib: QuotaUse

    @classmethod
    def of(cls, state: QuotaState) -> "QuotaRead":
        """As the service gives it."""
        return cls(
            **{
                name: QuotaUse(limit=state.limits[name], own_limit=state.own[name], used=state.used[name])
                for name in state.limits
            }
        )
