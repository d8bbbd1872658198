"""A real HTTP server, in a thread, that receives webhooks and answers as it is told."""

import ssl
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATIENCE_S = 120.0


@dataclass(frozen=True)
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """What came, and what will be answered (200 when nothing is said)."""

    port: int = 0
    requests: list[Received] = field(default_factory=list)
    answers: deque[int] = field(default_factory=deque)
    location: str = ""
    hold: threading.Event | None = None
    changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def numbers(self) -> list[int]:
        """Numbers of the events that came, in order."""
        return [int(request.headers["x-parcela-event-id"]) for request in self.requests]

    def wait_for(self, count: int) -> None:
        """Block (in a thread) until so many requests have come."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.requests) >= count, timeout=PATIENCE_S)

    def take(self, request: Received) -> int:
        with self.changed:
            self.requests.append(request)
            self.changed.notify_all()
        if self.hold is not None:
            self.hold.wait(PATIENCE_S)
        return self.answers.popleft() if self.answers else 200


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Listen on a free port of loopback, with TLS or without."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        """Hands requests to the receiver."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = receiver.take(Received(self.path, headers, body))
            self.send_response(status)
            if receiver.location:
                self.send_header("Location", receiver.location)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.port = server.server_address[1]
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        if receiver.hold is not None:
            receiver.hold.set()
        server.shutdown()
        thread.join()
        server.server_close()
