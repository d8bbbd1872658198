"""The first page: what runs, and what can be launched."""

from typing import Annotated

from fastapi import Query
from fastapi.responses import HTMLResponse

from parcela.core.permissions import Permission
from parcela.repositories.paging import Page, PageRequest
from parcela.services.compute.templates import with_allowed
from parcela.web.dependencies.caller import Reader
from parcela.web.dependencies.uow import AppServices, ReadUow
from parcela.web.dependencies.view import ReaderView
from parcela.web.routes import web_router
from parcela.web.views.slices import ends_in

router = web_router()
Cursor = Annotated[str | None, Query(max_length=500)]


@router.get("/")
async def home(
    services: AppServices,
    caller: Reader,
    uow: ReadUow,
    view: ReaderView,
    slices_after: Cursor = None,
    templates_after: Cursor = None,
) -> HTMLResponse:
    """The slices and templates the reader sees; those who see slices of others are told whose they are."""
    slices = await services.slices.page(uow, caller, PageRequest(cursor=slices_after, sort="-created_at"))
    templates = await services.templates.page(uow, caller, PageRequest(cursor=templates_after, sort="name"))
    invitations = await services.invitations.mine(uow, caller)
    projects = await services.invitations.opened(uow, caller, PageRequest(sort="name"))
    endings = {row["id"]: ends_in(view.t, row["expires_at"], uow.clock()) for row in slices.rows}
    return view.page(
        "home.html",
        fragment="slices.html",
        slices=slices,
        templates=Page([with_allowed(caller, row) for row in templates.rows], templates.next_cursor),
        endings=endings,
        invitations=invitations,
        projects=projects,
        roles=caller.projects,
        sees_all=caller.can(Permission.SLICE_READ_ALL) or bool(caller.managed),
    )
