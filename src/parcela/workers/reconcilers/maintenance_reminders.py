"""Maintenance reminders.

Repairs: plans whose reminder is due, and plans that are late, which nobody was told of: an event each, once per due
date. The user who is responsible for the machine sees it, and everybody who sees all events.

Must not touch: plans that are over or called off, or of machines that were put away; what was reported for a due date
already (compare-and-set, so that several processes report it once).
"""

from parcela.repositories.maintenance_plans import PlanRow
from parcela.repositories.uow import UnitOfWork, UnitOfWorkFactory
from parcela.services.access import SYSTEM
from parcela.services.inventory.rules import note, today


class MaintenanceReminders:
    """See the module."""

    name = "maintenance_reminders"

    def __init__(self, uows: UnitOfWorkFactory) -> None:
        """Take the store."""
        self._uows = uows

    async def run(self) -> int:
        """Report what is due and what is late."""
        async with self._uows.read() as uow:
            day = today(uow)
            due = [(plan, "reminded_for", "maintenance.due") for plan in await uow.maintenance_plans.to_remind(day)]
            late = await uow.maintenance_plans.to_report_late(day)
        due += [(plan, "overdue_for", "maintenance.overdue") for plan in late]
        if not due:
            return 0
        reported = 0
        async with self._uows.write() as uow:
            for plan, column, event in due:
                reported += await _report(uow, plan, column, event)
            await uow.commit()
        return reported


async def _report(uow: UnitOfWork, plan: PlanRow, column: str, event: str) -> int:
    machine = await uow.machines.get_or_none(plan["machine_id"])
    if machine is None or not await uow.maintenance_plans.mark_reported(plan["id"], column, plan["next_due_on"]):
        return 0
    facts = {"plan_id": plan["id"], "title": plan["title"], "due_on": str(plan["next_due_on"])}
    await note(uow, SYSTEM, event, machine, owner_id=machine.responsible_id, **facts)
    return 1
