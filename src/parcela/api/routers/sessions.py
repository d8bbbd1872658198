"""Sessions of the caller."""

from typing import Annotated

from fastapi import Path

from parcela.api.dependencies.caller import CurrentCaller
from parcela.api.dependencies.paging import Paging
from parcela.api.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.api.errors import problem_responses
from parcela.api.routing import v1_router
from parcela.api.schemas.common import PageRead
from parcela.api.schemas.second_factor import SessionRead

router = v1_router("/sessions", tags=["auth"])
SessionId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="As the list gives it")]


@router.get("/", responses=problem_responses(401, 403, 422))
async def list_sessions(
    caller: CurrentCaller, paging: Paging, services: AppServices, uow: ReadUow
) -> PageRead[SessionRead]:
    """List your open sessions: every login that has not ended. Sortable by id (the order of their last renewals)."""
    page = await services.sessions.page(uow, caller, paging)
    items = [SessionRead.model_validate(dict(row)) for row in page.rows]
    return PageRead[SessionRead](items=items, next_cursor=page.next_cursor)


@router.delete("/", status_code=204, responses=problem_responses(401, 403))
async def end_other_sessions(caller: CurrentCaller, services: AppServices, uow: WriteUow) -> None:
    """End all your sessions but this one. Personal tokens stay."""
    await services.sessions.end_others(uow, caller)


@router.delete("/{session_id}", status_code=204, responses=problem_responses(401, 403, 404, 422))
async def end_session(session_id: SessionId, caller: CurrentCaller, services: AppServices, uow: WriteUow) -> None:
    """End one of your sessions; its tokens are worth nothing from now on."""
    await services.sessions.end(uow, caller, session_id)
