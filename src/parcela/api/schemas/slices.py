"""Shapes of slices."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from parcela.api.schemas.common import AllowedActions, Body, Printable, Schema
from parcela.core.lifecycle import CrashPolicy, SliceState
from parcela.services.catalogue.rules import TEXT_PATTERN

RowId = Annotated[int, Field(ge=1, le=2**63 - 1)]
SliceName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), Printable]


class SliceCreate(Body):
    """A slice to be made of a template."""

    template_id: RowId = Field(examples=[1])
    template_version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = Field(
        default=None, description="Version of the template; the newest when left out"
    )
    name: SliceName | None = Field(default=None, description="The template's name when left out", examples=["My lab"])
    zone: Annotated[str, Field(max_length=64, pattern=TEXT_PATTERN)] | None = Field(
        default=None, description="The first zone when left out"
    )
    expires_in_s: Annotated[int, Field(ge=60, le=31_536_000)] | None = Field(
        default=None, description="Seconds until it is destroyed; the default of the installation when left out"
    )
    project_id: RowId | None = Field(default=None, description="Project it is made in, and counted by")
    crash_policy: CrashPolicy = Field(default=CrashPolicy.ERROR, description="What happens when a VM's QEMU dies")


class SliceDeploy(Body):
    """How to deploy."""

    paused: bool = Field(default=False, description="Create all VMs paused instead of booting them")


class SliceExtend(Body):
    """A new end of life."""

    expires_in_s: Annotated[int, Field(ge=60, le=31_536_000)] | None = Field(
        default=None, description="Seconds from now; the default of the installation when left out"
    )


class SliceRead(Schema):
    """A slice."""

    id: int = Field(examples=[7])
    uuid: UUID
    name: str
    owner_id: int
    owner: str
    project_id: int | None
    project: str | None
    zone: str
    template_id: int | None
    template: str | None
    template_version: int | None
    state: SliceState
    crash_policy: CrashPolicy
    error: str
    operation_id: int | None = Field(description="The operation that works on it now")
    vm_count: int
    expires_at: datetime | None
    created_at: datetime
    updated_at: datetime


class SliceDetail(SliceRead):
    """A slice, with what you may do with it."""

    allowed_actions: AllowedActions
