"""``/templates``: drawings in the older document. What it cannot hold is said, and never thrown away by a write."""

import re
from typing import Annotated, Any

from fastapi import Query, Response
from fastapi.responses import JSONResponse

from parcela.api.compat.cloud.caller import CloudCaller
from parcela.api.compat.cloud.schemas import TemplateBody, TemplateItem, TemplateRead
from parcela.api.compat.lists import MOST, Cursor, Limit, whole
from parcela.api.compat.negotiation import SharedRoute
from parcela.api.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.api.errors import problem_responses
from parcela.api.routing import json_router
from parcela.api.schemas.flavours import RowId
from parcela.core.errors import Problem, conflict
from parcela.core.topology.cloud import to_cloud
from parcela.core.topology.document import parse_document
from parcela.services.templates import CLOUD, TemplateDraft, TemplateRow

# ``/templates/{id}`` is a page too, and this stands before ``/templates/{id}`` so that it is no id.
shared = json_router("/templates", tags=["cloud"], route_class=SharedRoute)
router = json_router("/templates", tags=["cloud"])
UNNAMED = "plantilla"


def _read(row: TemplateRow) -> TemplateRead:
    content, lost = to_cloud(parse_document(row["document"]))
    return TemplateRead(
        id=row["id"],
        nombre=row["name"],
        descripcion=row["description"],
        version=row["version"],
        **content,
        perdido=list(lost),
    )


@router.post(
    "/guardar",
    summary="Save a template (cloud)",
    status_code=201,
    responses=problem_responses(400, 401, 403, 409, 413, 422),
)
async def save_template(body: TemplateBody, services: AppServices, caller: CloudCaller, uow: WriteUow) -> TemplateRead:
    """A new private template; every problem of the document is reported at once."""
    name = body.nombre or UNNAMED
    draft = await services.templates.import_draft(uow, caller, body.document(), form=CLOUD, name=name)
    named = TemplateDraft(name=name, document=draft.document, description=body.descripcion or "")
    return _read(await services.templates.create(uow, caller, named))


@router.get(
    "/mostrar_plantilla",
    summary="Show templates (cloud)",
    responses=problem_responses(401, 403, 404, 422),
)
async def show_templates(
    services: AppServices,
    caller: CloudCaller,
    uow: ReadUow,
    response: Response,
    id: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="Only this one, with its document")] = None,  # noqa: A002 (the name clients use)
    limit: Limit = MOST,
    cursor: Cursor = None,
) -> list[TemplateItem] | TemplateRead:
    """Own and public templates without their documents; with `id`, one with its document."""
    if id is not None:
        return _read(await services.templates.get(uow, caller, id))
    rows = await whole(lambda page: services.templates.page(uow, caller, page), response, limit, cursor)
    return [
        TemplateItem(
            id=row["id"],
            nombre=row["name"],
            descripcion=row["description"],
            version=row["version"],
            propietario=row["owner"],
            actualizado=row["updated_at"],
        )
        for row in rows
    ]


@shared.get("/{template_id}", summary="Show a template (cloud)", responses=problem_responses(401, 404, 422))
async def get_template(template_id: RowId, services: AppServices, caller: CloudCaller, uow: ReadUow) -> TemplateRead:
    """The newest version in the older document. Browsers that ask for HTML get the page of this address."""
    return _read(await services.templates.get(uow, caller, template_id))


@router.put(
    "/{template_id}",
    summary="Replace a template (cloud)",
    responses=problem_responses(400, 401, 403, 404, 409, 413, 422),
)
async def update_template(
    template_id: RowId, body: TemplateBody, services: AppServices, caller: CloudCaller, uow: WriteUow
) -> TemplateRead:
    """A changed document makes a new version. Refused where it would throw away what it cannot hold."""
    before = await services.templates.get(uow, caller, template_id)
    name = body.nombre or before["name"]
    draft = await services.templates.import_draft(uow, caller, body.document(), form=CLOUD, name=name)

    def wanted(row: TemplateRow) -> TemplateDraft:
        description = row["description"] if body.descripcion is None else body.descripcion
        return TemplateDraft(body.nombre or row["name"], draft.document, description, row["visibility"])

    return _read(await services.templates.update(uow, caller, template_id, wanted, _refuse_loss))


def _refuse_loss(row: TemplateRow) -> None:
    """Whoever reads with this API and writes back would remove what they never saw."""
    _, lost = to_cloud(parse_document(row["document"]))
    if lost:
        text = "The template has parts that this document cannot hold, listed in 'problems'; change it by /api/v1."
        problems = [Problem(where, "Would be lost.", "beyond_cloud") for where in lost[:100]]
        raise conflict("template_beyond_cloud", text, *problems)


@router.delete(
    "/{template_id}",
    summary="Remove a template (cloud)",
    status_code=204,
    responses=problem_responses(401, 403, 404, 422),
)
async def delete_template(template_id: RowId, services: AppServices, caller: CloudCaller, uow: WriteUow) -> None:
    """Slices that were made from it go on."""
    await services.templates.delete(uow, caller, template_id)


@router.get(
    "/{template_id}/export",
    summary="Download a template (cloud)",
    response_model=dict[str, Any],
    responses=problem_responses(401, 404, 422),
)
async def export_template(template_id: RowId, services: AppServices, caller: CloudCaller, uow: ReadUow) -> Response:
    """The older document alone, as a file."""
    export = await services.templates.export(uow, caller, template_id, form=CLOUD)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", export.name).strip("-.") or "template"
    headers = {"Content-Disposition": f'attachment; filename="{name}.json"', "X-Lost-Count": str(len(export.lost))}
    return JSONResponse(export.content, headers=headers)
