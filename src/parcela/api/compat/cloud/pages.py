"""Addresses of the older pages, which lead to ours, and the few others that clients of ``cloud`` and monitors know.

Where a page of ours is, is said here and nowhere else. No target comes from the request but its ids, which are numbers.
Without a session browsers are sent to the login page and come back, programs get 401.
"""

from typing import Any

from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field

from parcela.api.compat.cloud.caller import CloudCaller
from parcela.api.compat.cloud.errors import CloudRoute
from parcela.api.compat.cloud.picture import computer
from parcela.api.compat.negotiation import SharedRoute
from parcela.api.errors import problem_responses
from parcela.api.routing import json_router
from parcela.api.schemas.flavours import RowId

HOME, LOGIN, TEMPLATE, SLICE, CONSOLE = (
    "/",
    "/login",
    "/templates/{}",
    "/slices/{}",
    "/vms/{}/console?kind=vnc",
)
LEADING: dict[str, Any] = {
    "status_code": 303,
    "response_class": RedirectResponse,
    "responses": {303: {"description": "To the page"}} | problem_responses(401, 422),
}
router = json_router(tags=["cloud"], route_class=CloudRoute)
shared = json_router(tags=["cloud"], route_class=SharedRoute)


class Greeting(BaseModel):
    """What answers here."""

    message: str = Field(examples=["Parcela"])
    docs: str = Field(description="Address of the documentation", examples=["/docs"])


class Healthy(BaseModel):
    """The process answers."""

    ok: bool = True


def _lead(path: str) -> RedirectResponse:
    return RedirectResponse(path, status_code=303)


@shared.get("/", summary="Say what this is (cloud, vm_api)")
async def greet() -> Greeting:
    """For programs; browsers that ask for HTML get the first page."""
    return Greeting(message="Parcela, a self-hosted lab cloud", docs="/docs")


@router.get("/healthz", summary="Tell that the process answers (cloud)")
async def healthz() -> Healthy:
    """Asks nothing of the stores; `/api/v1/system/health` does."""
    return Healthy()


@router.get(
    "/static/images/pc.png",
    summary="Picture of a node (cloud)",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}, "description": "64 x 64 pixels"}},
)
async def picture() -> Response:
    """Stored drawings name it."""
    return Response(computer(), media_type="image/png", headers={"Cache-Control": "public, max-age=86400"})


@router.get("/registro", summary="Lead to the login page (cloud)", status_code=303, response_class=RedirectResponse)
async def lead_to_registration() -> RedirectResponse:
    """There is no page to register on; `POST /auth/register` takes the older form."""
    return _lead(LOGIN)


@router.get("/home", summary="Lead to the first page (cloud)", **LEADING)
@router.get("/plantillas", summary="Lead to the templates (cloud)", **LEADING)
@router.get("/plantillas/create", summary="Lead to the templates, too (cloud)", **LEADING)
@router.get("/projects", summary="Lead to the slices (cloud)", **LEADING)
async def lead_home(_: CloudCaller) -> RedirectResponse:
    """Slices and templates are on the first page."""
    return _lead(HOME)


@router.get("/plantillas/{template_id}", summary="Lead to a template (cloud)", **LEADING)
@router.get("/plantillas/{template_id}/edit", summary="Lead to a template, too (cloud)", **LEADING)
async def lead_to_template(template_id: RowId, _: CloudCaller) -> RedirectResponse:
    """The page says whether there is one that the reader may see."""
    return _lead(TEMPLATE.format(template_id))


@router.get("/projects/{slice_id}", summary="Lead to a slice (cloud)", **LEADING)
async def lead_to_slice(slice_id: RowId, _: CloudCaller) -> RedirectResponse:
    """A slice was called a project."""
    return _lead(SLICE.format(slice_id))


@router.get("/vnc/{vm_id}", summary="Lead to a console (cloud)", **LEADING)
async def lead_to_console(vm_id: RowId, _: CloudCaller) -> RedirectResponse:
    """The screen of a VM."""
    return _lead(CONSOLE.format(vm_id))
