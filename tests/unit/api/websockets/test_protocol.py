"""Our WebSocket connection takes whole frames when it has room, and nothing otherwise."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, Protocol

from parcela.api.websockets.frames import EXTENSION, TextMessage
from parcela.api.websockets.protocol import FrameProtocol

pytestmark = pytest.mark.anyio
HELLO = (
    b"GET /x HTTP/1.1\r\nHost: lab\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True


@dataclass
class Session:
    """One accepted WebSocket."""

    protocol: FrameProtocol
    wire: Wire
    write: Callable[[bytes], bool]
    ended: asyncio.Event = field(default_factory=asyncio.Event)


@pytest.fixture
async def session(anyio_backend: str) -> AsyncIterator[Session]:
    accepted: asyncio.Future[Callable[[bytes], bool]] = asyncio.get_running_loop().create_future()

    async def app(
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            accepted.set_result(scope["extensions"][EXTENSION]["write"])
            while (await receive())["type"] != "websocket.disconnect":
                pass

    config = Config(app, ws=FrameProtocol, ws_per_message_deflate=False, ws_ping_interval=None, log_config=None)
    config.load()
    state = ServerState()
    wire, protocol = Wire(), FrameProtocol(config, state, {})
    protocol.connection_made(wire)
    protocol.data_received(HELLO)
    write = await accepted
    assert wire.written.startswith(b"HTTP/1.1 101 ")
    wire.written = b""
    yield Session(protocol, wire, write)
    if not protocol.disconnected:
        protocol.connection_lost(None)
    await asyncio.gather(*state.tasks)


def texts(data: bytes) -> list[str]:
    """What a client reads, by another implementation of the format."""
    reader = Protocol(CLIENT, max_size=None)
    reader.receive_data(data)
    frames = [event for event in reader.events_received() if isinstance(event, Frame)]
    assert {frame.opcode for frame in frames} == {Opcode.TEXT}
    return [bytes(frame.data).decode() for frame in frames]


async def test_frames_of_every_size(session: Session) -> None:
    sent = ["", "ñ" * 62, "x" * 125, "x" * 126, "x" * 65_535, "x" * 65_536]
    for text in sent:
        assert session.write(TextMessage.of(text).frame)
    assert texts(session.wire.written) == sent


async def test_nothing_is_written_where_there_is_no_room(session: Session) -> None:
    session.protocol.pause_writing()
    assert not session.write(b"x")
    session.protocol.resume_writing()
    assert session.write(b"y")
    assert session.wire.written == b"y"


async def test_nothing_is_written_to_one_that_has_gone(session: Session) -> None:
    session.protocol.connection_lost(None)
    assert not session.write(b"x")
    assert session.wire.written == b""


async def test_nothing_is_written_after_a_farewell(session: Session) -> None:
    session.protocol.data_received(CLOSE)
    farewell = session.wire.written
    assert not session.write(b"x")
    assert session.wire.written == farewell


async def test_a_handshake_that_is_refused_offers_nothing() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    config = Config(app, ws=FrameProtocol, log_config=None)
    config.load()
    wire, protocol = Wire(), FrameProtocol(config, ServerState(), {})
    protocol.connection_made(wire)
    protocol.data_received(HELLO.replace(b"Version: 13", b"Version: 1"))
    assert wire.written.startswith(b"HTTP/1.1 400 ")
    assert not hasattr(protocol, "scope")
    protocol.connection_lost(None)
