"""Log lines: structlog, for people on a terminal or as JSON."""

import logging
import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from json.encoder import encode_basestring_ascii
from typing import Any, NamedTuple

import structlog

from parcela.core.origin import current_origin

ACCESS = "parcela.access"
"""Logger of the lines about requests."""
_TICKET = re.compile(r"ticket=[^\s&\"\]]+")


_QUOTED = re.compile("[ \\t=\\r\\n\"']")
"""What makes structlog's console quote a text."""


class RequestEnd(NamedTuple):
    """What the line at the end of a request says; give it to ``log_end``.

    Every request has this line. On the usual way through structlog, the standard library's logger and the renderer it
    cost as much as all the rest of a kept answer, so it is written directly. A test compares it with the usual way.
    """

    duration_ms: float
    method: str
    path: str
    route: str
    status: int
    user_id: int | None
    token_id: int | None
    request_id: str

    def as_json(self, timestamp: str) -> str:
        """The line as JSON."""
        quoted = encode_basestring_ascii
        user_id, token_id = ("null" if one is None else one for one in (self.user_id, self.token_id))
        return (
            f'{{"duration_ms": {self.duration_ms}, "method": {quoted(self.method)}, "path": {quoted(self.path)}, '
            f'"route": {quoted(self.route)}, "status": {self.status}, "user_id": {user_id}, "token_id": {token_id}, '
            f'"event": "request.end", "request_id": "{self.request_id}", "level": "info", "timestamp": "{timestamp}"}}'
        )

    def as_text(self, timestamp: str) -> str:
        """The line for people."""
        method, path = (repr(text) if _QUOTED.search(text) else text for text in (self.method, self.path))
        return (
            f"{timestamp} [info     ] {'request.end':30} duration_ms={self.duration_ms} method={method} path={path} "
            f"request_id={self.request_id} route={self.route} status={self.status} token_id={self.token_id} "
            f"user_id={self.user_id}"
        )


class _EndRecord(logging.LogRecord):
    """A record without what the line does not show: the usual one finds out thread, process and file every time."""

    def __init__(self, end: RequestEnd) -> None:
        self.__dict__.update(_BLANK)
        self.msg = end
        self.created = time.time()
        self.msecs = self.created % 1 * 1000


_BLANK = vars(logging.LogRecord(ACCESS, logging.INFO, __file__, 0, "", None, None))


def log_end(access: logging.Logger, end: RequestEnd) -> None:
    """Write the line; ``access`` is the logger ``ACCESS``, and must be enabled for the level info."""
    access.handle(_EndRecord(end))


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Structlog's formatter, and its short cut for the ends of requests."""

    def __init__(self, write_end: Callable[[RequestEnd, str], str], **options: Any) -> None:
        super().__init__(**options)
        self._write_end = write_end

    def format(self, record: logging.LogRecord) -> str:
        if isinstance(record.msg, RequestEnd):
            return self._write_end(
                record.msg, datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z")
            )
        return super().format(record)


class _HideTickets(logging.Filter):
    """Takes one-time tickets out of the server's lines about WebSockets; spent or not, they are secrets."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; keep it."""
        if record.name == ACCESS:
            return True  # names paths without queries; making a text of every one of these lines only costs
        message = record.getMessage()
        if "ticket=" in message:
            record.msg, record.args = _TICKET.sub("ticket=***", message), ()
        return True


def configure_logging(*, level: str, as_json: bool) -> None:
    """Set up structlog and route the standard library's records through it. Called once by a composition root."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        _add_origin,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Plain tracebacks: the rich ones, which are the default, print local variables (passwords, tokens) and keep the
    # event loop busy for seconds.
    colors = sys.stderr.isatty()
    console = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)
    renderer: structlog.types.Processor = structlog.processors.JSONRenderer() if as_json else console
    write_end: Callable[[RequestEnd, str], str] = RequestEnd.as_json if as_json else RequestEnd.as_text
    if colors and not as_json:
        write_end = partial(_in_colours, console)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _Formatter(
            write_end,
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info if as_json else _pass,
                renderer,
            ],
        )
    )
    handler.addFilter(_HideTickets())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn.access", "aiosqlite", "sqlalchemy.engine"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def _in_colours(console: structlog.dev.ConsoleRenderer, end: RequestEnd, timestamp: str) -> str:
    facts = {**end._asdict(), "event": "request.end", "level": "info", "timestamp": timestamp}
    return console(None, "info", facts)


def _add_origin(_logger: object, _name: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Say which request a line belongs to."""
    origin = current_origin()
    if origin is not None:
        event.setdefault("request_id", origin.request_id)
    return event


def _pass(_logger: object, _name: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    return event
