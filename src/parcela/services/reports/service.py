"""Reports: the records that somebody may see, worked out and written."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial

from parcela.core.errors import ErrorKind, ParcelaError, Problem, invalid, not_found
from parcela.core.machines import MaintenanceKind
from parcela.core.permissions import Permission
from parcela.repositories.machines import MachineFacts as Facts
from parcela.repositories.maintenance.store import MaintenanceRecord, RecordFilter
from parcela.repositories.uow import ReadUnitOfWork
from parcela.services.access import Caller
from parcela.services.reports.figures import build_report
from parcela.services.reports.renderer import ReportRenderer
from parcela.services.reports.report import Entry, Format, MachineFacts, Money, Report, Selection

MAX_RECORDS = 20_000
"""In one report; more are a matter of days, areas or machines."""
MAX_MACHINES = 20_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a report shall be about; None is no limit. ``area`` and ``machine_type`` are equal whatever the case."""

    machine_id: int | None = None
    area: str | None = None
    machine_type: str | None = None
    kind: MaintenanceKind | None = None
    since: date | None = None
    until: date | None = None


class ReportService:
    """Reads with ``machine:read`` and ``maintenance:read``."""

    def __init__(self, renderer: ReportRenderer) -> None:
        """Take the renderer."""
        self._renderer = renderer

    async def build(self, uow: ReadUnitOfWork, caller: Caller, wanted: Wanted, *, locale: str) -> Report:
        """Work out a report of the machines in use and of archived ones with records in it.

        Raises:
            ParcelaError: ``not_found`` for a machine that is not there, ``invalid`` ``bad_range`` when the days are
                the wrong way round, ``too_large`` ``report_too_large`` for more than 20,000 records or machines.
        """
        caller.require(Permission.MACHINE_READ)
        caller.require(Permission.MAINTENANCE_READ)
        if wanted.since and wanted.until and wanted.since > wanted.until:
            text = "The first day lies after the last one."
            raise invalid("bad_range", text, Problem("query.since", text, "bad_range"))
        machines = await self._machines(uow, wanted)
        limited = any((wanted.machine_id, wanted.area, wanted.machine_type))
        records = RecordFilter(tuple(machines) if limited else None, wanted.kind, None, wanted.since, wanted.until)
        if await uow.maintenance.count(records) > MAX_RECORDS:
            raise _too_large(f"more than {MAX_RECORDS} records")
        found = [record async for record in uow.maintenance.export(records)]
        machines |= await uow.machines.facts({record.machine_id for record in found} - machines.keys())
        used = {record.machine_id for record in found}
        shown = {row_id: facts for row_id, facts in machines.items() if row_id in used or self._stands(facts, wanted)}
        return build_report(
            {facts.code: _machine(facts) for facts in shown.values()} | _gone(used, shown),
            map(partial(_entry, shown), found),
            _selection(wanted, machines),
            locale=locale,
            made_at=uow.clock().astimezone(uow.zone),
        )

    async def render(self, report: Report, form: Format) -> bytes:
        """Write it; see ``ReportRenderer``. Have no unit of work open: it takes seconds."""
        return await self._renderer.render(report, form)

    @staticmethod
    async def _machines(uow: ReadUnitOfWork, wanted: Wanted) -> dict[int, Facts]:
        if wanted.machine_id is not None:
            found = await uow.machines.facts([wanted.machine_id])
            if not found:
                raise not_found("machine", wanted.machine_id)
            return found
        ids = await uow.machines.matching_ids({"area": wanted.area, "type": wanted.machine_type})
        if len(ids) > MAX_MACHINES:
            raise _too_large(f"more than {MAX_MACHINES} machines")
        return await uow.machines.facts(ids)

    @staticmethod
    def _stands(facts: Facts, wanted: Wanted) -> bool:
        return wanted.machine_id is not None or not facts.archived


def _selection(wanted: Wanted, machines: Mapping[int, Facts]) -> Selection:
    code = None if wanted.machine_id is None else machines[wanted.machine_id].code
    kind = None if wanted.kind is None else wanted.kind.value
    return Selection(code, wanted.area, wanted.machine_type, kind, wanted.since, wanted.until)


def _machine(facts: Facts) -> MachineFacts:
    return MachineFacts(
        code=facts.code, kind=facts.type, area=facts.area, status=facts.status, status_word=facts.status_word
    )


def _gone(used: set[int], shown: Mapping[int, Facts]) -> dict[str, MachineFacts]:
    """Machines that only an outside store still knows, because it was away when they were removed."""
    return {f"#{row_id}": MachineFacts(f"#{row_id}", "", "", "") for row_id in used - shown.keys()}


def _entry(machines: Mapping[int, Facts], record: MaintenanceRecord) -> Entry:
    facts = machines.get(record.machine_id)
    return Entry(
        machine_code=facts.code if facts else f"#{record.machine_id}",
        kind=record.kind.value,
        state=record.state.value,
        day=record.performed_on,
        company=record.company,
        technician=record.technician,
        cost=None if record.cost_minor is None else Money(record.currency, record.cost_minor),
        notes=record.notes,
    )


def _too_large(how_much: str) -> ParcelaError:
    text = f"The report would have {how_much}; limit it to days, an area, a type or a machine."
    return ParcelaError(ErrorKind.TOO_LARGE, "report_too_large", text)
