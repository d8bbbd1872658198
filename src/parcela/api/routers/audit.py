"""The audit trail: ``/audit``."""

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Query
from fastapi.responses import StreamingResponse

from parcela.api.dependencies.caller import Requires
from parcela.api.dependencies.paging import Paging
from parcela.api.dependencies.uow import AppServices, ReadUow
from parcela.api.errors import problem_responses
from parcela.api.routing import v1_router
from parcela.api.schemas.audit import AuditFormat, AuditRead, RefusalRead
from parcela.api.schemas.common import Moment, PageRead
from parcela.api.schemas.flavours import TextFilter
from parcela.core.csv_text import csv_line
from parcela.core.permissions import Permission
from parcela.models import AuditOutcome
from parcela.repositories.audit import AuditFilter
from parcela.services.access import Caller
from parcela.services.catalogue.rules import TEXT_PATTERN
from parcela.services.container import Services

router = v1_router("/audit", tags=["audit"])
Reader = Annotated[Caller, Depends(Requires(Permission.AUDIT_READ))]
COLUMNS = tuple(AuditRead.model_fields)
MEDIA_TYPES = {AuditFormat.NDJSON: "application/x-ndjson", AuditFormat.CSV: "text/csv; charset=utf-8"}
Action = Annotated[
    str | None,
    Query(min_length=1, max_length=160, pattern=TEXT_PATTERN, description="Exactly, or a prefix: `flavour.*`"),
]
From = Annotated[Moment | None, Query(alias="from", description="This time and later")]
To = Annotated[Moment | None, Query(alias="to", description="Before this time")]


def _utc(value: datetime | None) -> datetime | None:
    """The same instant in UTC; times at the very ends of the calendar have none and are the ends themselves."""
    if value is None:
        return None
    try:
        return value.astimezone(UTC)
    except OverflowError:
        return value.replace(tzinfo=UTC)


def _wanted(
    actor: TextFilter = None,
    noun: TextFilter = None,
    noun_id: TextFilter = None,
    action: Action = None,
    outcome: AuditOutcome | None = None,
    address: TextFilter = None,
    since: From = None,
    until: To = None,
) -> AuditFilter:
    return AuditFilter(
        actor=actor,
        noun=noun,
        noun_id=noun_id,
        action=action,
        outcome=outcome.value if outcome else None,
        address=address,
        since=_utc(since),
        until=_utc(until),
    )


Wanted = Annotated[AuditFilter, Depends(_wanted)]


@router.get("", summary="Search the audit trail", responses=problem_responses(401, 403, 422))
async def list_audit(
    services: AppServices, caller: Reader, uow: ReadUow, paging: Paging, wanted: Wanted
) -> PageRead[AuditRead]:
    """Who did what to what, when, from where; sorted by id or at (`-id` for the newest first)."""
    page = await services.observing.audit.page(uow, caller, paging, wanted)
    return PageRead(items=[AuditRead.model_validate(dict(row)) for row in page.rows], next_cursor=page.next_cursor)


async def _lines(services: Services, caller: Caller, wanted: AuditFilter, form: AuditFormat) -> AsyncIterator[str]:
    if form is AuditFormat.CSV:
        yield csv_line(COLUMNS)
    async with aclosing(services.observing.audit.export(caller, wanted)) as rows:
        async for row in rows:
            read = AuditRead.model_validate(dict(row))
            if form is AuditFormat.NDJSON:
                yield read.model_dump_json() + "\n"
                continue
            facts = json.dumps(read.facts, ensure_ascii=False, default=str)
            plain = read.model_dump(mode="json") | {"facts": facts}
            yield csv_line(plain[name] for name in COLUMNS)


@router.get("/refusals", summary="Count refused requests", responses=problem_responses(401, 403, 422))
async def list_refusals(services: AppServices, caller: Reader, uow: ReadUow, paging: Paging) -> PageRead[RefusalRead]:
    """How often what was refused, per hour; sorted by id, count or last_at. The first of each is an entry, too."""
    page = await services.observing.audit.refusals_page(uow, caller, paging)
    return PageRead(items=[RefusalRead.model_validate(dict(row)) for row in page.rows], next_cursor=page.next_cursor)


@router.get(
    "/export",
    summary="Export the audit trail",
    response_class=StreamingResponse,
    responses=problem_responses(401, 403, 422)
    | {
        200: {
            "description": "One entry per line",
            "content": {
                "application/x-ndjson": {"schema": {"type": "string"}},
                "text/csv": {"schema": {"type": "string"}},
            },
        }
    },
)
async def export_audit(
    services: AppServices,
    caller: Reader,
    wanted: Wanted,
    form: Annotated[AuditFormat, Query(alias="format", description="`ndjson` or `csv`")] = AuditFormat.NDJSON,
) -> StreamingResponse:
    """Every entry that fits, oldest first. In CSV, cells that a spreadsheet would run begin with an apostrophe."""
    headers = {"Content-Disposition": f'attachment; filename="audit.{form.value}"', "Cache-Control": "no-store"}
    return StreamingResponse(_lines(services, caller, wanted, form), media_type=MEDIA_TYPES[form], headers=headers)
