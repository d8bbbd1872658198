"""Days of plans and the records they follow from.

Repairs: plans whose day of the last work is not that of their records, because the records were corrected before plans
followed them (migration 0024), or MongoDB was restored from a backup.

Must not touch: due dates that a person gave and no work has followed; plans while the store of the records is away.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.repositories.uow import UnitOfWorkFactory
from parcela.services.inventory.plan_dates import arrange
from parcela.workers.reconcilers.base import PAGE_ROWS

EVERY = timedelta(hours=1)


class PlanDates:
    """See the module."""

    name = "plan_dates"

    def __init__(self, uows: UnitOfWorkFactory) -> None:
        """Take the stores."""
        self._uows = uows
        self._clock: Callable[[], datetime] = uows.clock
        self._next_at: datetime | None = None

    async def run(self) -> int:
        """Compare at the start, and then hourly; how many plans were put right."""
        now = self._clock()
        if self._next_at is not None and now < self._next_at:
            return 0
        try:
            repaired = await self._compare()
        except ParcelaError as exc:
            if exc.kind is not ErrorKind.UNAVAILABLE:
                raise
            return 0  # health tells; the next round tries again
        self._next_at = now + EVERY
        return repaired

    async def _compare(self) -> int:
        repaired, last_id = 0, 0
        while True:
            async with self._uows.read() as uow:
                plans = await uow.maintenance_plans.done_days(last_id, PAGE_ROWS)
                days = await uow.maintenance.last_of_plans([plan_id for plan_id, _, _ in plans]) if plans else {}
            for plan_id, machine_id, done_on in plans:
                if days.get(plan_id) != done_on:
                    repaired += await self._arrange(plan_id, machine_id)
            if len(plans) < PAGE_ROWS:
                return repaired
            last_id = plans[-1][0]

    async def _arrange(self, plan_id: int, machine_id: int) -> int:
        async with self._uows.write() as uow:
            machine = await uow.machines.lock_if_any(machine_id)
            plan = await uow.maintenance_plans.get_or_none(plan_id)
            if machine is None or plan is None:
                return 0
            before = plan.last_done_on
            await arrange(uow, plan)
            await uow.commit()
            return int(plan.last_done_on != before)
