"""Machines on the wire, and the field types that the inventory's schemas share."""

from datetime import date, datetime
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BeforeValidator, Field, FiniteFloat, StrictBool, StrictInt, StrictStr

from parcela.api.schemas.common import Body, Composed, Schema
from parcela.api.schemas.common import Day as CalendarDay
from parcela.api.schemas.flavours import MAX_ROW_ID, left_out
from parcela.core.lifecycle import HostState
from parcela.core.machines import MachineStatus, MaintenanceKind
from parcela.services.catalogue.rules import TEXT_PATTERN
from parcela.services.inventory.rules import (
    CODE_PATTERN,
    MAX_CHARS,
    MAX_CODE_CHARS,
    MAX_CUSTOM_FIELDS,
    MAX_CUSTOM_KEY_CHARS,
)


def _fraction(value: Any) -> Any:
    """Refuse whole numbers: those that are too large for one would lose their last digits as a fraction."""
    if isinstance(value, int):  # pydantic turns a ValueError alone into a problem
        raise ValueError(  # noqa: TRY004
            f"a whole number is at most {MAX_ROW_ID}, and at least {-MAX_ROW_ID}"
        )
    return value


def text_of(field: str, **facts: Any) -> Any:
    """A text of the inventory with its limits."""
    return Field(max_length=MAX_CHARS[field], pattern=TEXT_PATTERN, **facts)


Code = Annotated[str, Field(min_length=1, max_length=MAX_CODE_CHARS, pattern=CODE_PATTERN)]
MachineType = Annotated[str, text_of("type", min_length=1, description="PC, printer, server ...")]
Area = Annotated[str, text_of("area")]
Serial = Annotated[str, text_of("serial")]
Notes = Annotated[str, text_of("notes")]
Company = Annotated[str, text_of("company")]
Technician = Annotated[str, text_of("technician")]
Day = Annotated[CalendarDay, Field(examples=["2026-03-01"])]
RowRef = Annotated[int, Field(ge=1, le=MAX_ROW_ID)]
CustomKey = Annotated[str, Field(min_length=1, max_length=MAX_CUSTOM_KEY_CHARS, pattern=TEXT_PATTERN)]
CustomText = Annotated[StrictStr, Field(max_length=4000, pattern=TEXT_PATTERN)]
CustomNumber = Annotated[StrictInt, Field(ge=-MAX_ROW_ID, le=MAX_ROW_ID)]
CustomFraction = Annotated[FiniteFloat, BeforeValidator(_fraction)]
CustomValue = StrictBool | CustomNumber | CustomFraction | CustomText | None
CustomFields = Annotated[
    dict[CustomKey, CustomValue], Field(max_length=MAX_CUSTOM_FIELDS, examples=[{"warranty": "2031-05", "screens": 2}])
]
DayFilter = Annotated[CalendarDay | None, Query(description="A day, such as 2030-05-17")]
PartFilter = Annotated[str | None, Query(min_length=1, max_length=100, pattern=TEXT_PATTERN), Composed]
RecordId = Annotated[str, Path(pattern="^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", description="UUID")]


class MachineCreate(Body):
    """A new machine."""

    code: Annotated[Code, Field(examples=["PC-017"], description="Unique whatever the case; kept in capitals")]
    type: Annotated[MachineType, Field(examples=["PC"])]
    area: Annotated[Area, Field(examples=["Lab 2"])] = ""
    status: MachineStatus = MachineStatus.OPERATIONAL
    serial: Annotated[Serial, Field(examples=["SN-4711"])] = ""
    notes: Notes = ""
    registered_on: Annotated[Day, Field(description="Today, unless it is given; from 1970 to tomorrow")] = left_out()
    responsible_id: RowRef | None = Field(None, description="A user")
    custom_fields: CustomFields = Field(default_factory=dict)


class MachineUpdate(Body):
    """What to change of a machine."""

    code: Code = left_out()
    type: MachineType = left_out()
    area: Area = left_out()
    status: MachineStatus = left_out()
    reason: Annotated[str, text_of("reason", description="Why the status changes")] = left_out()
    serial: Serial = left_out()
    notes: Notes = left_out()
    registered_on: Day = left_out()
    responsible_id: RowRef | None = None
    custom_fields: CustomFields = left_out()


class MachineRead(Schema):
    """A machine."""

    id: int = Field(examples=[17])
    code: str = Field(examples=["PC-017"])
    type: str = Field(examples=["PC"])
    area: str = Field(examples=["Lab 2"])
    status: MachineStatus
    serial: str
    notes: str
    registered_on: date
    responsible_id: int | None
    responsible: str | None = Field(description="Username of the responsible user")
    custom_fields: dict[str, Any]
    photo_type: str | None = Field(description="Media type of the photo; null when there is none")
    photo_sha256: str | None
    open_maintenance: int = Field(description="Number of maintenance records that are not done")
    host_id: int | None = Field(description="The host that this machine is")
    host: str | None = Field(description="Name of that host")
    host_state: HostState | None
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None


class StatusChangeRead(Schema):
    """One step of a machine's life."""

    id: int
    status_before: MachineStatus | None = Field(description="Null for the registration")
    status: MachineStatus
    reason: str
    record_id: str | None = Field(description="The maintenance record that was the cause")
    actor_id: int | None
    actor: str | None = Field(description="Username of who did it")
    at: datetime


class ActivityRead(Schema):
    """What somebody did."""

    id: str
    at: datetime
    action: str = Field(examples=["machine.changed"])
    machine_id: int | None
    record_id: str | None
    actor_id: int | None
    actor: str
    data: dict[str, Any]


class MonthCountRead(Schema):
    """Maintenance of a month and kind."""

    month: date = Field(description="The first day of the month")
    kind: MaintenanceKind
    count: int


class VmInTheWayRead(Schema):
    """A VM on a host that is being emptied."""

    id: int
    name: str
    state: str
    owner_id: int


class MachineHostRead(Schema):
    """The host that a machine is, as its maintenance sees it."""

    id: int
    name: str
    state: HostState = Field(description="`draining` while VMs are on it, `maintenance` when it is empty or work began")
    drained: bool = Field(description="Whether maintenance keeps VMs away; it goes back to `up` by itself then")
    vms: list[VmInTheWayRead]
