"""Personal tokens of the caller."""

from fastapi import Response

from parcela.api.dependencies.caller import CurrentCaller
from parcela.api.dependencies.paging import Paging
from parcela.api.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.api.errors import problem_responses
from parcela.api.routing import v1_router
from parcela.api.schemas.common import PageRead
from parcela.api.schemas.flavours import RowId
from parcela.api.schemas.tokens import PersonalTokenCreate, PersonalTokenCreated, PersonalTokenRead

router = v1_router("/tokens", tags=["tokens"])


@router.get("/", responses=problem_responses(401, 403, 422))
async def list_tokens(
    caller: CurrentCaller, paging: Paging, services: AppServices, uow: ReadUow
) -> PageRead[PersonalTokenRead]:
    """List your personal tokens. Sortable by id, name, created_at."""
    page = await services.auth.tokens(uow, caller, paging)
    items = [PersonalTokenRead.model_validate(dict(row)) for row in page.rows]
    return PageRead[PersonalTokenRead](items=items, next_cursor=page.next_cursor)


@router.post("/", status_code=201, responses=problem_responses(400, 401, 403, 413, 422))
async def create_token(
    body: PersonalTokenCreate, caller: CurrentCaller, services: AppServices, uow: WriteUow, response: Response
) -> PersonalTokenCreated:
    """Make a personal token; its secret is shown this once. Needs a login, not another personal token."""
    made = await services.auth.create_token(uow, caller, **body.model_dump())
    response.headers.update({"Location": f"/api/v1/tokens/{made.id}", "Cache-Control": "no-store"})
    return PersonalTokenCreated.model_validate(made)


@router.delete("/{token_id}", status_code=204, responses=problem_responses(401, 403, 404, 422))
async def revoke_token(token_id: RowId, caller: CurrentCaller, services: AppServices, uow: WriteUow) -> None:
    """Revoke one of your personal tokens."""
    await services.auth.revoke_token(uow, caller, token_id)
