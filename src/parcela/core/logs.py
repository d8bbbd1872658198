"""Log lines: structlog, for people on a terminal or as JSON."""

import logging
import re
import sys

import structlog

from parcela.core.origin import current_origin

ACCESS = "parcela.access"
"""Logger of the lines about requests."""
_TICKET = re.compile(r"ticket=[^\s&\"\]]+")


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
    console = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    renderer: structlog.types.Processor = structlog.processors.JSONRenderer() if as_json else console
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
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


def _add_origin(_logger: object, _name: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Say which request a line belongs to."""
    origin = current_origin()
    if origin is not None:
        event.setdefault("request_id", origin.request_id)
    return event


def _pass(_logger: object, _name: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    return event
