"""The figures of a report, against sums done by hand."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from parcela.services.reports.figures import build_report
from parcela.services.reports.report import KindTotal, Money, MonthCount, Selection
from tests.unit.services.reports.makers import entry, machine, report

PEN, USD = "PEN", "USD"


def test_nothing_gives_an_empty_report() -> None:
    empty = report()
    assert (empty.records, empty.costs, empty.months, empty.machines) == (0, (), (), ())
    assert empty.last_maintenance is None
    assert empty.days_between_failures is None
    assert [total.records for total in empty.totals] == [0, 0]


def test_totals_by_kind_keep_currencies_apart() -> None:
    made = report(
        entry("A", "2026-01-01", cost=Money(PEN, 1050)),
        entry("A", "2026-01-02", cost=Money(USD, 300)),
        entry("B", "2026-01-03", "corrective", cost=Money(PEN, 50)),
        entry("B", "2026-01-04", "corrective"),
    )
    assert made.totals == (
        KindTotal("preventive", 2, (Money(PEN, 1050), Money(USD, 300))),
        KindTotal("corrective", 2, (Money(PEN, 50),)),
    )
    assert made.costs == (Money(PEN, 1100), Money(USD, 300))


def test_time_between_failures_is_of_each_machine_alone() -> None:
    made = report(
        *(entry("A", day, "corrective") for day in ("2026-01-21", "2026-01-01", "2026-01-11")),
        *(entry("B", day, "corrective") for day in ("2026-01-05", "2026-02-04")),
        entry("B", "2026-01-20"),
        entry("C", "2026-03-01", "corrective"),
    )
    by_code = {row.machine.code: row.days_between_failures for row in made.machines}
    assert by_code == {"A": 10.0, "B": 30.0, "C": None}
    assert made.days_between_failures == pytest.approx((10 + 10 + 30) / 3, abs=0.05)


def test_last_maintenance_is_the_newest_that_is_done() -> None:
    made = report(entry("A", "2026-01-01"), entry("A", "2026-06-01", state="open"), entry("B", "2025-01-01"))
    assert made.last_maintenance == date(2026, 1, 1)
    assert [row.last_maintenance for row in made.machines] == [date(2026, 1, 1), date(2025, 1, 1)]


def test_months_are_counted_by_kind_in_order() -> None:
    made = report(entry("A", "2026-02-01"), entry("A", "2025-12-31", "corrective"), entry("B", "2026-02-28"))
    assert made.months == (MonthCount("2025-12", 0, 1), MonthCount("2026-02", 2, 0))


def test_records_are_newest_first_and_machines_by_code() -> None:
    made = report(entry("B", "2026-01-01"), entry("A", "2026-01-01"), entry("C", "2026-02-01"), D=machine("D"))
    assert [one.machine_code for one in made.entries] == ["C", "A", "B"]
    assert [row.machine.code for row in made.machines] == ["A", "B", "C", "D"]


@pytest.mark.parametrize(
    ("money", "shown"),
    [
        (Money(PEN, 123456), "1,234.56 PEN"),
        (Money("CLP", 1500), "1,500 CLP"),
        (Money("KWD", 1500), "1.500 KWD"),
        (Money("", 0), "0.00"),
    ],
)
def test_money_is_shown_in_its_currency(money: Money, shown: str) -> None:
    assert str(money) == shown


def test_a_report_says_when_it_was_made_in_the_zone_whose_days_count() -> None:
    at = datetime(2026, 11, 28, 4, 30, tzinfo=UTC)
    texts = {"UTC": "2026-11-28 04:30 UTC", "America/Lima": "2026-11-27 23:30 UTC-05:00"}
    for zone, text in texts.items():
        made = build_report({}, [], Selection(), locale="en", made_at=at.astimezone(ZoneInfo(zone)))
        assert (made.made_text, made.made_at) == (text, at)
        assert made.made_at.tzinfo is UTC
