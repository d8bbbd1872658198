"""Shapes of operations and events."""

from datetime import datetime
from typing import Any

from pydantic import Field

from parcela.api.schemas.common import AllowedActions, Schema
from parcela.core.lifecycle import OperationState, StepState


class OperationRead(Schema):
    """A piece of long work."""

    id: int = Field(examples=[17])
    kind: str = Field(examples=["slice.deploy"])
    state: OperationState
    slice_id: int | None
    vm_id: int | None
    owner_id: int
    requested_by: int | None = Field(description="The user who asked; null for Parcela itself")
    cancel_requested: bool
    error: str
    attempts: int = Field(description="How often a worker took it up")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class StepRead(Schema):
    """A step of an operation."""

    key: str = Field(examples=["boot:12"])
    kind: str = Field(examples=["boot_vm"])
    label: str = Field(examples=["Boot client"])
    state: StepState
    depends_on: list[str]
    vm_id: int | None
    attempts: int
    message: str
    started_at: datetime | None
    finished_at: datetime | None


class OperationDetail(OperationRead):
    """An operation with its steps."""

    steps: list[StepRead]
    allowed_actions: AllowedActions


class EventRead(Schema):
    """Something that happened."""

    id: int = Field(description="Sequence number; resume with `since`")
    type: str = Field(examples=["vm.state"])
    at: datetime
    actor_id: int | None
    slice_id: int | None
    vm_id: int | None
    operation_id: int | None
    data: dict[str, Any]


class EventList(Schema):
    """Events, oldest first."""

    items: list[EventRead]
    last_id: int = Field(description="Give it as `since` to get what comes next")
