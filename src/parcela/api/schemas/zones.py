"""Availability zones on the wire."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from parcela.api.schemas.common import Body, Schema
from parcela.api.schemas.flavours import Description, Name, left_out

Provider = Literal["libvirt", "openstack", "simulated"]


class ZoneCreate(Body):
    """A new zone; its provider never changes."""

    name: Annotated[Name, Field(examples=["lab-1"])]
    provider: Provider = Field(examples=["libvirt"])
    description: Description = ""


class ZoneUpdate(Body):
    """What to change of a zone."""

    name: Name = left_out()
    description: Description = left_out()


class ZoneRead(Schema):
    """A zone."""

    id: int = Field(examples=[1])
    name: str = Field(examples=["lab-1"])
    provider: str = Field(examples=["libvirt"])
    description: str
    created_at: datetime
