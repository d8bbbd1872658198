"""Flavours on the wire, and the field types that the catalogue's schemas share."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import Field

from parcela.api.schemas.common import Body, Composed, Schema
from parcela.models import Flavour
from parcela.services.catalogue.rules import MAX_NAME_CHARS, NAME_PATTERN, RANGES, TEXT_PATTERN

MAX_ROW_ID = 2**53 - 1
"""Far beyond any row, and exact as a floating-point number: that is what JSON and OpenAPI hold a limit in."""
RowId = Annotated[int, Path(ge=1, le=MAX_ROW_ID)]
RowIdFilter = Annotated[int | None, Query(ge=1, le=MAX_ROW_ID)]
TextFilter = Annotated[str | None, Query(min_length=1, max_length=100, pattern=TEXT_PATTERN), Composed]
ForceDelete = Annotated[
    bool, Query(description="Remove it although templates use it: they cannot be launched any more then")
]
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS, pattern=NAME_PATTERN)]
Description = Annotated[str, Field(max_length=1000, pattern=TEXT_PATTERN)]

_SIZES = RANGES[Flavour]
Vcpus = Annotated[int, Field(ge=_SIZES["vcpus"][0], le=_SIZES["vcpus"][1], description="Virtual processors")]
MemoryMib = Annotated[int, Field(ge=_SIZES["memory_mib"][0], le=_SIZES["memory_mib"][1], description="Memory in MiB")]
DiskGib = Annotated[int, Field(ge=_SIZES["disk_gib"][0], le=_SIZES["disk_gib"][1], description="Disk in GiB")]


def left_out() -> Any:
    """Default of a field of a PATCH: it may be missing, and then stays as it is, but it may not be null."""
    return Field(default_factory=lambda: None)


class FlavourCreate(Body):
    """A new flavour."""

    name: Annotated[Name, Field(examples=["small"])]
    vcpus: Annotated[Vcpus, Field(examples=[2])]
    memory_mib: Annotated[MemoryMib, Field(examples=[4096])]
    disk_gib: Annotated[DiskGib, Field(examples=[6])]


class FlavourUpdate(Body):
    """What to change of a flavour."""

    name: Name = left_out()
    vcpus: Vcpus = left_out()
    memory_mib: MemoryMib = left_out()
    disk_gib: DiskGib = left_out()


class FlavourRead(Schema):
    """A flavour."""

    id: int = Field(examples=[5])
    name: str = Field(examples=["small"])
    vcpus: int = Field(examples=[2])
    memory_mib: int = Field(examples=[4096])
    disk_gib: int = Field(examples=[6])
    created_at: datetime
