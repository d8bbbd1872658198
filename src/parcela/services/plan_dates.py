"""When a plan is due, reminds and drains. Pure but for the row."""

from datetime import date, timedelta

from parcela.core.machines import PlanTiming
from parcela.models import MaintenancePlan


def set_dates(plan: MaintenancePlan) -> None:
    """Make the days that follow from the due date and the lead times."""
    plan.remind_on = plan.next_due_on - timedelta(days=plan.remind_days_before)
    lead = plan.drain_days_before
    plan.drain_on = None if lead is None else plan.next_due_on - timedelta(days=lead)


def carry_on(plan: MaintenancePlan, done_on: date) -> None:
    """The work was done: a recurring plan gets its next due date, another one is over."""
    plan.last_done_on = done_on
    if plan.interval_days is None:
        plan.active = False
        return
    plan.next_due_on = done_on + timedelta(days=plan.interval_days)
    if plan.drain_days_before is None:
        # "From now on" was meant for the first time; for ever after would keep the host empty for good.
        plan.drain_days_before = 0
    set_dates(plan)


def timing(next_due_on: date, remind_on: date, today: date) -> PlanTiming:
    """How a plan stands to a day."""
    if next_due_on < today:
        return PlanTiming.OVERDUE
    return PlanTiming.DUE if remind_on <= today else PlanTiming.UPCOMING
