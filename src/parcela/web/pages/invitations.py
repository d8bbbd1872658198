"""Projects a person is asked into: accept, decline, leave, and the link of the mail."""

from typing import Annotated

from fastapi import Form, Path, Query
from fastapi.responses import HTMLResponse, RedirectResponse

from parcela.web.dependencies.caller import Reader, Writer
from parcela.web.dependencies.uow import AppServices, WriteUow
from parcela.web.dependencies.view import ReaderView, see_other
from parcela.web.routes import web_router

router = web_router()
ProjectId = Annotated[int, Path(ge=1, le=2**53)]
MAX_TOKEN_CHARS = 200


@router.post("/projects/{project_id}/accept")
async def accept(project_id: ProjectId, services: AppServices, caller: Writer, uow: WriteUow) -> RedirectResponse:
    """Open a project; from now on its managers know who the caller is."""
    await services.invitations.accept(uow, caller, project_id)
    return see_other("/")


@router.post("/projects/{project_id}/decline")
async def decline(project_id: ProjectId, services: AppServices, caller: Writer, uow: WriteUow) -> RedirectResponse:
    """Refuse; the managers are not told."""
    await services.invitations.decline(uow, caller, project_id)
    return see_other("/")


@router.post("/projects/{project_id}/leave")
async def leave(project_id: ProjectId, services: AppServices, caller: Writer, uow: WriteUow) -> RedirectResponse:
    """Leave a project in which the caller owns nothing any more."""
    await services.projects.remove_member(uow, caller, project_id, caller.user_id)
    return see_other("/")


@router.get("/invitations/confirm")
async def ask_confirmation(
    _caller: Reader, view: ReaderView, token: Annotated[str, Query(max_length=MAX_TOKEN_CHARS)] = ""
) -> HTMLResponse:
    """Where the link of a mail leads: nothing is done before the button is pressed."""
    return view.page("invitation.html", token=token)


@router.post("/invitations/confirm")
async def confirm(
    services: AppServices, caller: Writer, uow: WriteUow, token: Annotated[str, Form(max_length=MAX_TOKEN_CHARS)] = ""
) -> RedirectResponse:
    """Believe that the address of the account is the caller's; the first page then shows the invitations."""
    await services.invitations.confirm(uow, caller, token)
    return see_other("/")
