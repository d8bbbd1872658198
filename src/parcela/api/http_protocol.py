"""Our HTTP connections: uvicorn's, which also count themselves, keep time and have an end.

uvicorn waits for ever: for the end of headers, for bodies, for clients that do not read. It takes headers of any size,
and as many pipelined requests as a packet holds. Its public setting for this is the class of the protocol; what of the
class is not public, and what it buys, is told in docs/decisions/0033-connections-have-limits.md.
"""

from asyncio import AbstractEventLoop
from collections.abc import Mapping
from typing import Any, cast

from uvicorn import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.utils import get_remote_addr
from uvicorn.server import ServerState

from parcela.api.pending_output import pending_bytes
from parcela.api.traffic import TRAFFIC
from parcela.api.turns import TURNS, Turns
from parcela.services.traffic.connections import AT_WORK, UNFINISHED, WAITING, Connection
from parcela.services.traffic.pace import WriteProgress
from parcela.services.traffic.traffic import Traffic

MAX_HEAD_BYTES = 65536
MAX_HEADERS = 128
MAX_PIPELINED = 64
GATHERED_BYTES = 4096
"""Pieces of a body wake the application when they are so much together, or when it is whole."""
DRAIN_S = 5.0
"""How long the rest of a body may take that has been answered already."""


def _answer(status: str, code: str, detail: str, *headers: str) -> bytes:
    body = (
        f'{{"type":"urn:parcela:problem:{code}","title":"{status[4:]}","status":{status[:3]},"detail":"{detail}",'
        f'"code":"{code}","instance":"","problems":[]}}'
    )
    head = (
        f"HTTP/1.1 {status}",
        "content-type: application/problem+json",
        f"content-length: {len(body)}",
        "connection: close",
        *headers,
    )
    return ("\r\n".join(head) + "\r\n\r\n" + body).encode()


RETRY = "retry-after: 10"
REFUSALS: Mapping[str, bytes] = {
    "address": _answer("503 Unavailable", "too_many_connections", "Your address has too many connections open.", RETRY),
    "total": _answer("503 Unavailable", "server_full", "All connections of this server are taken.", RETRY),
}
EVICTED = _answer("503 Unavailable", "server_full", "The request came too slowly for the load of this server.", RETRY)
HEAD_LATE = _answer("408 Request Timeout", "headers_too_slow", "The headers of the request came too slowly.")
BODY_LATE = _answer("408 Request Timeout", "body_too_slow", "The body of the request came too slowly.")
HEAD_LARGE = _answer(
    "431 Request Header Fields Too Large", "headers_too_large", f"A request may have {MAX_HEADERS} headers in 64 KiB."
)


class LimitedHttpProtocol(HttpToolsProtocol):
    """One connection; it is named in uvicorn's setting ``http``."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        """Find the counters in the state that the application's lifespan gave."""
        super().__init__(config, server_state, app_state, _loop)
        self.traffic: Traffic = app_state[TRAFFIC]
        self.turns: Turns = app_state[TURNS]
        self.later: Any = None  # the application, while the request has not begun
        self.has_turn = False
        self.address = ""
        self.since = self.loop.time()
        self.writing = WriteProgress()
        self.ended = False  # by us; nothing of it is read any more
        self.is_new = True  # it has sent no headers yet
        self.in_body = False
        self.head_began: float | None = None
        self.unparsed = 0  # bytes since something of a request came to its end
        self.window_began = 0.0
        self.moved = 0  # bytes of the body in this period

    # ---- what uvicorn's loop calls

    def connection_made(self, transport: Any) -> None:
        """Let it in, or tell why not."""
        remote = get_remote_addr(transport)
        refused = self.traffic.connections.enter(self, remote[0] if remote else "")
        if refused:
            self.ended, self.transport = True, transport
            transport.write(REFUSALS[refused])
            transport.close()
            return
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self.traffic.connections.leave(self)
        self.later = None
        self._give_turn_back()
        if self.flow is not None:
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, within bounds: the parser itself keeps headers of any length."""
        if self.ended:
            return
        self.unparsed += len(data)
        super().data_received(data)
        if self.later is not None:
            self.turns.join(self, self.loop)
        if not self.unparsed:
            return  # whole requests, or a piece of a body
        if self.head_began is None and not self.in_body:
            self.head_began = self.since if self.is_new else self.loop.time()
        # Fields behind a chunked body ("trailers") are headers too.
        too_many = self.headers and len(self.headers) > MAX_HEADERS
        if (self.unparsed > MAX_HEAD_BYTES or too_many) and not self.ended:
            self._end(HEAD_LARGE)

    def handle_websocket_upgrade(self) -> None:
        """From now on it is counted as a WebSocket."""
        super().handle_websocket_upgrade()
        self.ended = True  # nothing comes here any more
        self.traffic.connections.hand_over(self, cast("Connection", self.transport.get_protocol()))

    def send_400_response(self, msg: str) -> None:
        """Not in the middle of another answer, and not after the end."""
        if not self.ended:
            self._end(_answer("400 Bad Request", "bad_request", msg))

    # ---- what the parser calls

    def on_headers_complete(self) -> None:
        """The request begins, and its body is to come."""
        self.unparsed = self.moved = 0
        self.head_began = None
        self.in_body = True
        self.window_began = 0.0
        if len(self.pipeline) >= MAX_PIPELINED or len(self.headers) > MAX_HEADERS:
            self._end(b"" if self.pipeline else HEAD_LARGE)
            raise ConnectionAbortedError  # the parser stops at this
        super().on_headers_complete()
        if self.is_new:
            self.is_new = bool(self.parser.should_upgrade() and self._should_upgrade())  # then there is no cycle

    def on_body(self, body: bytes) -> None:
        """Keep it, and wake the application when it is worth it; else as uvicorn does."""
        self.unparsed = 0
        self.moved += len(body)
        cycle = self.cycle
        if (self.parser.should_upgrade() and self._should_upgrade()) or cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        if len(cycle.body) >= GATHERED_BYTES:
            cycle.message_event.set()
            self._begin_now()

    def on_message_complete(self) -> None:
        """The whole request is here."""
        self.unparsed = 0
        self.in_body = False
        super().on_message_complete()
        if self.later is not None:
            self._begin_now()
        if self.has_turn:
            self._give_turn_back()

    def on_response_complete(self) -> None:
        """It waits for the next request, or for the rest of the body that nobody needs."""
        self.since = 0.0
        if self.head_began is not None:
            self.head_began = self.loop.time()
        if self.has_turn:
            self._give_turn_back()
        super().on_response_complete()
        if self.later is not None:
            self.turns.join(self, self.loop)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Not before there is something of its body, or its turn has come; see ``turns.py``."""
        is_slow = self.in_body and cycle is self.cycle and not cycle.waiting_for_100_continue
        if is_slow and cycle.scope["method"] != "GET":
            self.later = app
        else:
            super()._start_asgi_task(cycle, app)

    def begin(self) -> None:
        """Its turn has come, before its body has."""
        self.has_turn = True
        self._begin_now()

    def _begin_now(self) -> None:
        """Let the application begin, if it waits for that."""
        if self.later is not None:
            self.turns.leave(self)
            app, self.later = self.later, None
            super()._start_asgi_task(self.cycle, app)

    def _give_turn_back(self) -> None:
        """The body is there, or is needed no more."""
        self.turns.leave(self)
        if self.has_turn:
            self.has_turn = False
            self.turns.end(self.loop)

    # ---- what the table of connections calls

    def worth(self) -> int:
        """What would be lost with it."""
        if not self._answering():
            return WAITING
        return UNFINISHED if self.in_body else AT_WORK

    def evict(self) -> None:
        """Close it for another one."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # it may never read that, and is not looked after any more
        self._end(EVICTED if self._answering() else b"")

    def check(self, now: float) -> str:
        """Close it when it is too slow."""
        pace = self.traffic.pace
        if self.writing.is_stalled(now, pending_bytes(self.transport), pace):
            self.ended = True
            self.transport.abort()
            return "write"
        if self.ended or self.transport.is_closing():
            return ""
        if not self._answering():
            return self._check_waiting(now)
        self.window_began = self.window_began or now
        if not self.in_body or now - self.window_began < pace.body_s:
            return ""
        too_slow = self.moved < pace.body_min_bytes_per_s * pace.body_s
        if too_slow and not self.flow.read_paused:
            self._end(BODY_LATE)
            return "body"
        self.window_began, self.moved = now, 0
        return ""

    def _check_waiting(self, now: float) -> str:
        """It owes a request, or the rest of a body."""
        pace = self.traffic.pace
        self.since = self.since or now
        if self.in_body:
            reason, answer, left_s = "drain", b"", self.since + DRAIN_S - now
        elif self.head_began is not None:
            reason, answer, left_s = "header", HEAD_LATE, self.head_began + pace.header_s - now
        elif self.is_new:
            reason, answer, left_s = "header", b"", self.since + pace.header_s - now
        else:
            reason, answer, left_s = "keep_alive", b"", self.since + pace.keep_alive_s - now
        if left_s > 0:
            return ""
        self._end(answer)
        return reason

    def _answering(self) -> bool:
        """Whether the application has something to answer, or a request waits behind another."""
        return bool(self.pipeline) or not (self.is_new or self.cycle.response_complete)

    def _end(self, answer: bytes) -> None:
        """Close it, with an answer where none has begun."""
        self.ended, self.later = True, None
        self._give_turn_back()
        if self.transport.is_closing():
            return
        if self._answering():
            if self.cycle.response_started or self.pipeline or not answer:
                self.transport.abort()
                return
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if answer:
            self.transport.write(answer)
        self.transport.close()
