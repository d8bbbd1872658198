"""Who is behind a WebSocket, and how one is refused."""

from fastapi import WebSocket

from parcela.api.dependencies.caller import client_address
from parcela.core.errors import ErrorKind, ParcelaError, unauthenticated
from parcela.services.access import Caller
from parcela.services.container import Services

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
