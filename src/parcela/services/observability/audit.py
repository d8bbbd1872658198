"""The audit trail for those who may read it, and the entries of refused writes (the others write themselves)."""

import contextlib
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import structlog

from parcela.core.disks import is_storage_trouble
from parcela.core.origin import Origin
from parcela.core.permissions import Permission
from parcela.models import AuditOutcome
from parcela.repositories.audit import AuditFilter
from parcela.repositories.audit_trail import last_id
from parcela.repositories.paging import MAX_LIMIT, Page, PageRequest
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWorkFactory
from parcela.services.access import Caller
from parcela.services.observability.refusals import Refusals

log = structlog.get_logger(__name__)


class AuditService:
    """Reads with ``audit:read``. Nothing can be changed or removed."""

    def __init__(self, uows: UnitOfWorkFactory) -> None:
        """Take the store."""
        self._uows = uows
        self.refusals = Refusals(uows)

    async def refusals_page(self, uow: ReadUnitOfWork, caller: Caller, request: PageRequest) -> Page:
        """Counts of refused requests; those of other processes may be some seconds old."""
        caller.require(Permission.AUDIT_READ)
        await self.refusals.flush()
        return await uow.refusals.page(request)

    async def aclose(self) -> None:
        """Write the last counts. A database that does not answer keeps nobody from stopping."""
        with contextlib.suppress(Exception):
            await self.refusals.flush()

    async def page(self, uow: ReadUnitOfWork, caller: Caller, request: PageRequest, wanted: AuditFilter) -> Page:
        """Entries of the trail."""
        caller.require(Permission.AUDIT_READ)
        return await uow.audit.page(request, wanted)

    async def export(self, caller: Caller, wanted: AuditFilter) -> AsyncGenerator[Mapping[str, Any], None]:
        """Every entry that fits, oldest first; read in pages, so that no transaction stays open for a slow reader."""
        caller.require(Permission.AUDIT_READ)
        cursor: str | None = None
        while True:
            async with self._uows.read() as uow:
                page = await uow.audit.page(PageRequest(limit=MAX_LIMIT, cursor=cursor), wanted)
            for row in page.rows:
                yield row
            cursor = page.next_cursor
            if cursor is None:
                return

    async def refused(self, origin: Origin) -> None:
        """Note a write that somebody had no right to. Never fails: the answer matters more than the note."""
        action, ids = origin.describe()
        key, is_first = self.refusals.judge(origin, action, origin.refusal_code)
        self.refusals.count(key)
        if not is_first:
            return
        outcome = AuditOutcome.REFUSED.value
        facts = {"code": origin.refusal_code}
        try:
            async with self._uows.write() as uow:
                uow.note(action[:160], outcome=outcome, noun_id=last_id(ids), facts=facts)
                await uow.commit()
        except Exception as exc:  # noqa: BLE001 (see above)
            tell = log.debug if is_storage_trouble(exc) else log.warning
            tell("audit.refusal_lost", action=action, reason=str(exc))
