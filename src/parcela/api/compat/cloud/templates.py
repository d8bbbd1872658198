"""``/templates``: drawings in the older document. What it cannot hold is said, and never thrown away by a write."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any

from fastapi import Query, Response
from fastapi.responses import JSONResponse

from parcela.api.compat.cloud.caller import CloudCaller
from parcela.api.compat.cloud.errors import CloudRoute, SharedCloudRoute
from parcela.api.compat.cloud.schemas import (
    TemplateBody,
    TemplateChange,
    TemplateGone,
    TemplateItem,
    TemplateRead,
    TemplateSaved,
)
from parcela.api.compat.lists import MOST, Cursor, Limit, whole
from parcela.api.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.api.errors import problem_responses
from parcela.api.routing import json_router
from parcela.api.schemas.flavours import RowId
from parcela.core.errors import ParcelaError, Problem, conflict
from parcela.core.topology.cloud_writer import OlderPlaces, to_cloud
from parcela.core.topology.document import parse_document
from parcela.core.topology.sizes import sums_of
from parcela.repositories.paging import PageRequest
from parcela.repositories.uow import ReadUnitOfWork
from parcela.services.access import Caller
from parcela.services.catalogue.snapshot import load_flavours
from parcela.services.compute.template_drafts import TemplateDraft
from parcela.services.compute.template_lists import own_templates
from parcela.services.compute.templates import CLOUD, TemplateRow
from parcela.services.container import Services

# ``/templates/{id}`` is a page too, and this stands before ``/templates/{id}`` so that it is no id.
shared = json_router("/templates", tags=["cloud"], route_class=SharedCloudRoute)
router = json_router("/templates", tags=["cloud"], route_class=CloudRoute)
UNNAMED = "plantilla"
SAVED = "The template is saved."


async def _facts(uow: ReadUnitOfWork, row: TemplateRow) -> dict[str, Any]:
    """The fields of ``TemplateRead``."""
    flavours = await load_flavours(uow)
    content, lost = to_cloud(parse_document(row["document"]), flavours)
    facts = TemplateItem.facts(row, sums_of(row["document"], flavours))
    return {**facts, "json_template": content, **content, "perdido": list(lost)}


@contextmanager
def _told_by_older_places(document: object) -> Iterator[None]:
    """Errors name places of the document that the client has sent."""
    try:
        yield
    except ParcelaError as exc:
        if exc.code != "template_invalid":
            raise
        places = OlderPlaces(parse_document(document))
        exc.problems = tuple(replace(problem, where=places(problem.where)) for problem in exc.problems)
        raise


@router.post("/guardar", summary="Save a template (cloud)", responses=problem_responses(400, 401, 403, 409, 413, 422))
async def save_template(body: TemplateBody, services: AppServices, caller: CloudCaller, uow: WriteUow) -> TemplateSaved:
    """A new private template; `detail` names the first problem of the document, `problems` all of them."""
    name = body.title or UNNAMED
    draft = await services.templates.import_draft(uow, caller, body.document, form=CLOUD, name=name)
    named = TemplateDraft(name=name, document=draft.document, description=body.text or "")
    with _told_by_older_places(draft.document):
        row = await services.templates.create(uow, caller, named)
    return TemplateSaved(**await _facts(uow, row), message=SAVED)


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
    """Own templates without their documents, the newest first; with `id`, any one that is seen, with its document."""
    if id is not None:
        return TemplateRead(**await _facts(uow, await services.templates.get(uow, caller, id)))

    async def read(page: PageRequest) -> Any:
        return await own_templates(uow, caller, replace(page, sort="-created_at"))

    rows = await whole(read, response, limit, cursor)
    return [TemplateItem(**TemplateItem.facts(row, row["sums"])) for row in rows]


@shared.get("/{template_id}", summary="Show a template (cloud)", responses=problem_responses(401, 404, 422))
async def get_template(template_id: RowId, services: AppServices, caller: CloudCaller, uow: ReadUow) -> TemplateRead:
    """The newest version in the older document. Browsers that ask for HTML get the page of this address."""
    return TemplateRead(**await _facts(uow, await services.templates.get(uow, caller, template_id)))


@router.put(
    "/{template_id}",
    summary="Change a template (cloud)",
    responses=problem_responses(400, 401, 403, 404, 409, 413, 422),
)
async def update_template(
    template_id: RowId, body: TemplateChange, services: AppServices, caller: CloudCaller, uow: WriteUow
) -> TemplateSaved:
    """What is null or left out stays. A changed document makes a new version, and throws nothing away unseen."""
    before = await services.templates.get(uow, caller, template_id)
    document = await _changed_document(services, uow, caller, body, before)
    name = body.new_name(before["name"])

    def wanted(row: TemplateRow) -> TemplateDraft:
        description = row["description"] if body.text is None else body.text
        said = row["document"] if document is None else document
        return TemplateDraft(name or row["name"], said, description, row["visibility"])

    check = _refuse_loss if document is not None else _lose_nothing
    with _told_by_older_places(document or before["document"]):
        row = await services.templates.update(uow, caller, template_id, wanted, check)
    return TemplateSaved(**await _facts(uow, row), message=SAVED)


async def _changed_document(
    services: Services, uow: ReadUnitOfWork, caller: Caller, body: TemplateBody, before: TemplateRow
) -> object:
    """The document that was sent, as it would be stored; None for none, and for the one that is answered now.

    The last is compared as it reads: editors add keys of their own, and answers have ids and sizes that are not stored.
    """
    if body.document is None:
        return None
    told = await services.templates.export(uow, caller, before["id"], form=CLOUD)
    if body.document == told.content:
        return None  # also where it has names that are refused in this form
    options: dict[str, Any] = {"form": CLOUD, "name": before["name"], "before": before["document"]}
    sent = (await services.templates.import_draft(uow, caller, body.document, **options)).document
    same = (await services.templates.import_draft(uow, caller, told.content, **options)).document
    return None if sent == same else sent


def _refuse_loss(row: TemplateRow) -> None:
    """Whoever reads with this API and writes back what they changed would remove what they never saw."""
    _, lost = to_cloud(parse_document(row["document"]))
    if lost:
        text = "The template has parts that this document cannot hold, listed in 'problems'; change it by /api/v1."
        problems = [Problem(where, "Would be lost.", "beyond_cloud") for where in lost[:100]]
        raise conflict("template_beyond_cloud", text, *problems)


def _lose_nothing(_: TemplateRow) -> None:
    """The document stays as it is."""


@router.delete(
    "/{template_id}",
    summary="Remove a template (cloud)",
    responses=problem_responses(401, 403, 404, 422),
)
async def delete_template(
    template_id: RowId, services: AppServices, caller: CloudCaller, uow: WriteUow
) -> TemplateGone:
    """Slices that were made from it go on."""
    await services.templates.delete(uow, caller, template_id)
    return TemplateGone(template_id=template_id, id=template_id)


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
