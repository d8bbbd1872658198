"""Console WebSockets: binary frames are the console's bytes, both ways.

A text frame from here, `{"keyboard": false, "by": "ana"}`, says that somebody else types now (`by` is empty when it is
not known who); `{"keyboard": true, "by": ""}` that this one does again.
"""

import json
from contextlib import suppress
from typing import Annotated

import anyio
from fastapi import Path, Query, WebSocket, WebSocketDisconnect

from parcela.api.dependencies.streams import take_place
from parcela.api.dependencies.uow import AppServices
from parcela.api.routing import v1_router
from parcela.api.websockets.auth import CLOSE_S, accept, farewell, refuse
from parcela.core.errors import ParcelaError
from parcela.services.compute.consoles.consoles import Console, ConsoleKind, SharedConsole
from parcela.services.container import Services

router = v1_router("/virtual-machines", tags=["consoles"])
ENDED = 4410


@router.websocket("/{vm_id}/console/{kind}")
async def console_socket(
    socket: WebSocket,
    services: AppServices,
    vm_id: Annotated[int, Path(ge=1, le=2**63 - 1)],
    kind: ConsoleKind,
    ticket: Annotated[str, Query(max_length=200)] = "",
) -> None:
    """Needs a ticket from `POST /virtual-machines/{vm_id}/console`; the hypervisor's ports never face the user.

    Who opens it again shares it: all see, the newest types.
    """
    try:
        console = await _open(socket, services, ticket, vm_id, kind)
    except ParcelaError as exc:
        await refuse(socket, exc)
        return
    await accept(socket)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_to_guest, socket, console.stream, tasks.cancel_scope)
            tasks.start_soon(_tell_keyboard, socket, console.stream)
            tasks.start_soon(_until_refused, socket, services, console, tasks.cancel_scope)
            await _to_user(socket, console.stream)
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await console.stream.aclose()


async def _open(socket: WebSocket, services: Services, ticket: str, vm_id: int, kind: ConsoleKind) -> Console:
    """The console of a ticket, for which there is a place."""
    console = await services.consoles.open(ticket, vm_id, kind)
    try:
        take_place(socket, services, console.holder.user_id)
    except ParcelaError:
        await console.stream.aclose()
        raise
    return console


async def _until_refused(socket: WebSocket, services: Services, console: Console, scope: anyio.CancelScope) -> None:
    """Close it when its user may not use it any more."""
    try:
        await services.consoles.until_refused(console)
    except ParcelaError as exc:
        with suppress(WebSocketDisconnect, RuntimeError), anyio.move_on_after(CLOSE_S):
            await socket.close(*farewell(exc))
    scope.cancel()


async def _tell_keyboard(socket: WebSocket, stream: SharedConsole) -> None:
    """Say who types, each time that changes."""
    with suppress(WebSocketDisconnect, RuntimeError):  # the user went away
        while True:
            keyboard = await stream.keyboard_changed()
            await socket.send_text(json.dumps({"keyboard": keyboard.mine, "by": keyboard.by}))


async def _to_user(socket: WebSocket, stream: SharedConsole) -> None:
    try:
        while data := await stream.read():
            await socket.send_bytes(data)
        await socket.close(ENDED, "the console has ended")
    except (WebSocketDisconnect, RuntimeError):
        return  # the user went away


async def _to_guest(socket: WebSocket, stream: SharedConsole, scope: anyio.CancelScope) -> None:
    try:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                break
            data = message.get("bytes")
            await stream.write(data if data is not None else str(message.get("text") or "").encode())
    except (ConnectionError, RuntimeError):
        pass  # the console ended, or the socket did
    scope.cancel()
