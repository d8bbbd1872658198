"""Log lines: structlog, for people on a terminal or as JSON."""

import asyncio
import logging
import re
import sys
from collections.abc import Callable, Sequence
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
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""What a terminal would obey or a reader not see, and structlog's console does not quote."""


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _escape_controls(_logger: object, _name: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """For lines of text: paths and messages are chosen by clients. JSON escapes by itself."""
    return {key: _escaped(value) if isinstance(value, str) else value for key, value in event.items()}


class RequestEnd(NamedTuple):
    """What the line at the end of a request says; give it to ``EndLines``.

    Every request has this line. On the usual way through structlog, the standard library's logger and the renderer it
    cost as much as all the rest of a kept answer, so it is written directly. A test compares it with the usual way.
    """

    ended_at: float
    """Seconds since 1970."""
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
        method, path = _escaped(self.method), _escaped(self.path)
        if _QUOTED.search(method):
            method = repr(method)
        if _QUOTED.search(path):
            path = repr(path)
        return (
            f"{timestamp} [info     ] request.end                    duration_ms={self.duration_ms} method={method} "
            f"path={path} request_id={self.request_id} route={self.route} status={self.status} "
            f"token_id={self.token_id} user_id={self.user_id}"
        )


class EndLines:
    """Writes the lines at the ends of requests: those of one turn of the event loop together.

    A line that is written alone costs several times as much: a walk through the logger, the handler and its lock, and a
    call of the system. So each request adds its line, and the loop writes them as soon as it has nothing else at hand.
    """

    def __init__(self) -> None:
        """Nothing is waiting."""
        self._logger = logging.getLogger(ACCESS)
        self._waiting: list[RequestEnd] = []

    @property
    def wanted(self) -> bool:
        """Whether the level of the log shows these lines."""
        return self._logger.isEnabledFor(logging.INFO)

    def add(self, end: RequestEnd) -> None:
        """Write a line soon; for the event loop's thread."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self.write)
        self._waiting.append(end)

    def write(self) -> None:
        """Write what is waiting."""
        if self._waiting:
            ends, self._waiting = self._waiting, []
            self._logger.handle(_EndsRecord(ends))


class _EndsRecord(logging.LogRecord):
    """A record without what the lines do not show: the usual one finds out thread, process and file every time."""

    def __init__(self, ends: Sequence[RequestEnd]) -> None:
        self.__dict__.update(_BLANK)
        self.ends = ends


_BLANK = vars(logging.LogRecord(ACCESS, logging.INFO, __file__, 0, "", None, None))


class _Moments:
    """Moments as the log writes them; those of the same second share their beginning."""

    def __init__(self) -> None:
        self._second = -1
        self._beginning = ""

    def __call__(self, at: float) -> str:
        second = int(at)
        if second != self._second:
            self._second, self._beginning = second, datetime.fromtimestamp(second, UTC).isoformat().partition("+")[0]
        microseconds = int((at - second) * 1_000_000)
        return f"{self._beginning}.{microseconds:06d}Z" if microseconds else f"{self._beginning}Z"


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Structlog's formatter, and its short cut for the ends of requests."""

    def __init__(self, write_end: Callable[[RequestEnd, str], str], **options: Any) -> None:
        super().__init__(**options)
        self._write_end = write_end
        self._moment = _Moments()

    def format(self, record: logging.LogRecord) -> str:
        if isinstance(record, _EndsRecord):
            return "\n".join([self._write_end(end, self._moment(end.ended_at)) for end in record.ends])
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
                structlog.processors.format_exc_info if as_json else _escape_controls,
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
    del facts["ended_at"]
    return console(None, "info", _escape_controls(None, "info", facts))


def _add_origin(_logger: object, _name: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Say which request a line belongs to."""
    origin = current_origin()
    if origin is not None:
        event.setdefault("request_id", origin.request_id)
    return event
