"""Reports."""

from datetime import date, datetime
from typing import Annotated, Literal

from fastapi import Query
from pydantic import Field

from parcela.api.schemas.common import Day, Schema, Written
from parcela.api.schemas.users import Line
from parcela.core.machines import MaintenanceKind
from parcela.services.reports.report import Format


class ReportQuery(Written):
    """What a report shall be about, and how it is written."""

    format: Format = Field(default=Format.JSON, description="`csv` has the records only")
    lang: Literal["en", "es"] | None = Field(default=None, description="Language of the headings; yours unless given")
    kind: MaintenanceKind | None = None
    since: Day | None = Field(default=None, description="First day", examples=["2026-01-01"])
    until: Day | None = Field(default=None, description="Last day", examples=["2026-12-31"])


class AllMachinesQuery(ReportQuery):
    """The same, and which machines."""

    area: Line | None = Field(default=None, max_length=100, description="Whatever the case")
    type: Line | None = Field(default=None, max_length=64, description="Type of machines, whatever the case")


ReportWanted = Annotated[ReportQuery, Query()]
AllMachinesWanted = Annotated[AllMachinesQuery, Query()]


class MoneyRead(Schema):
    """An amount; sums are kept per currency."""

    currency: str = Field(examples=["PEN"])
    minor: int = Field(description="In the currency's minor unit", examples=[12050])


class SelectionRead(Schema):
    """What was asked for."""

    machine_code: str | None
    area: str | None
    machine_kind: str | None = Field(description="Type of machines")
    kind: str | None
    since: date | None
    until: date | None


class KindTotalRead(Schema):
    """Records of a kind."""

    kind: str = Field(examples=["corrective"])
    records: int
    costs: list[MoneyRead]


class MonthCountRead(Schema):
    """Records of a month."""

    month: str = Field(examples=["2026-11"])
    preventive: int
    corrective: int


class ReportedMachineRead(Schema):
    """A machine of a report."""

    code: str = Field(examples=["PC-001"])
    kind: str = Field(description="Its type", examples=["PC"])
    area: str
    status: str = Field(examples=["operational"])


class MachineSummaryRead(Schema):
    """One machine in figures."""

    machine: ReportedMachineRead
    preventive: int
    corrective: int
    costs: list[MoneyRead]
    last_maintenance: date | None = Field(description="Day of its newest record that is done")
    days_between_failures: float | None = Field(
        description="Mean number of days from one corrective record to the next; null below two of them"
    )


class ReportEntryRead(Schema):
    """One record."""

    machine_code: str
    kind: str
    state: str
    day: date
    company: str
    technician: str
    cost: MoneyRead | None
    notes: str


class ReportRead(Schema):
    """A report of maintenance."""

    locale: str = Field(examples=["en"])
    made_at: datetime
    selection: SelectionRead
    records: int = Field(description="How many there are")
    totals: list[KindTotalRead]
    costs: list[MoneyRead]
    months: list[MonthCountRead] = Field(description="Months without records are left out")
    last_maintenance: date | None
    days_between_failures: float | None = Field(description="Mean over the gaps of all machines, each for itself")
    machines: list[MachineSummaryRead]
    entries: list[ReportEntryRead] = Field(description="The records, newest first")
