"""Events: as a list, as server-sent events and over a WebSocket, all with the same numbers."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated

import structlog
from fastapi import Header, Query, WebSocket
from fastapi.responses import StreamingResponse
from pydantic import Field

from parcela.api.dependencies.caller import CurrentCaller
from parcela.api.dependencies.streams import StreamCaller
from parcela.api.dependencies.uow import AppServices, ReadUow
from parcela.api.errors import problem_responses
from parcela.api.routing import v1_router
from parcela.api.schemas.operations import EventList, EventRead
from parcela.api.websockets.auth import Sender, accept, authenticate, refuse
from parcela.api.websockets.frames import TextMessage
from parcela.core.errors import ParcelaError
from parcela.repositories.events import EventRecord
from parcela.services.access import Caller
from parcela.services.catalogue.rules import TEXT_PATTERN
from parcela.services.container import Services
from parcela.services.events.streams import StreamLaggedError

log = structlog.get_logger(__name__)
router = v1_router("/events", tags=["events"])
Since = Annotated[int | None, Query(ge=0, le=2**63 - 1, description="Number of the last event you have")]
SliceFilter = Annotated[int | None, Query(ge=1, le=2**63 - 1, description="Only events of this slice")]

TypeFilter = Annotated[str, Field(max_length=64, pattern=TEXT_PATTERN)]


@router.get("", summary="List events", responses=problem_responses(401, 410, 422))
async def list_events(
    services: AppServices,
    caller: CurrentCaller,
    uow: ReadUow,
    since: Since = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    slice_id: SliceFilter = None,
    type: Annotated[list[TypeFilter] | None, Query(max_length=20)] = None,  # noqa: A002 (the name users know)
) -> EventList:
    """Events after `since`, oldest first; own ones, all of them with `event:read_all`."""
    after_id = since or 0
    await services.events.require_kept(uow, after_id)
    records = await services.events.since(
        uow, caller, after_id, limit=limit, slice_id=slice_id, types=tuple(type or ())
    )
    items = [EventRead.model_validate(record) for record in records]
    return EventList(items=items, last_id=items[-1].id if items else after_id)


def _message(record: EventRecord) -> TextMessage:
    return TextMessage.of(EventRead.model_validate(record).model_dump_json())


async def _sse(services: Services, caller: Caller, since: int, slice_id: int | None) -> AsyncIterator[str]:
    yield ": hello\n\n"
    events, hub = services.events, services.hub
    try:
        stream = events.stream(caller, since, slice_id=slice_id, pause_at=events.silence)
        async with aclosing(stream) as records:
            async for record in records:
                if record is None:
                    yield ": still here\n\n"
                else:
                    data = hub.once(record, _message).text
                    yield f"id: {record.id}\nevent: {record.type}\ndata: {data}\n\n"
    except StreamLaggedError as exc:
        yield f"event: lagged\ndata: {exc.last_id}\n\n"
    except ParcelaError as exc:
        log.info("events.stream_ended", code=exc.code)  # the client comes back, and is told why by the status


@router.get(
    "/stream",
    summary="Stream events (server-sent events)",
    response_class=StreamingResponse,
    responses=problem_responses(401, 410, 422, 429, 503)
    | {200: {"description": "Events", "content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def stream_events(
    services: AppServices,
    caller: StreamCaller,
    since: Since = None,
    slice_id: SliceFilter = None,
    last_event_id: Annotated[int | None, Header(ge=0, le=2**63 - 1)] = None,
) -> StreamingResponse:
    """Without end. `Last-Event-ID` (sent by browsers on reconnect) or `since` resumes; without them: from now on."""
    start = await services.events.beginning(last_event_id if last_event_id is not None else since)
    return StreamingResponse(
        _sse(services, caller, start, slice_id),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.websocket("/ws")
async def events_socket(
    socket: WebSocket, services: AppServices, since: Since = None, slice_id: SliceFilter = None
) -> None:
    """One JSON text frame per event. Closed with 4408 when the client does not keep up: resume with `since`."""
    try:
        caller = await authenticate(socket, services)
        start = await services.events.beginning(since)
    except ParcelaError as exc:
        await refuse(socket, exc)
        return
    await accept(socket)
    sender = Sender(socket, services.hub, _message)
    records = services.events.stream(caller, start, slice_id=slice_id, subscription=sender.subscription)
    await sender.send_all(_messages(services, records))


async def _messages(
    services: Services, records: AsyncGenerator[EventRecord | None, None]
) -> AsyncGenerator[TextMessage, None]:
    async with aclosing(records):
        async for record in records:
            if record is not None:
                yield services.hub.once(record, _message)
