"""Images: ``/images/``.

Uploads do not use the unit of work of a request: it would hold SQLite's only writer while gigabytes arrive. These two
endpoints open a short one themselves when the file is there and checked.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Annotated, Final

from fastapi import Depends, Query, Request, Response
from starlette.requests import ClientDisconnect

from parcela.api.dependencies.caller import CurrentCaller, Requires
from parcela.api.dependencies.idempotency import StreamedIdempotency, StreamedIdempotent
from parcela.api.dependencies.paging import Paging
from parcela.api.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.api.errors import problem_responses
from parcela.api.etags import Precondition
from parcela.api.routing import v1_router
from parcela.api.schemas.common import PageRead, fields_set
from parcela.api.schemas.flavours import ForceDelete, RowId, RowIdFilter, TextFilter
from parcela.api.schemas.images import ImageImport, ImageQuery, ImageRead, ImageUpdate, Visibility
from parcela.core.errors import Problem, invalid
from parcela.core.permissions import Permission
from parcela.hypervisors.spec import ImageFormat
from parcela.models import Image
from parcela.repositories.uow import ReadUnitOfWork
from parcela.services.access import Caller
from parcela.services.catalogue.image_files.image_intake import CheckedFile
from parcela.services.catalogue.images import NewImage
from parcela.services.container import Services

router = v1_router("/images", tags=["images"])
Reader = Annotated[Caller, Depends(Requires(Permission.CATALOGUE_READ))]
Importer = Annotated[Caller, Depends(Requires(Permission.CATALOGUE_WRITE))]
UNLIMITED: Final = 2**63 - 1
"""The limit of the application for request bodies does not count here; the image store has its own, larger one."""
FILE_BODY = {
    "requestBody": {
        "required": True,
        "description": "The file itself: qcow2, ISO 9660 or raw, or VMDK, VDI, VHDX or VHD (stored as qcow2), also "
        "packed with gzip or xz (stored unpacked); recognised by its content",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def _read(row: Image) -> ImageRead:
    return ImageRead.model_validate(row)


@router.get("/", responses=problem_responses(401, 403, 422))
async def list_images(
    services: AppServices,
    caller: Reader,
    uow: ReadUow,
    paging: Paging,
    name: TextFilter = None,
    os_type: TextFilter = None,
    image_format: Annotated[ImageFormat | None, Query(alias="format")] = None,
    visibility: Visibility | None = None,
    owner_id: RowIdFilter = None,
    project_id: RowIdFilter = None,
) -> PageRead[ImageRead]:
    """List public and own images and those of your projects; sorted by id, name, size_bytes or created_at."""
    filters = {"name": name, "os_type": os_type, "visibility": visibility}
    of = {"owner_id": owner_id, "project_id": project_id}
    page = await services.images.page(uow, caller, paging, image_format=image_format, **filters, **of)
    return PageRead(items=[ImageRead(**row) for row in page.rows], next_cursor=page.next_cursor)


@router.post(
    "/",
    status_code=201,
    response_model=ImageRead,
    responses=problem_responses(400, 401, 403, 404, 409, 413, 422, 503, 507),
    openapi_extra=FILE_BODY,
    max_body_size=UNLIMITED,
)
async def upload_image(
    request: Request, fields: ImageQuery, services: AppServices, caller: CurrentCaller, idem: StreamedIdempotent
) -> Response:
    """Upload an image: the file is the body, what is said of it the query."""
    new = fields.to_new_image()
    length = _announced(request)
    async with services.uows.read() as uow:
        if replay := await _replayed(services, uow, caller, new, idem):
            return replay
    upload = services.images.receive(caller, new, _chunks(request), announced_bytes=length)
    return await _store(services, caller, new, upload, idem)


@router.post(
    "/import",
    status_code=201,
    response_model=ImageRead,
    responses=problem_responses(400, 401, 403, 404, 409, 413, 422, 503, 507),
)
async def import_image(
    body: ImageImport, services: AppServices, caller: Importer, idem: StreamedIdempotent
) -> Response:
    """Take a file that is on the server already; it is copied."""
    new = body.to_new_image()
    async with services.uows.read() as uow:
        if replay := await _replayed(services, uow, caller, new, idem):
            return replay
    return await _store(services, caller, new, services.images.receive_path(caller, new, body.path), idem)


async def _replayed(
    services: Services, uow: ReadUnitOfWork, caller: Caller, new: NewImage, idem: StreamedIdempotency
) -> Response | None:
    may = partial(services.images.check_create, caller, new)
    return await idem.replay(uow, may, lambda kept: get_image(kept["id"], services, caller, uow))


async def _store(
    services: Services,
    caller: Caller,
    new: NewImage,
    upload: AbstractAsyncContextManager[CheckedFile],
    idem: StreamedIdempotency,
) -> Response:
    async with upload as file, services.images.publishing(), services.uows.write() as uow:
        image = await services.images.register(uow, caller, new, file)
        answer = await idem.keep(uow, 201, _read(image), f"/api/v1/images/{image.id}")
        await uow.commit()
    return answer


@router.get("/{image_id}", responses=problem_responses(401, 403, 404, 422))
async def get_image(image_id: RowId, services: AppServices, caller: Reader, uow: ReadUow) -> ImageRead:
    """Read an image."""
    return _read(await services.images.get(uow, caller, image_id))


@router.patch("/{image_id}", responses=problem_responses(400, 401, 403, 404, 409, 412, 413, 422))
async def update_image(
    image_id: RowId,
    body: ImageUpdate,
    services: AppServices,
    caller: CurrentCaller,
    uow: WriteUow,
    precondition: Precondition,
) -> ImageRead:
    """Change what is said of an image: owners, managers of its project; a public one needs `catalogue:write`."""
    image = await services.images.update(uow, caller, image_id, fields_set(body), precondition.of(_read))
    return _read(image)


@router.delete("/{image_id}", status_code=204, responses=problem_responses(401, 403, 404, 409, 412, 422))
async def delete_image(
    image_id: RowId,
    services: AppServices,
    caller: CurrentCaller,
    uow: WriteUow,
    precondition: Precondition,
    force: ForceDelete = False,
) -> None:
    """Remove an image that no VM and no template uses; `problems` lists those that do."""
    await services.images.delete(uow, caller, image_id, precondition.of(_read), force=force)


def _announced(request: Request) -> int | None:
    if request.headers.get("content-type", "").lower().startswith("multipart/"):
        text = "Send the file itself as the body (curl -X POST -T - URL < FILE), not a form."
        raise invalid("upload_is_form", text, Problem("header.Content-Type", text, "upload_is_form"))
    length = request.headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() and len(length) < 20 else None


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect as error:
        # Nobody reads this answer; it keeps a broken connection from looking like a crash in the log.
        raise invalid("upload_incomplete", "The connection ended before the whole file had come.") from error
