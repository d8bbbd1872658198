"""How often a recurring plan comes."""

from collections.abc import Mapping
from typing import Any

from parcela.core.errors import Problem, invalid
from parcela.core.machines import IntervalUnit

MAX_INTERVALS: Mapping[str, int] = {
    IntervalUnit.DAYS.value: 36_500,
    IntervalUnit.WEEKS.value: 5_200,
    IntervalUnit.MONTHS.value: 1_200,
    IntervalUnit.YEARS.value: 100,
}
IN_DAYS: Mapping[str, int] = {IntervalUnit.DAYS.value: 1, IntervalUnit.WEEKS.value: 7}
INTERVAL = frozenset({"interval", "interval_unit", "interval_days"})


def check_interval(code: str, given: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with ``interval`` (None: once) and ``interval_unit``, whichever way they were given.

    Args:
        code: of the error.
        given: fields that were sent; ``interval_days`` says both in one.
        before: the interval and unit that are stored; empty for a new plan.

    Raises:
        ParcelaError: kind ``invalid`` when both ways are used, or the interval is out of range.
    """
    fields = {"interval": None, "interval_unit": IntervalUnit.DAYS.value} | dict(before) | dict(given)
    if "interval_days" in fields:
        days = fields.pop("interval_days")
        if {"interval", "interval_unit"} & given.keys():
            text = "interval_days says interval and interval_unit in one: give either."
            raise invalid(code, text, Problem("interval_days", text, "bad_interval_days"))
        fields |= {"interval": days, "interval_unit": IntervalUnit.DAYS.value}
    interval, unit = fields["interval"], fields["interval_unit"]
    most = MAX_INTERVALS.get(unit)
    if most is None:
        text = f"interval_unit is '{unit}'; it must be one of: {', '.join(MAX_INTERVALS)}."
        raise invalid(code, text, Problem("interval_unit", text, "bad_interval_unit"))
    if interval is not None and not 1 <= interval <= most:
        text = f"interval is {interval} {unit}; it must be 1 to {most} {unit}, or null for once."
        raise invalid(code, text, Problem("interval", text, "bad_interval"))
    return fields
