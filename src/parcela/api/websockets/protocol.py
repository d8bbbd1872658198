"""Our WebSocket connections: uvicorn's, which also take frames that were built for many of them.

An ASGI message wakes a task, passes the layers of the application and is framed, for every client again. Where
thousands of clients get the same event, that is several times the price of writing the bytes
(docs/decisions/0021-frames-for-many.md). So a connection offers an extension of its own in the ASGI scope. Under any
other server the extension is missing, and messages go the usual way.

They are counted with the HTTP connections they were, and cut off when their client takes nothing any more: a ping that
is not answered closes a connection only after what was written before it has gone out, which may never be.
"""

import asyncio
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from parcela.api.pending_output import pending_bytes
from parcela.api.traffic import TRAFFIC
from parcela.api.websockets.frames import EXTENSION
from parcela.services.traffic.connections import AT_WORK
from parcela.services.traffic.pace import WriteProgress
from parcela.services.traffic.traffic import Traffic


class FrameProtocol(WebSocketsSansIOProtocol):
    """One WebSocket; it is named in uvicorn's setting ``ws``."""

    address = ""
    since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It was an HTTP connection before, and is counted already."""
        super().connection_made(transport)
        self.traffic: Traffic | None = self.app_state.get(TRAFFIC)
        self.writing = WriteProgress()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        super().connection_lost(exc)
        if self.traffic is not None:
            self.traffic.connections.leave(self)

    def handle_connect(self, event: Request) -> None:
        """Offer the extension to the application, whose task begins after this."""
        super().handle_connect(event)
        scope: dict[str, Any] | None = getattr(self, "scope", None)  # there is none for a handshake that was refused
        if scope is not None:
            scope["extensions"][EXTENSION] = {"write": self.write_frames}

    def write_frames(self, frames: bytes) -> bool:
        """Write whole frames without waiting.

        Returns:
            False, and nothing is written, when the connection is not open, or when the client has not yet read enough
            of what it was sent before. Then the usual way is right: it waits, or finds out.
        """
        if not self.writable.is_set() or self.close_sent or not self.handshake_complete:
            return False
        if self.transport.is_closing():
            return False
        self.transport.write(frames)
        return True

    def worth(self) -> int:
        """Somebody works with it; places for it are counted elsewhere (``services/traffic/streams.py``)."""
        return AT_WORK

    def evict(self) -> None:
        """Cut it off."""
        self.transport.abort()

    def check(self, now: float) -> str:
        """Cut it off when its client takes nothing; silent ones are found by uvicorn's pings."""
        if self.traffic is None or not self.writing.is_stalled(now, pending_bytes(self.transport), self.traffic.pace):
            return ""
        self.transport.abort()
        return "write"
