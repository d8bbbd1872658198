"""Files that belong to machines and their maintenance: ``/machines/{machine_id}/attachments``, ``/attachments/``."""

from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Query, Response
from fastapi.responses import FileResponse

from parcela.api.dependencies.caller import Requires
from parcela.api.dependencies.idempotency import StreamedIdempotent
from parcela.api.dependencies.paging import Paging
from parcela.api.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.api.dependencies.uploads import UNLIMITED, Upload, file_body
from parcela.api.errors import problem_responses
from parcela.api.routing import v1_router
from parcela.api.schemas.common import PageRead
from parcela.api.schemas.flavours import RowId
from parcela.api.schemas.maintenance import AttachmentRead
from parcela.core.permissions import Permission
from parcela.services.access import Caller
from parcela.services.catalogue.rules import TEXT_PATTERN
from parcela.services.inventory.attachments import MAX_NAME_CHARS

router = v1_router(tags=["machines"])
Reader = Annotated[Caller, Depends(Requires(Permission.MAINTENANCE_READ))]
Writer = Annotated[Caller, Depends(Requires(Permission.MAINTENANCE_WRITE))]
RecordRef = Annotated[
    str | None, Query(pattern="^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", description="Maintenance record")
]
FileName = Annotated[
    str, Query(min_length=1, max_length=MAX_NAME_CHARS, pattern=TEXT_PATTERN, examples=["invoice.pdf"])
]
FILE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {"schema": {"type": "string"}}}, "description": "The file"}
}


@router.get("/machines/{machine_id}/attachments", responses=problem_responses(401, 403, 404, 422))
async def list_attachments(
    machine_id: RowId,
    services: AppServices,
    caller: Reader,
    uow: ReadUow,
    paging: Paging,
    record_id: RecordRef = None,
) -> PageRead[AttachmentRead]:
    """List the files of a machine, perhaps of one of its maintenance records; sorted by id, name or created_at."""
    record = record_id.lower() if record_id else None
    page = await services.inventory.attachments.page(uow, caller, machine_id, paging, record_id=record)
    return PageRead(items=[AttachmentRead(**row) for row in page.rows], next_cursor=page.next_cursor)


@router.post(
    "/machines/{machine_id}/attachments",
    status_code=201,
    response_model=AttachmentRead,
    responses=problem_responses(400, 401, 403, 404, 409, 413, 422, 503),
    openapi_extra=file_body("The file itself"),
    max_body_size=UNLIMITED,
)
async def attach(
    machine_id: RowId,
    services: AppServices,
    caller: Writer,
    idem: StreamedIdempotent,
    upload: Upload,
    uow: WriteUow,
    name: FileName,
    record_id: RecordRef = None,
) -> Response:
    """Attach a file to a machine, or to one of its maintenance records: the file is the body, its name the query."""
    if replay := await idem.replay(uow, partial(caller.require, Permission.MAINTENANCE_WRITE)):
        return replay
    row = await services.inventory.attachments.add(uow, caller, machine_id, upload, name=name, record_id=record_id)
    return await idem.keep(uow, 201, AttachmentRead.model_validate(row), f"/api/v1/attachments/{row.id}")


@router.get(
    "/attachments/{attachment_id}",
    response_class=FileResponse,
    responses={**problem_responses(401, 403, 404, 422), **FILE},
)
async def download_attachment(
    attachment_id: RowId, services: AppServices, caller: Reader, uow: ReadUow
) -> FileResponse:
    """Download a file. It never opens in the browser: somebody else may have sent it."""
    attachment, path = await services.inventory.attachments.get(uow, caller, attachment_id)
    return FileResponse(path, media_type="application/octet-stream", filename=attachment.name)


@router.delete("/attachments/{attachment_id}", status_code=204, responses=problem_responses(401, 403, 404, 409, 422))
async def delete_attachment(attachment_id: RowId, services: AppServices, caller: Writer, uow: WriteUow) -> None:
    """Remove a file."""
    await services.inventory.attachments.delete(uow, caller, attachment_id)
