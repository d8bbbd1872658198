"""Clients that do what no library would: half requests, trickles, and waiting for the server to close."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.compat.support import Server

PATIENCE_S = 120.0
"""A test that waits longer for the server has failed."""
PAUSE_S = 0.05
WEBSOCKET = (
    "Host: lab\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Version: 13\r\n"
)


class Raw:
    """One TCP connection."""

    def __init__(self, server: Server, source: str = "127.0.0.1", *, receive_buffer: int = 0) -> None:
        place = urlsplit(server.url)
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE_S)
        self.socket.bind((source, 0))
        self.socket.connect((place.hostname, place.port))
        self.received = b""
        self.cut = False
        """The server has not closed, but broken it off."""

    def send(self, text: str | bytes) -> None:
        self.socket.sendall(text.encode() if isinstance(text, str) else text)

    def until_closed(self) -> bytes:
        """Everything until the server ends the connection."""
        try:
            while data := self.socket.recv(65536):
                self.received += data
        except ConnectionError:
            self.cut = True
        return self.received

    def until(self, text: bytes) -> bytes:
        """Everything until a text has come."""
        while text not in self.received:
            data = self.socket.recv(65536)
            assert data, self.received
            self.received += data
        return self.received

    def trickle_until_closed(self, piece: bytes) -> bytes:
        """The same piece again and again, until the server ends the connection."""
        self.socket.settimeout(PAUSE_S)
        try:
            while True:
                try:
                    data = self.socket.recv(65536)
                except TimeoutError:
                    self.socket.sendall(piece)
                    continue
                if not data:
                    return self.received
                self.received += data
        except ConnectionError:
            self.cut = True
            return self.received

    def is_open(self) -> bool:
        """Whether nothing has ended it yet, and nothing waits to be read."""
        self.socket.setblocking(False)
        try:
            return bool(self.socket.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        finally:
            self.socket.settimeout(PATIENCE_S)

    def close(self) -> None:
        self.socket.close()


@contextmanager
def connected(server: Server, source: str = "127.0.0.1", *, receive_buffer: int = 0) -> Iterator[Raw]:
    raw = Raw(server, source, receive_buffer=receive_buffer)
    try:
        yield raw
    finally:
        raw.close()


@contextmanager
def many(server: Server, sources: list[str]) -> Iterator[list[Raw]]:
    """One connection from each address, in this order."""
    opened: list[Raw] = []
    try:
        opened.extend(Raw(server, source) for source in sources)
        yield opened
    finally:
        for raw in opened:
            raw.close()


def get(server: Server, path: str, source: str = "127.0.0.1", headers: str = "") -> bytes:
    """One answer, from an address."""
    with connected(server, source) as raw:
        raw.send(f"GET {path} HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n{headers}\r\n")
        return raw.until_closed()


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def counted(server: Server, admin: str, pattern: str) -> int:
    """A metric of the server, by a pattern of what stands behind ``parcela_``; ``admin`` is a header."""
    found = re.search(rf"^parcela_{pattern} (\S+)$", get(server, "/metrics", headers=admin).decode(), re.MULTILINE)
    return int(float(found[1])) if found else 0
