"""Roles and permissions."""

from functools import partial
from typing import Annotated

from fastapi import Depends, Response

from parcela.api.dependencies.caller import CurrentCaller, Requires
from parcela.api.dependencies.idempotency import Idempotent
from parcela.api.dependencies.paging import Paging
from parcela.api.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.api.errors import problem_responses
from parcela.api.etags import Precondition
from parcela.api.routing import v1_router
from parcela.api.schemas.common import PageRead
from parcela.api.schemas.flavours import RowId
from parcela.api.schemas.roles import PermissionsRead, RoleCreate, RoleRead, RoleUpdate
from parcela.core.permissions import Permission
from parcela.core.scopes import all_scopes
from parcela.services.access import Caller
from parcela.services.identity.roles import RoleChanges

router = v1_router(tags=["roles"])
RoleReader = Annotated[Caller, Depends(Requires(Permission.ROLE_READ))]
RoleWriter = Annotated[Caller, Depends(Requires(Permission.ROLE_WRITE))]


@router.get("/permissions", responses=problem_responses(401))
async def list_permissions(_caller: CurrentCaller) -> PermissionsRead:
    """List every permission that roles and token scopes can hold."""
    items = [permission.value for permission in Permission]
    return PermissionsRead(items=items, scopes=list(all_scopes()))


@router.get("/roles/", responses=problem_responses(401, 403, 422))
async def list_roles(caller: RoleReader, paging: Paging, services: AppServices, uow: ReadUow) -> PageRead[RoleRead]:
    """List roles. Sortable by id, name, created_at."""
    page = await services.roles.page(uow, caller, paging)
    items = [RoleRead.model_validate(row) for row in page.rows]
    return PageRead[RoleRead](items=items, next_cursor=page.next_cursor)


@router.post(
    "/roles/", status_code=201, response_model=RoleRead, responses=problem_responses(400, 401, 403, 409, 413, 422)
)
async def create_role(
    body: RoleCreate, caller: RoleWriter, services: AppServices, uow: WriteUow, idempotent: Idempotent
) -> Response:
    """Make a role of permissions that you hold."""
    if replay := await idempotent.replay(partial(services.roles.check_create, caller, body.permissions)):
        return replay
    role = await services.roles.create(uow, caller, **body.model_dump())
    return await idempotent.keep(201, RoleRead.model_validate(role), f"/api/v1/roles/{role.id}")


@router.get("/roles/{role_id}", responses=problem_responses(401, 403, 404, 422))
async def read_role(role_id: RowId, caller: RoleReader, services: AppServices, uow: ReadUow) -> RoleRead:
    """Show a role."""
    return RoleRead.model_validate(await services.roles.get(uow, caller, role_id))


@router.patch("/roles/{role_id}", responses=problem_responses(400, 401, 403, 404, 409, 412, 413, 422))
async def update_role(
    role_id: RowId,
    body: RoleUpdate,
    caller: RoleWriter,
    services: AppServices,
    uow: WriteUow,
    precondition: Precondition,
) -> RoleRead:
    """Change a role; who has it has the new permissions from the next request on. Built-in roles stay as they are."""
    check = precondition.of(RoleRead.model_validate)
    changed = await services.roles.update(uow, caller, role_id, RoleChanges(**body.model_dump()), check)
    return RoleRead.model_validate(changed)


@router.delete("/roles/{role_id}", status_code=204, responses=problem_responses(401, 403, 404, 409, 412, 422))
async def delete_role(
    role_id: RowId, caller: RoleWriter, services: AppServices, uow: WriteUow, precondition: Precondition
) -> None:
    """Remove a role that nobody has."""
    await services.roles.delete(uow, caller, role_id, precondition.of(RoleRead.model_validate))
