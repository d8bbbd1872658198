"""Personal tokens."""

from datetime import datetime
from typing import Annotated

from pydantic import ConfigDict, Field, StrictBool

from parcela.api.schemas.common import Body, Moment, Printable, Schema
from parcela.api.schemas.roles import Right


class PersonalTokenCreate(Body):
    """A new personal token."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"name": "laptop", "scopes": ["vm:*"], "expires_at": "2031-01-31T00:00:00Z"}}
    )

    name: Annotated[str, Field(min_length=1, max_length=100, examples=["laptop"]), Printable]
    scopes: Annotated[
        list[Right],
        Field(
            min_length=1,
            max_length=100,
            description="What the token may do at most: permissions you hold, verbs for your own things (`vm:delete`), "
            "or the wildcards `*` and `noun:*`; see `GET /permissions`",
        ),
    ]
    expires_at: Moment | None = Field(default=None, description="With time zone; null for never")
    speaks_vm_api: StrictBool = Field(
        default=False,
        description="For a program written for the older API `vm_api`: on the addresses that it shares with this one, "
        "requests with the token are answered in its shapes and units",
    )


class PersonalTokenRead(Schema):
    """A personal token, without its secret."""

    id: int = Field(examples=[12])
    name: str = Field(examples=["laptop"])
    scopes: list[str] = Field(examples=[["vm:*"]])
    created_at: datetime
    expires_at: datetime | None
    speaks_vm_api: bool = Field(description="Answered in the shapes of the older API `vm_api`")
    last_used_at: datetime | None = Field(description="To about a minute")
    ip: str = Field(description="Address of the last use; empty before the first", examples=["192.0.2.7"])


class PersonalTokenCreated(Schema):
    """A new personal token with its secret, which is shown this once."""

    id: int = Field(examples=[12])
    name: str = Field(examples=["laptop"])
    scopes: list[str] = Field(examples=[["vm:*"]])
    created_at: datetime
    expires_at: datetime | None
    speaks_vm_api: bool
    token: str = Field(description="Send it as `Authorization: Bearer`", examples=["pcl_..."])
