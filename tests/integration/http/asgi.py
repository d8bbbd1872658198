"""Conversations with an ASGI application in the same event loop: answers without end, and WebSockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import quote

from starlette.types import ASGIApp, Message
from websockets.frames import Frame
from websockets.protocol import CLIENT, Protocol

from parcela.api.websockets.frames import EXTENSION

PATIENCE_S = 120.0
"""A test that waits longer than this for a message has failed."""


@dataclass
class Conversation:
    """Messages to and from one call of the application."""

    to_app: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)
    from_app: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)

    async def next(self) -> Message:
        """The application's next message."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.from_app.get()


def _scope(kind: str, path: str, headers: Mapping[str, str], query: str) -> dict[str, Any]:
    return {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "http" if kind == "http" else "ws",
        "path": path,
        "raw_path": quote(path).encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "server": ("lab", 80),
        "client": ("192.0.2.7", 5000),
    }


@asynccontextmanager
async def _conversation(app: ASGIApp, scope: dict[str, Any], farewell: Message) -> AsyncIterator[Conversation]:
    talk = Conversation()
    task = asyncio.create_task(_run(app, scope, talk))
    try:
        yield talk
    finally:
        talk.to_app.put_nowait(farewell)
        async with asyncio.timeout(PATIENCE_S):
            await task


async def _run(app: ASGIApp, scope: dict[str, Any], talk: Conversation) -> None:
    await app(scope, talk.to_app.get, talk.from_app.put)


class Stream:
    """An answer that is read while the application still writes it."""

    def __init__(self, talk: Conversation, start: Message) -> None:
        self.status: int = start["status"]
        self.headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}
        self._talk = talk
        self._text = ""

    async def comment(self) -> str:
        """The next comment; events in front of it are skipped."""
        while True:
            while "\n\n" not in self._text:
                self._text += (await self._talk.next())["body"].decode()
            block, self._text = self._text.split("\n\n", 1)
            if block.startswith(":"):
                return block

    async def event(self) -> dict[str, str]:
        """The next server-sent event: its fields; comments are skipped."""
        while True:
            while "\n\n" not in self._text:
                self._text += (await self._talk.next())["body"].decode()
            block, self._text = self._text.split("\n\n", 1)
            lines = [line.split(": ", 1) for line in block.splitlines() if not line.startswith(":")]
            if lines:
                return {key: value for key, value in lines}  # noqa: C416 (pairs of two, not any iterable)

    async def ended(self) -> None:
        """Read on until the application has said everything."""
        async with asyncio.timeout(PATIENCE_S):  # a stream that goes on says now and then that it is there
            while (await self._talk.next()).get("more_body", False):
                pass


@asynccontextmanager
async def open_stream(
    app: ASGIApp, path: str, *, query: str = "", headers: Mapping[str, str] | None = None
) -> AsyncIterator[Stream]:
    """A GET whose answer may have no end; leaving the context hangs up."""
    scope = _scope("http", path, headers or {}, query) | {"method": "GET"}
    async with _conversation(app, scope, {"type": "http.disconnect"}) as talk:
        talk.to_app.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        yield Stream(talk, await talk.next())


class Socket:
    """The client's side of a WebSocket."""

    def __init__(self, talk: Conversation, subprotocol: str | None) -> None:
        self.subprotocol = subprotocol
        self._talk = talk

    async def message(self) -> Message:
        """The next frame, or the closing."""
        return await self._talk.next()

    async def json(self) -> dict[str, Any]:
        """The next text frame, decoded."""
        value: dict[str, Any] = json.loads((await self.message())["text"])
        return value

    async def closed(self) -> tuple[int, str]:
        """(code, reason) of the closing, which must come next."""
        message = await self.message()
        assert message["type"] == "websocket.close", message
        return message["code"], message.get("reason") or ""

    def send(self, data: bytes) -> None:
        """Send a binary frame."""
        self._talk.to_app.put_nowait({"type": "websocket.receive", "bytes": data})


def _take(talk: Conversation, has_room: Callable[[], bool], frames: bytes) -> bool:
    room = has_room()
    if room:
        reader = Protocol(CLIENT, max_size=None)
        reader.receive_data(frames)
        for frame in reader.events_received():
            assert isinstance(frame, Frame)
            text = bytes(frame.data).decode()
            talk.from_app.put_nowait({"type": "websocket.send", "text": text, "framed": True})
    return room


@asynccontextmanager
async def open_socket(
    app: ASGIApp,
    path: str,
    *,
    query: str = "",
    headers: Mapping[str, str] | None = None,
    subprotocols: tuple[str, ...] = (),
    has_room: Callable[[], bool] | None = None,
) -> AsyncIterator[Socket]:
    """An accepted WebSocket (refusals are accepted too, and closed with a code); leaving the context hangs up.

    With ``has_room`` it takes whole frames as our server does, whenever that says so; they are marked ``framed``.
    """
    scope = _scope("websocket", path, headers or {}, query) | {"subprotocols": list(subprotocols)}
    async with _conversation(app, scope, {"type": "websocket.disconnect", "code": 1001}) as talk:
        if has_room is not None:
            scope["extensions"] = {EXTENSION: {"write": partial(_take, talk, has_room)}}
        talk.to_app.put_nowait({"type": "websocket.connect"})
        accepted = await talk.next()
        assert accepted["type"] == "websocket.accept", accepted
        yield Socket(talk, accepted.get("subprotocol"))
