"""The inventory as a whole: numbers for the dashboard, and labels for machines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.core.permissions import Permission
from parcela.core.qr_codes import qr_svg
from parcela.core.settings import Settings
from parcela.core.sites import own_site
from parcela.repositories.maintenance.store import MonthCount, RecordFilter
from parcela.repositories.maintenance_plans import PlanRow
from parcela.repositories.uow import ReadUnitOfWork
from parcela.services.access import Caller
from parcela.services.inventory.maintenance_plans import MaintenancePlanService
from parcela.services.inventory.rules import today

MONTHS = 12
LABEL_SCALE = 8


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Numbers of the inventory; archived machines are left out.

    Attributes:
        by_status: machines per status; likewise ``by_area`` and ``by_type``.
        per_month: maintenance of the last twelve months, this one included, whatever became of the machines since; None
            when its store does not answer.
        overdue: plans that are late, the latest first, at most 100.
        overdue_count: how many there are.
    """

    by_status: Mapping[str, int]
    by_area: Mapping[str, int]
    by_type: Mapping[str, int]
    per_month: Sequence[MonthCount] | None
    overdue: Sequence[PlanRow]
    overdue_count: int


class OverviewService:
    """Numbers need ``machine:read`` and ``maintenance:read``, labels ``machine:read``."""

    def __init__(self, settings: Settings, plans: MaintenancePlanService) -> None:
        """Take the collaborators."""
        self._settings = settings
        self._plans = plans

    async def dashboard(self, uow: ReadUnitOfWork, caller: Caller) -> Dashboard:
        """The numbers as they are now."""
        caller.require(Permission.MACHINE_READ)
        caller.require(Permission.MAINTENANCE_READ)
        return Dashboard(
            by_status=await uow.machines.counts_by("status"),
            by_area=await uow.machines.counts_by("area"),
            by_type=await uow.machines.counts_by("type"),
            per_month=await _per_month(uow),
            overdue=await self._plans.overdue(uow, caller),
            overdue_count=await uow.maintenance_plans.overdue_count(today(uow)),
        )

    async def label(self, uow: ReadUnitOfWork, caller: Caller, machine_id: int, *, base_url: str) -> bytes:
        """An SVG with the QR code that leads to a machine's page; ``base_url`` counts when no public URL is set."""
        caller.require(Permission.MACHINE_READ)
        machine = await uow.machines.get(machine_id)
        settings = self._settings
        address = own_site(base_url, settings.public_url, (settings.listen_host, settings.listen_port))
        text = f"{address}/machines/{machine.code.replace(' ', '%20')}"
        return qr_svg(text, scale=LABEL_SCALE, title=machine.code, svgclass=None, lineclass=None)


async def _per_month(uow: ReadUnitOfWork) -> Sequence[MonthCount] | None:
    now = today(uow)
    months = now.year * 12 + now.month - MONTHS
    first = date(months // 12, months % 12 + 1, 1)
    try:
        return await uow.maintenance.month_counts(RecordFilter(since=first))
    except ParcelaError as exc:
        if exc.kind is not ErrorKind.UNAVAILABLE:
            raise
        return None
