"""Lists of siglab: whole arrays over our pages, and where the rest begins when there is more."""

from typing import Any

from fastapi import Response

from parcela.api.compat.siglab.machine_schemas import Mantenimiento, record_out
from parcela.repositories.maintenance.store import MAX_PAGE, RecordFilter
from parcela.repositories.paging import MAX_LIMIT, PageRequest
from parcela.repositories.uow import ReadUnitOfWork
from parcela.services.access import Caller
from parcela.services.container import Services

NEXT = "X-Siguiente"


async def machine_rows(
    services: Services,
    uow: ReadUnitOfWork,
    caller: Caller,
    response: Response,
    wanted: dict[str, Any],
    *,
    limit: int,
    cursor: str | None = None,
) -> list[dict[str, Any]]:
    """Machines by code, up to a limit; the answer's header says where the rest begins, if there is one."""
    found: list[dict[str, Any]] = []
    while len(found) < limit:
        request = PageRequest(min(MAX_LIMIT, limit - len(found)), cursor, "code")
        page = await services.inventory.machines.page(uow, caller, request, **wanted)
        found += [dict(row) for row in page.rows]
        cursor = page.next_cursor
        if cursor is None:
            return found
    response.headers[NEXT] = str(cursor)
    return found


async def records(
    services: Services,
    uow: ReadUnitOfWork,
    caller: Caller,
    response: Response,
    wanted: RecordFilter,
    *,
    limit: int,
    cursor: str | None = None,
) -> list[Mantenimiento]:
    """Records, the newest first, in the same way."""
    found: list[Mantenimiento] = []
    while len(found) < limit:
        size = min(MAX_PAGE, limit - len(found))
        page, codes = await services.inventory.maintenance.page(uow, caller, wanted, limit=size, cursor=cursor)
        found += [record_out(record, codes.get(record.machine_id, "")) for record in page.records]
        cursor = page.next_cursor
        if cursor is None:
            return found
    response.headers[NEXT] = str(cursor)
    return found
