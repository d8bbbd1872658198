"""Live updates: which page should look again. Pages hold the truth; the stream only says when."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated

from fastapi import Header, Query, Request
from fastapi.responses import StreamingResponse

from parcela.core.errors import ParcelaError
from parcela.repositories.events import EventRecord
from parcela.services.access import Caller
from parcela.services.container import Services
from parcela.services.events.streams import StreamLaggedError
from parcela.web.dependencies.streams import StreamReader
from parcela.web.dependencies.uow import AppServices
from parcela.web.routes import web_router
from parcela.web.site import who

router = web_router()
HEARTBEAT_S = 15.0
SHOWN = ("slice.", "vm.", "operation.", "template.")
"""Events that change what a page shows."""
EventId = Annotated[int | None, Query(ge=0, le=2**63 - 1)]


@router.get("/events/stream")
async def stream_events(
    request: Request,
    services: AppServices,
    caller: StreamReader,
    slice_id: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    since: EventId = None,
    last_event_id: Annotated[int | None, Header(ge=0, le=2**63 - 1)] = None,
) -> StreamingResponse:
    """Events of the reader, or of one slice; ``Last-Event-ID`` (sent by browsers on reconnect) resumes."""
    start = await services.events.beginning(last_event_id if last_event_id is not None else since)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    body = _stream(request, services, caller, start, slice_id)
    return StreamingResponse(body, media_type="text/event-stream", headers=headers)


async def _stream(
    request: Request, services: Services, caller: Caller, start: int, slice_id: int | None
) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    check_at = loop.time() + HEARTBEAT_S
    yield "retry: 2000\n\n"
    try:
        stream = services.events.stream(caller, start, slice_id=slice_id, pause_at=lambda: check_at)
        async with aclosing(stream) as records:
            async for record in records:
                if loop.time() >= check_at:
                    # The session may have ended meanwhile, and a proxy closes what is silent.
                    if await who(request) is None:
                        return
                    check_at = loop.time() + HEARTBEAT_S
                    yield ": still here\n\n"
                if record is not None and record.type.startswith(SHOWN):
                    yield services.hub.once(record, _news)
    except (StreamLaggedError, ParcelaError):
        return  # the browser comes back with the number of its last event, if it still may


def _news(record: EventRecord) -> str:
    facts = {"type": record.type, "slice_id": record.slice_id, "vm_id": record.vm_id}
    return f"id: {record.id}\ndata: {json.dumps(facts)}\n\n"
