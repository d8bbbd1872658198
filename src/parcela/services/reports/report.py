"""What a maintenance report says, before it is JSON, CSV, a workbook or a PDF. No words and no formats here."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

NO_DECIMALS = frozenset(
    {
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "ISK",
        "JPY",
        "KMF",
        "KRW",
        "PYG",
        "RWF",
        "UGX",
        "UYI",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    }
)
"""Currencies of ISO 4217 without a minor unit."""
THREE_DECIMALS = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})


class Format(StrEnum):
    """What a report can be written as."""

    JSON = "json"
    CSV = "csv"
    XLSX = "xlsx"
    PDF = "pdf"


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in a currency's minor unit (cents); sums are kept per currency."""

    currency: str
    minor: int

    @property
    def decimals(self) -> int:
        """Digits after the point."""
        if self.currency in NO_DECIMALS:
            return 0
        return 3 if self.currency in THREE_DECIMALS else 2

    @property
    def amount(self) -> Decimal:
        """In the currency's major unit."""
        return Decimal(self.minor).scaleb(-self.decimals)

    def __str__(self) -> str:
        return f"{self.amount:,.{self.decimals}f} {self.currency}".rstrip()


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """The machine behind records.

    ``kind`` and ``status`` are words of the inventory; ``status_word`` is the word of an older client for the status.
    """

    code: str
    kind: str
    area: str
    status: str
    status_word: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One maintenance record.

    Attributes:
        kind: ``preventive`` or ``corrective``.
        state: ``open`` or ``done``.
        day: when it was done; of an open one, when it was opened or is meant for.
        cost: None where nobody noted one.
    """

    machine_code: str
    kind: str
    state: str
    day: date
    company: str
    technician: str
    cost: Money | None
    notes: str


@dataclass(frozen=True, slots=True)
class Selection:
    """What was asked for; None is no limit."""

    machine_code: str | None = None
    area: str | None = None
    machine_kind: str | None = None
    kind: str | None = None
    since: date | None = None
    until: date | None = None


@dataclass(frozen=True, slots=True)
class KindTotal:
    """Records of a kind, and the sums of the costs that were noted, by currency."""

    kind: str
    records: int
    costs: tuple[Money, ...]


@dataclass(frozen=True, slots=True)
class MonthCount:
    """Records of a month (``2026-11``) by kind; months without any are left out."""

    month: str
    preventive: int
    corrective: int


@dataclass(frozen=True, slots=True)
class MachineSummary:
    """One machine in figures.

    Attributes:
        last_maintenance: day of the newest record that is done.
        days_between_failures: mean number of days from one corrective record to the next; None below two of them.
    """

    machine: MachineFacts
    preventive: int
    corrective: int
    costs: tuple[Money, ...]
    last_maintenance: date | None
    days_between_failures: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """A whole report.

    Attributes:
        locale: ``en`` or ``es``: the language of headings.
        made_at: when, in UTC.
        made_here: the same time in the zone whose days count.
        entries: the records, newest first.
        machines: those in use that fit what was asked for, and all that have records in it, by code.
        days_between_failures: mean over the gaps of all machines, each machine for itself.
    """

    locale: str
    made_at: datetime
    made_here: datetime
    selection: Selection
    machines: tuple[MachineSummary, ...]
    entries: tuple[Entry, ...]
    totals: tuple[KindTotal, ...]
    costs: tuple[Money, ...]
    months: tuple[MonthCount, ...]
    last_maintenance: date | None
    days_between_failures: float | None

    @property
    def records(self) -> int:
        """How many records there are."""
        return len(self.entries)

    @property
    def made_text(self) -> str:
        """When it was made, for people: ``2026-11-28 23:30 UTC-05:00``."""
        offset = self.made_here.strftime("%z")
        zone = "UTC" if offset in {"", "+0000"} else f"UTC{offset[:3]}:{offset[3:5]}"
        return f"{self.made_here:%Y-%m-%d %H:%M} {zone}"
