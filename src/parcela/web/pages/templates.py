"""Templates: what is in one, and launching it."""

from typing import Annotated

from fastapi import Path
from fastapi.responses import HTMLResponse, RedirectResponse

from parcela.core.topology.document import parse_document
from parcela.services.compute.slices import SliceOrder
from parcela.web.dependencies.caller import Reader, Writer
from parcela.web.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.web.dependencies.view import ReaderView, see_other
from parcela.web.routes import web_router
from parcela.web.views.drawing import draw

router = web_router()
TemplateId = Annotated[int, Path(ge=1, le=2**63 - 1)]


@router.get("/templates/{template_id}")
async def show_template(
    template_id: TemplateId, services: AppServices, caller: Reader, uow: ReadUow, view: ReaderView
) -> HTMLResponse:
    """The newest version, drawn and as tables."""
    row = await services.templates.details(uow, caller, template_id)
    document = parse_document(row["document"])
    return view.page("template.html", row=row, document=document, drawing=draw(document))


@router.post("/templates/{template_id}/launch")
async def launch(template_id: TemplateId, services: AppServices, caller: Writer, uow: WriteUow) -> RedirectResponse:
    """Make a slice and build it, both or neither."""
    row = await services.slices.create(uow, caller, SliceOrder(template_id=template_id))
    await services.slices.deploy(uow, caller, row.id)
    return see_other(f"/slices/{row.id}")
