"""Who is behind a WebSocket, and how one is refused."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import anyio
from fastapi import WebSocket, WebSocketDisconnect

from parcela.api.dependencies.caller import client_address
from parcela.core.errors import ErrorKind, ParcelaError, unauthenticated
from parcela.services.access import Caller
from parcela.services.container import Services
from parcela.services.events import StreamLaggedError

PROTOCOL = "parcela"
BEARER = "bearer."
CLOSE_CODES = {
    ErrorKind.UNAUTHENTICATED: 4401,
    ErrorKind.FORBIDDEN: 4403,
    ErrorKind.NOT_FOUND: 4404,
    ErrorKind.CONFLICT: 4409,
    ErrorKind.RATE_LIMITED: 4429,
    ErrorKind.UNAVAILABLE: 4503,
    ErrorKind.UNSUPPORTED: 4501,
}
LAGGED = 4408


async def authenticate(socket: WebSocket, services: Services) -> Caller:
    """The caller behind the handshake: ``Authorization: Bearer`` or, for browsers, a ``bearer.<token>`` subprotocol."""
    scheme, _, token = socket.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        offered = socket.scope.get("subprotocols", [])
        token = next((name.removeprefix(BEARER) for name in offered if name.startswith(BEARER)), "")
    if not token:
        raise unauthenticated("token_missing", "Log in first.")
    return await services.auth.authenticate(token, address=client_address(socket))


async def accept(socket: WebSocket) -> None:
    """Accept, with our subprotocol when it was offered."""
    offered = socket.scope.get("subprotocols", [])
    await socket.accept(subprotocol=PROTOCOL if PROTOCOL in offered else None)


async def refuse(socket: WebSocket, error: ParcelaError) -> None:
    """Accept and close with a code and the reason: browsers show neither for a refused handshake."""
    await accept(socket)
    await socket.close(CLOSE_CODES.get(error.kind, 4400), f"{error.code}: {error.message}"[:120])


async def send_all(socket: WebSocket, frames: AsyncGenerator[str, None]) -> None:
    """Send text frames until the client leaves or, with 4408 and the last number it got, does not keep up."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_until_gone, socket, tasks.cancel_scope)
        try:
            async with aclosing(frames):
                async for frame in frames:
                    await socket.send_text(frame)
        except StreamLaggedError as exc:
            await socket.close(LAGGED, f"too slow; resume with since={exc.last_id}")
        except (WebSocketDisconnect, RuntimeError):
            pass  # it went away while we wrote
        tasks.cancel_scope.cancel()


async def _until_gone(socket: WebSocket, scope: anyio.CancelScope) -> None:
    """Notice a client that leaves; what it says is ignored."""
    try:
        while True:
            await socket.receive_text()
    except (WebSocketDisconnect, KeyError, RuntimeError):
        scope.cancel()
