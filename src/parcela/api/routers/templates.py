"""Templates: ``/templates/``."""

import re
from functools import partial
from typing import Annotated, Any

from fastapi import Body, Depends, Path, Query, Response
from fastapi.responses import JSONResponse

from parcela.api.dependencies.caller import CurrentCaller, Requires
from parcela.api.dependencies.idempotency import Idempotent
from parcela.api.dependencies.paging import Paging
from parcela.api.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.api.errors import problem_responses
from parcela.api.etags import Precondition
from parcela.api.routing import v1_router
from parcela.api.schemas.common import PageRead
from parcela.api.schemas.flavours import RowId, RowIdFilter, TextFilter
from parcela.api.schemas.images import Visibility
from parcela.api.schemas.templates import (
    EXAMPLE_DOCUMENT,
    TemplateCheck,
    TemplateCreate,
    TemplateFormat,
    TemplateItem,
    TemplateProblem,
    TemplateRead,
    TemplateUpdate,
    TemplateVerdict,
    TemplateVersionItem,
    TemplateVersionRead,
)
from parcela.core.permissions import Permission
from parcela.services.access import Caller

router = v1_router("/templates", tags=["templates"])
Creator = Annotated[Caller, Depends(Requires(Permission.TEMPLATE_CREATE))]
MAX_VERSION = 2**31 - 1
VersionPath = Annotated[int, Path(ge=1, le=MAX_VERSION)]
VersionQuery = Annotated[int | None, Query(ge=1, le=MAX_VERSION, description="Leave it out for the newest")]
MAX_LOST_IN_HEADER = 20
LOST_HEADERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The template as a file",
        "headers": {
            "X-Lost-Count": {"description": "Number of places the format cannot hold", "schema": {"type": "integer"}},
            "X-Lost": {"description": "The first 20 of these places", "schema": {"type": "string"}},
        },
    }
}


@router.get("/", responses=problem_responses(401, 403, 422))
async def list_templates(
    services: AppServices,
    caller: CurrentCaller,
    uow: ReadUow,
    paging: Paging,
    name: TextFilter = None,
    owner_id: RowIdFilter = None,
    project_id: RowIdFilter = None,
    visibility: Visibility | None = None,
) -> PageRead[TemplateItem]:
    """List public and own templates, and those of your projects; sorted by id, name, created_at or updated_at."""
    page = await services.templates.page(
        uow, caller, paging, name=name, owner_id=owner_id, project_id=project_id, visibility=visibility
    )
    return PageRead(items=[TemplateItem(**row) for row in page.rows], next_cursor=page.next_cursor)


@router.post(
    "/", status_code=201, response_model=TemplateRead, responses=problem_responses(400, 401, 403, 404, 409, 413, 422)
)
async def create_template(
    body: TemplateCreate, services: AppServices, caller: Creator, uow: WriteUow, idem: Idempotent
) -> Response:
    """Save a template; every problem of its document is reported at once."""
    draft = body.to_draft()
    may = partial(services.templates.check_create, uow, caller, draft.project_after(None))
    if replay := await idem.replay(may, lambda kept: get_template(kept["id"], services, caller, uow)):
        return replay
    template = TemplateRead(**await services.templates.create(uow, caller, draft))
    return await idem.keep(201, template, f"/api/v1/templates/{template.id}")


@router.post(
    "/import", status_code=201, response_model=TemplateRead, responses=problem_responses(400, 401, 403, 409, 413, 422)
)
async def import_template(
    document: Annotated[dict[str, Any], Body(examples=[{"name": "One VM", "document": EXAMPLE_DOCUMENT}])],
    services: AppServices,
    caller: Creator,
    uow: WriteUow,
    idem: Idempotent,
    form: Annotated[TemplateFormat, Query(alias="format")] = "native",
    name: Annotated[TextFilter, Query(description="Needed unless the file has a name")] = None,
) -> Response:
    """Save a file of `/export` as a new private template."""
    may = partial(services.templates.check_create, uow, caller, None)
    if replay := await idem.replay(may, lambda kept: get_template(kept["id"], services, caller, uow)):
        return replay
    draft = await services.templates.import_draft(uow, caller, document, form=form, name=name)
    template = TemplateRead(**await services.templates.create(uow, caller, draft))
    return await idem.keep(201, template, f"/api/v1/templates/{template.id}")


@router.post("/validate", responses=problem_responses(400, 401, 403, 413, 422))
async def validate_template(
    body: TemplateCheck, services: AppServices, caller: CurrentCaller, uow: ReadUow
) -> TemplateVerdict:
    """Say everything that is wrong with a document, without saving it."""
    found = await services.templates.validate(uow, caller, body.document)
    return TemplateVerdict(valid=not found, problems=[TemplateProblem.model_validate(problem) for problem in found])


@router.get("/{template_id}", responses=problem_responses(401, 404, 422))
async def get_template(template_id: RowId, services: AppServices, caller: CurrentCaller, uow: ReadUow) -> TemplateRead:
    """Read a template with its newest document."""
    return TemplateRead(**await services.templates.details(uow, caller, template_id))


@router.put("/{template_id}", responses=problem_responses(400, 401, 403, 404, 409, 412, 413, 422))
async def update_template(
    template_id: RowId,
    body: TemplateUpdate,
    services: AppServices,
    caller: CurrentCaller,
    uow: WriteUow,
    precondition: Precondition,
) -> TemplateRead:
    """Replace a template; a changed document makes a new version, and slices keep theirs."""
    row = await services.templates.update(
        uow, caller, template_id, body.to_draft(), precondition.of(TemplateRead.model_validate)
    )
    return TemplateRead(**row)


@router.delete("/{template_id}", status_code=204, responses=problem_responses(401, 403, 404, 412, 422))
async def delete_template(
    template_id: RowId, services: AppServices, caller: CurrentCaller, uow: WriteUow, precondition: Precondition
) -> None:
    """Remove a template with its versions; slices made from it go on."""
    await services.templates.delete(uow, caller, template_id, precondition.of(TemplateRead.model_validate))


@router.get("/{template_id}/versions", responses=problem_responses(401, 404, 422))
async def list_template_versions(
    template_id: RowId, services: AppServices, caller: CurrentCaller, uow: ReadUow, paging: Paging
) -> PageRead[TemplateVersionItem]:
    """List the versions of a template; sorted by id, version or created_at."""
    page = await services.templates.versions(uow, caller, template_id, paging)
    return PageRead(items=[TemplateVersionItem(**row) for row in page.rows], next_cursor=page.next_cursor)


@router.get("/{template_id}/versions/{version}", responses=problem_responses(401, 404, 422))
async def get_template_version(
    template_id: RowId, version: VersionPath, services: AppServices, caller: CurrentCaller, uow: ReadUow
) -> TemplateVersionRead:
    """Read one version with its document."""
    return TemplateVersionRead(**await services.templates.version(uow, caller, template_id, version))


@router.get(
    "/{template_id}/export",
    response_model=dict[str, Any],
    responses=problem_responses(401, 404, 422) | LOST_HEADERS,
)
async def export_template(
    template_id: RowId,
    services: AppServices,
    caller: CurrentCaller,
    uow: ReadUow,
    form: Annotated[TemplateFormat, Query(alias="format")] = "native",
    version: VersionQuery = None,
) -> Response:
    """Download a template; `X-Lost` names what the format cannot hold."""
    export = await services.templates.export(uow, caller, template_id, form=form, version=version)
    filename = re.sub(r"[^A-Za-z0-9._-]+", "-", export.name).strip("-.") or "template"
    headers = {"Content-Disposition": f'attachment; filename="{filename}.json"', "X-Lost-Count": str(len(export.lost))}
    if export.lost:
        headers["X-Lost"] = ", ".join(export.lost[:MAX_LOST_IN_HEADER])
    return JSONResponse(export.content, headers=headers)
