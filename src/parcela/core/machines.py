"""States of the lab's machines and of their maintenance, and the table of what a machine may become."""

from collections.abc import Mapping
from enum import StrEnum

from parcela.core.errors import ParcelaError, conflict


class MachineStatus(StrEnum):
    """Where a machine is in its life."""

    OPERATIONAL = "operational"
    MAINTENANCE = "maintenance"
    DAMAGED = "damaged"
    RETIRED = "retired"


class MaintenanceKind(StrEnum):
    """Why something is done to a machine."""

    PREVENTIVE = "preventive"  # before it breaks
    CORRECTIVE = "corrective"  # because it broke


class MaintenanceState(StrEnum):
    """Whether the work of a record is still to be done."""

    OPEN = "open"
    DONE = "done"


class IntervalUnit(StrEnum):
    """What the interval of a recurring plan is counted in."""

    DAYS = "days"
    WEEKS = "weeks"
    MONTHS = "months"
    YEARS = "years"


class PlanTiming(StrEnum):
    """How a plan stands to today; what lists of plans are filtered by."""

    UPCOMING = "upcoming"  # its reminder is not due yet
    DUE = "due"  # the reminder is due, the work is not late
    OVERDUE = "overdue"  # the due date has passed


M = MachineStatus

MACHINE_TRANSITIONS: Mapping[MachineStatus, frozenset[MachineStatus]] = {
    M.OPERATIONAL: frozenset({M.MAINTENANCE, M.DAMAGED, M.RETIRED}),
    M.MAINTENANCE: frozenset({M.OPERATIONAL, M.DAMAGED, M.RETIRED}),
    M.DAMAGED: frozenset({M.OPERATIONAL, M.MAINTENANCE, M.RETIRED}),
    M.RETIRED: frozenset({M.OPERATIONAL}),  # taken out of the store room again
}
REPAIRABLE = frozenset({M.OPERATIONAL, M.DAMAGED})
"""What a machine may be when work on it begins, which puts it in maintenance."""


def machine_transition(old: MachineStatus, new: MachineStatus) -> ParcelaError | None:
    """None when the change is in the table (staying is always fine), else the error to raise."""
    if new == old or new in MACHINE_TRANSITIONS[old]:
        return None
    allowed = ", ".join(sorted(MACHINE_TRANSITIONS[old]))
    return conflict("machine_status", f"A machine that is {old} cannot become {new}; possible: {allowed}.")
