import io
import logging

from parcela.core.logs import configure_logging


def test_tickets_never_reach_the_log() -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        configure_logging(level="info", as_json=True)
        text = io.StringIO()
        handler = root.handlers[0]
        assert isinstance(handler, logging.StreamHandler)
        handler.setStream(text)
        logging.getLogger("uvicorn.error").info(
            '%s - "WebSocket %s" [accepted]', "127.0.0.1", "/console/serial?ticket=s3cret_-x&x=1"
        )
        assert "s3cret" not in text.getvalue()
        assert "ticket=***&x=1" in text.getvalue()
    finally:
        root.handlers[:] = before
        root.setLevel(level)
