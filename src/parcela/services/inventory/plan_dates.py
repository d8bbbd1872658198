"""When a plan is due, reminds and drains: all of it follows from what a person said and from the plan's records.

Nothing is carried on in place: a record that is corrected or removed moves the plan back. The days are kept in the
plan's row all the same, so that every database can search for them wherever the records are.
"""

from calendar import monthrange
from datetime import date, timedelta

from parcela.core.machines import IntervalUnit, MachineStatus, PlanTiming
from parcela.models import Machine, MaintenancePlan
from parcela.repositories.uow import UnitOfWork

MONTHS_A_YEAR = 12
DAYS_A_WEEK = 7


def step(day: date, interval: int, unit: IntervalUnit, first: date) -> date:
    """The day an interval later.

    Args:
        day: when the work was done.
        interval: 1 or more of the unit.
        unit: where a month is too short, its last day counts.
        first: the due date that a person gave. It tells which day of the month is meant after a shorter one: 31
            January, 28 February, 31 March; 30 January, 28 February, 30 March; 29 February again in the next leap year.

    The end of a month stays the end of a month in months.
    """
    match unit:
        case IntervalUnit.DAYS:
            return day + timedelta(days=interval)
        case IntervalUnit.WEEKS:
            return day + timedelta(days=interval * DAYS_A_WEEK)
        case IntervalUnit.MONTHS:
            return _in_month(day, interval, _meant(day, first, ends_stay=True))
        case IntervalUnit.YEARS:
            return _in_month(day, interval * MONTHS_A_YEAR, _meant(day, first, ends_stay=False))


def _meant(day: date, first: date, *, ends_stay: bool) -> int:
    """The day of the month that is meant by a day: another one when its month was too short, or the end is meant."""
    if not _is_end(day):
        return day.day
    if ends_stay and (_is_end(first) or first.day < day.day):
        return 31
    if first.day <= day.day or (not ends_stay and first.month != day.month):
        return day.day
    return first.day


def _is_end(day: date) -> bool:
    return day.day == monthrange(day.year, day.month)[1]


def _in_month(day: date, months: int, wanted: int) -> date:
    count = day.year * MONTHS_A_YEAR + day.month - 1 + months
    year, month = count // MONTHS_A_YEAR, count % MONTHS_A_YEAR + 1
    return date(year, month, min(wanted, monthrange(year, month)[1]))


async def arrange(uow: UnitOfWork, plan: MaintenancePlan) -> None:
    """Work out the days of a plan from its records, anew; its machine is locked."""
    last = await uow.maintenance.last_of_plan(plan.id, plan.machine_id)
    counts = last
    if last is not None and plan.given_due_at is not None:
        counts = await uow.maintenance.last_of_plan(plan.id, plan.machine_id, finished_since=plan.given_due_at)
    plan.last_done_on = last
    set_dates(plan, counts)


def set_dates(plan: MaintenancePlan, done_on: date | None) -> None:
    """Set the days of a plan.

    Args:
        plan: a recurring one is due an interval after the work, another one is over with it.
        done_on: when the work was done last, since a person gave the due date; None: not since then.
    """
    plan.next_due_on = plan.given_due_on
    if done_on is not None and plan.interval is not None:
        plan.next_due_on = step(done_on, plan.interval, IntervalUnit(plan.interval_unit), plan.given_due_on)
    if plan.resumed_on is not None:
        plan.next_due_on = max(plan.next_due_on, plan.resumed_on)
    plan.active = not plan.called_off and (plan.interval is not None or done_on is None)
    plan.remind_on = plan.next_due_on - timedelta(days=plan.remind_days_before)
    lead = plan.drain_days_before
    plan.drain_on = None if lead is None else plan.next_due_on - timedelta(days=lead)


async def resume(uow: UnitOfWork, machine: Machine) -> None:
    """A machine is in use again: what came due while its plans rested is due today, and late from tomorrow on.

    It does without the records, whose store may be away.
    """
    if machine.archived_at is not None or machine.status == MachineStatus.RETIRED.value:
        return
    today = uow.today()
    for plan in await uow.maintenance_plans.of_machine(machine.id, active=True):
        if plan.next_due_on < today:
            moved = today - plan.next_due_on
            plan.resumed_on = plan.next_due_on = today
            plan.remind_on += moved
            plan.drain_on = plan.drain_on and plan.drain_on + moved


def timing(next_due_on: date, remind_on: date, today: date) -> PlanTiming:
    """How a plan stands to a day."""
    if next_due_on < today:
        return PlanTiming.OVERDUE
    return PlanTiming.DUE if remind_on <= today else PlanTiming.UPCOMING
