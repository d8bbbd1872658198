"""How far the next date of a plan is."""

from datetime import date
from itertools import pairwise

import pytest

from parcela.core.machines import IntervalUnit
from parcela.services.inventory.plan_dates import step


@pytest.mark.parametrize(
    ("unit", "interval", "days"),
    [
        ("days", 30, "2026-12-20 2027-01-19 2027-02-18"),
        ("weeks", 2, "2028-02-20 2028-03-05 2028-03-19"),
        ("months", 1, "2028-01-31 2028-02-29 2028-03-31 2028-04-30 2028-05-31"),
        ("months", 1, "2027-01-31 2027-02-28 2027-03-31"),
        ("months", 1, "2027-01-30 2027-02-28 2027-03-30 2027-04-30 2027-05-30"),
        ("months", 1, "2027-01-29 2027-02-28 2027-03-29"),
        ("months", 1, "2027-01-28 2027-02-28 2027-03-28"),
        ("months", 1, "2027-11-15 2027-12-15 2028-01-15"),
        ("months", 6, "2027-08-31 2028-02-29 2028-08-31 2029-02-28"),
        ("months", 12, "2028-02-29 2029-02-28 2030-02-28 2031-02-28 2032-02-29"),
        ("years", 1, "2028-02-29 2029-02-28 2030-02-28 2031-02-28 2032-02-29"),
        ("years", 1, "2027-02-28 2028-02-28 2029-02-28"),
        ("years", 4, "2028-02-29 2032-02-29"),
    ],
)
def test_work_on_each_due_date_keeps_to_the_day(unit: str, interval: int, days: str) -> None:
    chain = [date.fromisoformat(day) for day in days.split()]
    for day, following in pairwise(chain):
        assert step(day, interval, IntervalUnit(unit), chain[0]) == following


@pytest.mark.parametrize(
    ("done_on", "unit", "following"),
    [
        ("2027-03-03", "months", "2027-04-03"),  # late: counted from the work
        ("2027-01-31", "months", "2027-02-28"),  # at the end of a month: that stays the end
        ("2027-02-28", "months", "2027-03-31"),
        ("2028-02-29", "years", "2029-02-28"),
    ],
)
def test_work_on_another_day_is_counted_from(done_on: str, unit: str, following: str) -> None:
    day = step(date.fromisoformat(done_on), 1, IntervalUnit(unit), date(2027, 1, 15))
    assert day == date.fromisoformat(following)
