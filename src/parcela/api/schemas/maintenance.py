"""Maintenance records, plans and attachments on the wire."""

import dataclasses
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from parcela.api.schemas.common import Body, Schema
from parcela.api.schemas.flavours import left_out
from parcela.api.schemas.machines import (
    Code,
    Company,
    Day,
    MachineHostRead,
    MonthCountRead,
    Notes,
    RowRef,
    Technician,
    text_of,
)
from parcela.core.machines import IntervalUnit, MachineStatus, MaintenanceKind, MaintenanceState, PlanTiming
from parcela.repositories.maintenance.store import MaintenanceRecord
from parcela.services.inventory.machine_hosts import HostView
from parcela.services.inventory.maintenance import RecordView
from parcela.services.inventory.rules import CURRENCY_PATTERN, MAX_COST_MINOR

Cost = Annotated[
    int, Field(ge=0, le=MAX_COST_MINOR, description="In the currency's minor unit (cents)", examples=[12500])
]
Currency = Annotated[str, Field(pattern=CURRENCY_PATTERN, description="ISO 4217", examples=["EUR"])]
CurrencyOrNone = Annotated[Currency | Literal[""], Field(description="ISO 4217; empty without a cost")]
Title = Annotated[str, text_of("title", min_length=1)]
IntervalDays = Annotated[int, Field(ge=1, le=36_500)]
LeadDays = Annotated[int, Field(ge=0, le=3650)]


class MachineRef(Body):
    """Names a machine by id or code."""

    machine_id: RowRef | None = None
    machine_code: Code | None = Field(None, description="Instead of `machine_id`")


class MaintenanceCreate(MachineRef):
    """Maintenance that is opened, or that was done already."""

    kind: MaintenanceKind
    state: MaintenanceState = MaintenanceState.OPEN
    performed_on: Annotated[
        Day, Field(description="Today, unless it is given; not before the machine, and not after tomorrow")
    ] = left_out()
    company: Annotated[Company, Field(examples=["Acme Repairs"])] = ""
    technician: Annotated[Technician, Field(examples=["Ana Pérez"])] = ""
    notes: Notes = ""
    cost_minor: Cost | None = None
    currency: CurrencyOrNone = left_out()


class MaintenanceUpdate(Body):
    """What to change of a maintenance record."""

    kind: MaintenanceKind = left_out()
    performed_on: Day = left_out()
    company: Company = left_out()
    technician: Technician = left_out()
    notes: Notes = left_out()
    cost_minor: Cost | None = None
    currency: CurrencyOrNone = left_out()


class MaintenanceFinish(Body):
    """How the work ended."""

    performed_on: Day = left_out()
    company: Company = left_out()
    technician: Technician = left_out()
    notes: Notes = left_out()
    cost_minor: Cost | None = None
    currency: CurrencyOrNone = left_out()
    machine_status: MachineStatus = Field(
        MachineStatus.OPERATIONAL, description="What the machine is afterwards, if this record put it in maintenance"
    )


class MaintenanceSummary(Schema):
    """A maintenance record in a list."""

    id: str = Field(examples=["0b5e4b0c-6d0f-4a53-9c39-0a2b1f6f2a77"])
    machine_id: int
    machine_code: str = Field(examples=["PC-017"])
    kind: MaintenanceKind
    state: MaintenanceState
    performed_on: date
    company: str
    technician: str
    notes: str
    cost_minor: int | None
    currency: str
    plan_id: int | None
    author_id: int | None
    author: str
    begun_at: datetime | None
    finished_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, record: MaintenanceRecord, machine_code: str) -> "MaintenanceSummary":
        """From what the store gives."""
        return cls.model_validate(_facts(record) | {"machine_code": machine_code})


class MaintenanceRead(MaintenanceSummary):
    """A maintenance record, and what it means for the host that its machine is."""

    host: MachineHostRead | None = Field(description="Null when the machine is no host")

    @classmethod
    def of_view(cls, view: RecordView) -> "MaintenanceRead":
        """From what the service gives."""
        return cls.model_validate(_facts(view.record) | {"machine_code": view.machine_code, "host": _host(view.host)})


class PlanFields(Body):
    """What plans have in common with their changes."""

    kind: MaintenanceKind = left_out()
    interval: IntervalDays | None = Field(
        None,
        description="How many of `interval_unit` are between two times; null: once. At most 36500 days, 5200 weeks, "
        "1200 months or 100 years",
        examples=[6],
    )
    interval_unit: IntervalUnit = Field(
        IntervalUnit.DAYS,
        description="Months and years keep the day, or the last one of a shorter month: 31 January, 28 February, "
        "31 March. The end of a month stays the end of a month",
        examples=["months"],
    )
    interval_days: IntervalDays | None = Field(
        None, description="The same in days, instead of `interval` and `interval_unit`", examples=[None]
    )
    remind_days_before: LeadDays = left_out()
    drain_days_before: LeadDays | None = Field(
        None,
        description="Days before the due date from which the host that the machine is takes no VMs; null: from now on. "
        "Left out: null for what is planned once, 1 for what recurs",
    )
    company: Company = left_out()
    technician: Technician = left_out()
    notes: Notes = left_out()


class PlanCreate(PlanFields, MachineRef):
    """A new plan."""

    title: Annotated[Title, Field(examples=["Clean the fans"])]
    next_due_on: Annotated[Day, Field(description="Not before the machine, at most 50 years ahead")]


class PlanUpdate(PlanFields):
    """What to change of a plan."""

    title: Title = left_out()
    next_due_on: Annotated[Day, Field(description="Counts until work of the plan is finished")] = left_out()
    active: bool = left_out()


class PlanSummary(Schema):
    """A plan in a list."""

    id: int
    machine_id: int
    machine_code: str
    title: str
    kind: MaintenanceKind
    next_due_on: date = Field(description="Follows from the records of the plan, or is what a person said since then")
    timing: PlanTiming | None = Field(description="How it stands to today; null when it is not active, or rests")
    resting: bool = Field(description="Whether its machine is retired or archived: nothing is due then")
    interval: int | None = Field(description="How many of `interval_unit` are between two times; null: once")
    interval_unit: IntervalUnit
    interval_days: int | None = Field(description="The same in days; null in months and years, and for once")
    remind_days_before: int
    drain_days_before: int | None
    company: str
    technician: str
    notes: str
    active: bool
    last_done_on: date | None = Field(description="Of the records of the plan that are done")
    created_at: datetime
    updated_at: datetime


class PlanRead(PlanSummary):
    """A plan, and what it means for the host that its machine is."""

    host: MachineHostRead | None = Field(description="Null when the machine is no host")

    @classmethod
    def of(cls, row: dict[str, Any], host: HostView | None) -> "PlanRead":
        """From what the service gives."""
        return cls.model_validate(row | {"host": _host(host)})


class AttachmentRead(Schema):
    """A file that belongs to a machine."""

    id: int
    machine_id: int
    record_id: str | None = Field(description="The maintenance record it belongs to")
    name: str = Field(examples=["invoice.pdf"])
    media_type: str = Field(description="By its content", examples=["application/pdf"])
    size_bytes: int
    sha256: str
    created_by: int | None
    created_at: datetime


class DashboardRead(Schema):
    """Numbers of the inventory; archived machines are left out."""

    by_status: dict[str, int]
    by_area: dict[str, int]
    by_type: dict[str, int]
    per_month: list[MonthCountRead] | None = Field(
        description="Maintenance of the last twelve months; null when the store of the records does not answer"
    )
    overdue: list[PlanSummary] = Field(description="Plans that are late, the latest first, at most 100")
    overdue_count: int


def _host(host: HostView | None) -> MachineHostRead | None:
    return None if host is None else MachineHostRead.model_validate(host)


def _facts(record: MaintenanceRecord) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
