"""Projects, who is in them, and quotas."""

from functools import partial
from typing import Annotated

from fastapi import Query, Response

from parcela.api.dependencies.caller import CurrentCaller
from parcela.api.dependencies.idempotency import Idempotent
from parcela.api.dependencies.paging import Paging
from parcela.api.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.api.errors import problem_responses
from parcela.api.etags import Precondition
from parcela.api.routing import v1_router
from parcela.api.schemas.common import PageRead
from parcela.api.schemas.flavours import RowId
from parcela.api.schemas.projects import (
    MemberAdd,
    MemberChange,
    MemberRead,
    ProjectCreate,
    ProjectItem,
    ProjectRead,
    ProjectUpdate,
    QuotaLimits,
    QuotaRead,
)
from parcela.core.permissions import Permission
from parcela.services.catalogue.rules import TEXT_PATTERN

router = v1_router(tags=["projects"])


@router.get("/projects/", summary="List projects", responses=problem_responses(401, 403, 422))
async def list_projects(
    services: AppServices,
    caller: CurrentCaller,
    uow: ReadUow,
    paging: Paging,
    name: Annotated[str | None, Query(max_length=100, pattern=TEXT_PATTERN)] = None,
) -> PageRead[ProjectItem]:
    """Those you are in; all with `project:read_all`. Sorted by id, name or created_at."""
    page = await services.projects.page(uow, caller, paging, name=name)
    return PageRead(items=[ProjectItem(**row) for row in page.rows], next_cursor=page.next_cursor)


@router.post(
    "/projects/",
    summary="Make a project",
    status_code=201,
    response_model=ProjectRead,
    responses=problem_responses(400, 401, 403, 409, 413, 422),
)
async def create_project(
    body: ProjectCreate, services: AppServices, caller: CurrentCaller, uow: WriteUow, idem: Idempotent
) -> Response:
    """A class or a team; nobody is in it yet."""
    if replay := await idem.replay(partial(caller.require, Permission.PROJECT_WRITE_ALL)):
        return replay
    row = await services.projects.create(uow, caller, **dict(body))
    return await idem.keep(201, ProjectRead.model_validate(row), f"/api/v1/projects/{row.id}")


@router.get("/projects/{project_id}", summary="Show a project", responses=problem_responses(401, 404, 422))
async def get_project(project_id: RowId, services: AppServices, caller: CurrentCaller, uow: ReadUow) -> ProjectRead:
    """One project you are in."""
    return ProjectRead.model_validate(await services.projects.get(uow, caller, project_id))


@router.patch(
    "/projects/{project_id}",
    summary="Change a project",
    responses=problem_responses(400, 401, 403, 404, 409, 412, 413, 422),
)
async def update_project(
    project_id: RowId,
    body: ProjectUpdate,
    services: AppServices,
    caller: CurrentCaller,
    uow: WriteUow,
    precondition: Precondition,
) -> ProjectRead:
    """Managers and administrators."""
    row = await services.projects.update(
        uow, caller, project_id, dict(body), precondition.of(ProjectRead.model_validate)
    )
    return ProjectRead.model_validate(row)


@router.delete(
    "/projects/{project_id}",
    summary="Delete a project",
    status_code=204,
    responses=problem_responses(401, 403, 404, 409, 412, 413, 422),
)
async def delete_project(
    project_id: RowId, services: AppServices, caller: CurrentCaller, uow: WriteUow, precondition: Precondition
) -> None:
    """Only when no slice, VM, template or image is left in it; a 409 lists what is."""
    await services.projects.delete(uow, caller, project_id, precondition.of(ProjectRead.model_validate))


@router.get("/projects/{project_id}/members", summary="List members", responses=problem_responses(401, 404, 422))
async def list_members(
    project_id: RowId, services: AppServices, caller: CurrentCaller, uow: ReadUow
) -> list[MemberRead]:
    """Everybody in it, by username."""
    return [MemberRead(**row) for row in await services.projects.members(uow, caller, project_id)]


@router.post(
    "/projects/{project_id}/members",
    summary="Add a member",
    status_code=201,
    response_model=MemberRead,
    responses=problem_responses(400, 401, 403, 404, 409, 413, 422),
)
async def add_member(
    project_id: RowId, body: MemberAdd, services: AppServices, caller: CurrentCaller, uow: WriteUow, idem: Idempotent
) -> Response:
    """By e-mail address or username: for administrators, who may know who there is. Managers invite addresses."""
    if replay := await idem.replay(partial(services.projects.check_adding, uow, caller, project_id)):
        return replay
    row = await services.projects.add_member(uow, caller, project_id, user=body.user, role=body.role)
    return await idem.keep(201, MemberRead(**row))


@router.patch(
    "/projects/{project_id}/members/{user_id}",
    summary="Change a member's role",
    responses=problem_responses(400, 401, 403, 404, 413, 422),
)
async def change_member(
    project_id: RowId, user_id: RowId, body: MemberChange, services: AppServices, caller: CurrentCaller, uow: WriteUow
) -> MemberRead:
    """It counts from their next request on."""
    return MemberRead(**await services.projects.change_member(uow, caller, project_id, user_id, body.role))


@router.delete(
    "/projects/{project_id}/members/{user_id}",
    summary="Remove a member",
    status_code=204,
    responses=problem_responses(401, 403, 404, 409, 413, 422),
)
async def remove_member(
    project_id: RowId, user_id: RowId, services: AppServices, caller: CurrentCaller, uow: WriteUow
) -> None:
    """Everybody may leave; a 409 lists what they still own in it."""
    await services.projects.remove_member(uow, caller, project_id, user_id)


@router.get("/projects/{project_id}/quota", summary="Quota of a project", responses=problem_responses(401, 404, 422))
async def project_quota(project_id: RowId, services: AppServices, caller: CurrentCaller, uow: ReadUow) -> QuotaRead:
    """Ceilings, and what of them is used."""
    return QuotaRead.of(await services.projects.quota_of_project(uow, caller, project_id))


@router.put(
    "/projects/{project_id}/quota",
    summary="Set the quota of a project",
    responses=problem_responses(400, 401, 403, 404, 412, 413, 422),
)
async def set_project_quota(
    project_id: RowId,
    body: QuotaLimits,
    services: AppServices,
    caller: CurrentCaller,
    uow: WriteUow,
    precondition: Precondition,
) -> QuotaRead:
    """What runs already goes on, also above the new ceilings."""
    state = await services.projects.set_quota_of_project(
        uow, caller, project_id, body.model_dump(), precondition.of(QuotaRead.of)
    )
    return QuotaRead.of(state)


@router.get("/users/me/quota", summary="Your quota", responses=problem_responses(401, 403, 422))
async def my_quota(services: AppServices, caller: CurrentCaller, uow: ReadUow) -> QuotaRead:
    """What you may use outside projects, and what you use. A token needs any scope of `user`."""
    caller.require_reach("user")
    return QuotaRead.of(await services.projects.quota_of_user(uow, caller, caller.user_id))


@router.get("/users/{user_id}/quota", summary="Quota of a user", responses=problem_responses(401, 404, 422))
async def user_quota(user_id: RowId, services: AppServices, caller: CurrentCaller, uow: ReadUow) -> QuotaRead:
    """Ceilings, and what of them is used."""
    return QuotaRead.of(await services.projects.quota_of_user(uow, caller, user_id))


@router.put(
    "/users/{user_id}/quota",
    summary="Set the quota of a user",
    responses=problem_responses(400, 401, 403, 404, 412, 413, 422),
)
async def set_user_quota(
    user_id: RowId,
    body: QuotaLimits,
    services: AppServices,
    caller: CurrentCaller,
    uow: WriteUow,
    precondition: Precondition,
) -> QuotaRead:
    """Null is the default of the installation."""
    state = await services.projects.set_quota_of_user(
        uow, caller, user_id, body.model_dump(), precondition.of(QuotaRead.of)
    )
    return QuotaRead.of(state)
