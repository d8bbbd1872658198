"""Text messages as they go over the wire, built once for all clients that get them."""

from dataclasses import dataclass

EXTENSION = "parcela.frames"
"""``scope["extensions"][EXTENSION]["write"]`` of a WebSocket, where the server offers it (``protocol.py``):
takes whole frames at once, or takes nothing and returns False."""
TEXT, TWO_BYTES, EIGHT_BYTES = 0x81, 126, 127


def _frame(text: str) -> bytes:
    """One frame, not masked, not compressed (RFC 6455, 5.2)."""
    data = text.encode()
    size = len(data)
    if size < TWO_BYTES:
        return bytes((TEXT, size)) + data
    if size < 1 << 16:
        return bytes((TEXT, TWO_BYTES)) + size.to_bytes(2, "big") + data
    return bytes((TEXT, EIGHT_BYTES)) + size.to_bytes(8, "big") + data


@dataclass(frozen=True, slots=True)
class TextMessage:
    """A message in both forms: ``text`` for ASGI, ``frame`` for a connection that takes whole frames."""

    text: str
    frame: bytes

    @classmethod
    def of(cls, text: str) -> "TextMessage":
        """Build the frame."""
        return cls(text, _frame(text))
