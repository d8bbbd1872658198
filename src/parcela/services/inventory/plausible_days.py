"""Which days people can mean. A record of 2036 that was meant for 2026 once moved a plan by ten years.

Only what is given anew is checked: rows from before with other days stay readable, and can be corrected field by field.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from parcela.core.errors import Problem, invalid
from parcela.models import Machine
from parcela.repositories.maintenance.store import RecordFilter
from parcela.repositories.uow import ReadUnitOfWork

FIRST_DAY = date(1970, 1, 1)
YEARS_AHEAD = 50
"""For due dates."""
YEARS_OLD = 20
"""How much older than its registration a machine may be of which nobody said when it came."""


@dataclass(frozen=True, slots=True)
class _Span:
    first: date
    first_is: str
    last: date
    last_is: str


def day_of(uow: ReadUnitOfWork, value: date | None) -> date | None:
    """The day of a moment, in the zone whose days count; a day is itself."""
    return value.astimezone(uow.zone).date() if isinstance(value, datetime) else value


def check_days(
    code: str,
    uow: ReadUnitOfWork,
    given: Mapping[str, Any],
    machine: Machine | None = None,
    before: Mapping[str, Any] | None = None,
) -> None:
    """Check the days that a person gave: performed_on and next_due_on (of a machine), registered_on.

    Args:
        code: of the error.
        uow: says which day it is.
        given: fields; others are of no interest here.
        machine: what the record or plan is about.
        before: what is stored; a day that stays as it is is not judged.

    Raises:
        ParcelaError: kind ``invalid``, with a problem per field: its value, and the first and the last day possible.
    """
    problems = []
    for name, value in given.items():
        if not isinstance(value, date) or (before and before.get(name) == value):
            continue
        span = _span(name, uow.today(), machine)
        if not span.first <= value <= span.last:
            text = (
                f"{name} is {value}; it must be a day from {span.first} ({span.first_is}) to {span.last} "
                f"({span.last_is})."
            )
            problems.append(Problem(name, text, f"bad_{name}"))
    if problems:
        raise invalid(code, " ".join(problem.what for problem in problems), *problems)


async def check_registered(code: str, uow: ReadUnitOfWork, given: Mapping[str, Any], machine: Machine) -> None:
    """Check that a machine is not registered after work on it that is recorded; its row is locked.

    Args:
        code: of the error.
        uow: has the records.
        given: fields; others than registered_on are of no interest here.
        machine: with the day that is stored. Where that is after a record already, it may be moved back.

    Raises:
        ParcelaError: kind ``invalid``, with the last day possible. The kinds of the store of records, where it is away.
    """
    wanted, stored = given.get("registered_on"), machine.registered_on
    if wanted is None or wanted == stored or (machine.registered_on_given and wanted < stored):
        return
    oldest = await uow.maintenance.page(RecordFilter(machine_ids=(machine.id,)), limit=1, newest_first=False)
    if oldest.records and oldest.records[0].performed_on < wanted:
        last = oldest.records[0].performed_on
        text = f"registered_on is {wanted}; it must be a day up to {last}, when the oldest record was performed."
        raise invalid(code, text, Problem("registered_on", text, "bad_registered_on"))


def _span(name: str, today: date, machine: Machine | None) -> _Span:
    first, first_is = _began(machine)
    if name == "next_due_on":
        return _Span(first, first_is, _years_from(today, YEARS_AHEAD), f"{YEARS_AHEAD} years from today")
    return _Span(first, first_is, today + timedelta(days=1), "tomorrow")


def _began(machine: Machine | None) -> tuple[date, str]:
    """The first day on which something can have been done to a machine."""
    if machine is None:
        return FIRST_DAY, "the first that is possible"
    if machine.registered_on_given:
        return max(FIRST_DAY, machine.registered_on), f"when {machine.code} was registered"
    text = f"{YEARS_OLD} years before {machine.code} was written down: give its registered_on if it is older"
    return max(FIRST_DAY, _years_from(machine.registered_on, -YEARS_OLD)), text


def _years_from(day: date, years: int) -> date:
    return date(day.year + years, day.month, min(day.day, 28))
