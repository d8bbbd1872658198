"""Roles and permissions."""

from datetime import datetime
from typing import Annotated

from pydantic import ConfigDict, Field

from parcela.api.schemas.common import Body, Schema
from parcela.api.schemas.users import Line

RoleNameText = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{1,63}$", description="2 to 64 characters", examples=["technician"])
]
Right = Annotated[str, Field(max_length=64, description="See `GET /permissions`", examples=["host:read"])]
Rights = Annotated[list[Right], Field(max_length=100)]
Description = Annotated[Line, Field(max_length=255, examples=["Looks after the machines."])]


class RoleCreate(Body):
    """A new role."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"name": "technician", "permissions": ["host:read", "catalogue:read"]}}
    )

    name: RoleNameText
    description: Description = ""
    permissions: Rights


class RoleUpdate(Body):
    """What to change; fields left out or null stay as they are. ``permissions`` replaces all of them."""

    model_config = ConfigDict(json_schema_extra={"example": {"permissions": ["host:*", "catalogue:read"]}})

    name: RoleNameText | None = None
    description: Description | None = None
    permissions: Rights | None = None


class RoleRead(Schema):
    """A role."""

    id: int = Field(examples=[3])
    name: str = Field(examples=["technician"])
    description: str
    is_builtin: bool = Field(description="Built-in roles stay as they are")
    permissions: list[str] = Field(examples=[["catalogue:read", "host:read"]])
    created_at: datetime


class PermissionsRead(Schema):
    """Every right there is."""

    items: list[str] = Field(description="`noun:*` and `*` are possible besides these", examples=[["vm:create"]])
    scopes: list[str] = Field(
        description="What personal tokens can hold: the permissions, and the verbs for one's own things",
        examples=[["vm:create", "vm:delete"]],
    )
