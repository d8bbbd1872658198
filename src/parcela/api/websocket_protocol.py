"""Our WebSocket connections: uvicorn's, which also take frames that were built for many of them.

An ASGI message wakes a task, passes the layers of the application and is framed, for every client again. Where
thousands of clients get the same event, that is several times the price of writing the bytes
(docs/decisions/0021-frames-for-many.md). So a connection offers an extension of its own in the ASGI scope. Under any
other server the extension is missing, and messages go the usual way.
"""

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from parcela.api.frames import EXTENSION


class FrameProtocol(WebSocketsSansIOProtocol):
    """One WebSocket; it is named in uvicorn's setting ``ws``."""

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
