"""Who is behind a WebSocket, and how one is refused."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import anyio
from fastapi import WebSocket, WebSocketDisconnect

from parcela.api.dependencies.caller import client_address
from parcela.api.dependencies.streams import take_place
from parcela.api.websockets.frames import EXTENSION, TextMessage
from parcela.core.errors import ErrorKind, ParcelaError, unauthenticated
from parcela.repositories.events import EventRecord
from parcela.services.access import Caller
from parcela.services.container import Services
from parcela.services.events.hub import EventHub, Line
from parcela.services.events.streams import StreamLaggedError

PROTOCOL = "parcela"
BEARER = "bearer."
CLOSE_CODES = {
    ErrorKind.UNAUTHENTICATED: 4401,
    ErrorKind.FORBIDDEN: 4403,
    ErrorKind.NOT_FOUND: 4404,
    ErrorKind.CONFLICT: 4409,
    ErrorKind.GONE: 4410,
    ErrorKind.RATE_LIMITED: 4429,
    ErrorKind.UNAVAILABLE: 4503,
    ErrorKind.UNSUPPORTED: 4501,
}
LAGGED = 4408
GRACE_S = 2.0
"""How long one frame may take to a client that is too far behind already."""
CLOSE_S = 20.0
"""How long the reason waits for a client that reads on after all."""


async def authenticate(socket: WebSocket, services: Services) -> Caller:
    """The caller behind the handshake: ``Authorization: Bearer`` or, for browsers, a ``bearer.<token>`` subprotocol.

    Raises:
        ParcelaError: kind ``unauthenticated``, or there is no place for another stream of theirs.
    """
    token = _token_of(socket)
    if not token:
        raise unauthenticated("token_missing", "Log in first.")
    caller = await services.auth.authenticate(token, address=client_address(socket))
    take_place(socket, services, caller.user_id)
    return caller


def brings_token(socket: WebSocket) -> bool:
    """Whether a handshake has a token where ``authenticate`` looks for one."""
    return bool(_token_of(socket))


def _token_of(socket: WebSocket) -> str:
    scheme, _, token = socket.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token
    offered = socket.scope.get("subprotocols", [])
    return next((name.removeprefix(BEARER) for name in offered if name.startswith(BEARER)), "")


async def accept(socket: WebSocket) -> None:
    """Accept, with our subprotocol when it was offered."""
    offered = socket.scope.get("subprotocols", [])
    await socket.accept(subprotocol=PROTOCOL if PROTOCOL in offered else None)


async def refuse(socket: WebSocket, error: ParcelaError) -> None:
    """Accept and close with a code and the reason: browsers show neither for a refused handshake."""
    await accept(socket)
    await socket.close(*farewell(error))


def farewell(error: ParcelaError) -> tuple[int, str]:
    """Code and reason of a close; a reason has at most 123 bytes."""
    return CLOSE_CODES.get(error.kind, 4400), f"{error.code}: {error.message}"[:120]


def _no(frames: bytes) -> bool:
    """For a server that takes no frames."""
    del frames
    return False


class Sender:
    """Writes to one client; one that does not read any more is given up, where plain writing would wait for ever.

    Attributes:
        subscription: the client of the hub; give it to the stream whose events are sent.
    """

    def __init__(
        self, socket: WebSocket, hub: EventHub, message_of: Callable[[EventRecord], TextMessage] | None = None
    ) -> None:
        """Subscribe; nothing is written yet.

        Args:
            socket: an accepted one.
            hub: where events come from.
            message_of: an event as this kind of client gets it. With it the hub writes to the connection itself.
        """
        self._socket = socket
        self._hub = hub
        self._write: Callable[[bytes], bool] = socket.scope.get("extensions", {}).get(EXTENSION, {}).get("write", _no)
        line = None if message_of is None or self._write is _no else Line(message_of, self._write)
        self.subscription = hub.subscribe(self._lag, line)
        self._lagged = False
        self._scope: anyio.CancelScope | None = None

    def _lag(self) -> None:
        """From now on every frame has to be gone within moments, also the one that is being written."""
        self._lagged = True
        if self._scope is not None:
            self._scope.deadline = anyio.current_time() + GRACE_S

    async def send_all(self, messages: AsyncGenerator[TextMessage, None]) -> None:
        """Send messages until the client leaves or, with 4408 and the last number, does not keep up.

        A stream that ends with an error (4401: the session is over) says so, too.
        """
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_until_gone, self._socket, tasks.cancel_scope)
            try:
                async with aclosing(messages):
                    async for message in messages:
                        await self._send(message)
            except StreamLaggedError as exc:
                # One that does not even take this is cut off by the server in the end.
                with anyio.move_on_after(CLOSE_S):
                    await self._socket.close(LAGGED, f"too slow; resume with since={exc.last_id}")
            except ParcelaError as exc:
                with anyio.move_on_after(CLOSE_S):
                    await self._socket.close(*farewell(exc))
            except (WebSocketDisconnect, RuntimeError):
                pass  # it went away while we wrote
            finally:
                self._hub.unsubscribe(self.subscription)
            tasks.cancel_scope.cancel()

    async def _send(self, message: TextMessage) -> None:
        if self._write(message.frame):
            return
        deadline = anyio.current_time() + GRACE_S if self._lagged else float("inf")
        with anyio.CancelScope(deadline=deadline) as scope:
            self._scope = scope
            await self._socket.send_text(message.text)
        self._scope = None
        if scope.cancelled_caught:
            raise StreamLaggedError(self.subscription.last)


async def _until_gone(socket: WebSocket, scope: anyio.CancelScope) -> None:
    """Notice a client that leaves; what it says is ignored."""
    try:
        while True:
            await socket.receive_text()
    except (WebSocketDisconnect, KeyError, RuntimeError):
        scope.cancel()
