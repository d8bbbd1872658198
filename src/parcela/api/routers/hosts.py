"""Hosts: ``/hosts/``."""

from functools import partial
from typing import Annotated

from fastapi import Depends, Response

from parcela.api.dependencies.caller import Requires
from parcela.api.dependencies.idempotency import Idempotent
from parcela.api.dependencies.paging import Paging
from parcela.api.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.api.errors import problem_responses
from parcela.api.etags import Precondition
from parcela.api.routing import v1_router
from parcela.api.schemas.common import PageRead
from parcela.api.schemas.flavours import RowId, RowIdFilter
from parcela.api.schemas.hosts import HostCreate, HostRead, HostUpdate
from parcela.core.lifecycle import HostState
from parcela.core.permissions import Permission
from parcela.services.access import Caller

router = v1_router("/hosts", tags=["hosts"])
Reader = Annotated[Caller, Depends(Requires(Permission.HOST_READ))]
Writer = Annotated[Caller, Depends(Requires(Permission.HOST_WRITE))]


@router.get("/", responses=problem_responses(401, 403, 422))
async def list_hosts(
    services: AppServices,
    caller: Reader,
    uow: ReadUow,
    paging: Paging,
    zone_id: RowIdFilter = None,
    state: HostState | None = None,
) -> PageRead[HostRead]:
    """List hosts; sorted by id, name or created_at."""
    page = await services.hosts.page(uow, caller, paging, zone_id=zone_id, state=state)
    return PageRead(items=[HostRead(**row) for row in page.rows], next_cursor=page.next_cursor)


@router.post("/", status_code=201, response_model=HostRead, responses=problem_responses(400, 401, 403, 409, 413, 422))
async def create_host(
    body: HostCreate, services: AppServices, caller: Writer, uow: WriteUow, idem: Idempotent
) -> Response:
    """Add a host to a zone."""
    if replay := await idem.replay(partial(caller.require, Permission.HOST_WRITE)):
        return replay
    host = HostRead(**await services.hosts.create(uow, caller, body.model_dump(mode="json")))
    return await idem.keep(201, host, f"/api/v1/hosts/{host.id}")


@router.get("/{host_id}", responses=problem_responses(401, 403, 404, 422))
async def get_host(host_id: RowId, services: AppServices, caller: Reader, uow: ReadUow) -> HostRead:
    """Read a host."""
    return HostRead(**await services.hosts.get(uow, caller, host_id))


@router.patch("/{host_id}", responses=problem_responses(400, 401, 403, 404, 409, 412, 413, 422))
async def update_host(
    host_id: RowId, body: HostUpdate, services: AppServices, caller: Writer, uow: WriteUow, precondition: Precondition
) -> HostRead:
    """Change state or capacity; less than what is reserved is a conflict."""
    changes = body.model_dump(mode="json", exclude_unset=True)
    row = await services.hosts.update(uow, caller, host_id, changes, precondition.of(HostRead.model_validate))
    return HostRead(**row)


@router.delete("/{host_id}", status_code=204, responses=problem_responses(401, 403, 404, 409, 412, 422))
async def delete_host(
    host_id: RowId, services: AppServices, caller: Writer, uow: WriteUow, precondition: Precondition
) -> None:
    """Remove a host without VMs; `problems` lists those that are on it."""
    await services.hosts.delete(uow, caller, host_id, precondition.of(HostRead.model_validate))
