"""Invitations into projects: managers send them, the invited accept or decline."""

from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response

from parcela.api.dependencies.caller import CurrentCaller
from parcela.api.dependencies.idempotency import Idempotent
from parcela.api.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.api.errors import problem_responses
from parcela.api.routing import v1_router
from parcela.api.schemas.flavours import RowId
from parcela.api.schemas.projects import (
    InvitationCreate,
    InvitationRead,
    InvitationToken,
    InvitedRead,
    OwnInvitationRead,
    ProjectRead,
)
from parcela.core.errors import invalid
from parcela.core.permissions import ProjectRole
from parcela.services.identity.users import clean_email
from parcela.services.projects.invitation_lists import Invitee, read_invitees

router = v1_router(tags=["projects"])
OF_PROJECT, OWN = "/projects/{project_id}/invitations", "/users/me/invitations"
CSV_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "Lines of `address` or `address,role`",
        "content": {
            "text/csv": {"schema": {"type": "string"}, "example": "ana@lab.example\nluis@lab.example,manager\n"}
        },
    }
}


async def _csv_text(request: Request, _caller: CurrentCaller) -> str:
    try:
        return (await request.body()).decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise invalid("list_invalid", "The list must be text in UTF-8.") from exc


# Stands before the unit of work in a signature: on SQLite the writer is not held while the list arrives.
CsvText = Annotated[str, Depends(_csv_text)]


@router.get(OF_PROJECT, summary="List invitations", responses=problem_responses(401, 403, 404, 422))
async def list_invitations(
    project_id: RowId, services: AppServices, caller: CurrentCaller, uow: ReadUow
) -> list[InvitationRead]:
    """Open ones, by address: for managers. They say nothing about accounts."""
    rows = await services.invitations.of_project(uow, caller, project_id)
    return [InvitationRead.model_validate(row) for row in rows]


@router.post(
    OF_PROJECT,
    summary="Invite an address",
    status_code=201,
    response_model=InvitationRead,
    responses=problem_responses(400, 401, 403, 404, 409, 413, 422, 429),
)
async def invite(
    project_id: RowId,
    body: InvitationCreate,
    services: AppServices,
    caller: CurrentCaller,
    uow: WriteUow,
    idem: Idempotent,
) -> Response:
    """The answer is the same whether an account has the address or not. Again: the new role, and the full time."""
    if replay := await idem.replay(partial(services.projects.check_members, uow, caller, project_id)):
        return replay
    invitee = Invitee(clean_email(body.email), body.role)
    [row] = await services.invitations.invite(uow, caller, project_id, [invitee])
    return await idem.keep(201, InvitationRead.model_validate(row))


@router.post(
    f"{OF_PROJECT}/csv",
    summary="Invite a list of addresses",
    responses=problem_responses(401, 403, 404, 409, 413, 422, 429),
    openapi_extra=CSV_BODY,
)
async def invite_list(
    project_id: RowId,
    text: CsvText,
    services: AppServices,
    caller: CurrentCaller,
    uow: WriteUow,
    role: Annotated[ProjectRole, Query(description="Of lines that name none")] = ProjectRole.MEMBER,
) -> InvitedRead:
    """All or none; a 422 lists the lines that are wrong."""
    await services.projects.lock_managed(uow, caller, project_id)
    invitees = read_invitees(text, role, services.settings.invitations_per_project)
    return InvitedRead(invited=len(await services.invitations.invite(uow, caller, project_id, invitees)))


@router.delete(
    f"{OF_PROJECT}/{{invitation_id}}",
    summary="Withdraw an invitation",
    status_code=204,
    responses=problem_responses(401, 403, 404, 413, 422),
)
async def withdraw(
    project_id: RowId, invitation_id: RowId, services: AppServices, caller: CurrentCaller, uow: WriteUow
) -> None:
    """For managers. Who has accepted is a member, and is removed as one."""
    await services.invitations.withdraw(uow, caller, project_id, invitation_id)


@router.get(OWN, summary="Your invitations", responses=problem_responses(401, 403))
async def own_invitations(services: AppServices, caller: CurrentCaller, uow: ReadUow) -> list[OwnInvitationRead]:
    """Projects that you are asked into by your verified address, or were added to and have not opened yet."""
    return [OwnInvitationRead(**row) for row in await services.invitations.mine(uow, caller)]


@router.post(
    f"{OWN}/confirm",
    summary="Confirm your address",
    status_code=204,
    responses=problem_responses(400, 401, 403, 413, 422),
)
async def confirm(body: InvitationToken, services: AppServices, caller: CurrentCaller, uow: WriteUow) -> None:
    """With the token of a mail that went to the address of your account."""
    await services.invitations.confirm(uow, caller, body.token)


@router.post(
    "/projects/{project_id}/accept", summary="Open a project", responses=problem_responses(401, 403, 404, 409, 413, 422)
)
async def accept(project_id: RowId, services: AppServices, caller: CurrentCaller, uow: WriteUow) -> ProjectRead:
    """Accept an invitation, or open a project that you were added to. Now its managers are told who you are."""
    return ProjectRead.model_validate(await services.invitations.accept(uow, caller, project_id))


@router.post(
    "/projects/{project_id}/decline",
    summary="Decline an invitation",
    status_code=204,
    responses=problem_responses(401, 403, 404, 409, 413, 422),
)
async def decline(project_id: RowId, services: AppServices, caller: CurrentCaller, uow: WriteUow) -> None:
    """Managers are not told; the invitation ends by itself."""
    await services.invitations.decline(uow, caller, project_id)
