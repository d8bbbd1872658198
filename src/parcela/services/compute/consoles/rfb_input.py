"""What a VNC viewer sends (RFC 6143), taken apart far enough to leave out keys and pointer of those who only look.

The screen itself is shared by QEMU, when the viewer asks for that: here every viewer does. A key or button that was
pressed by somebody who typed then may still be released: else the guest would take it for held down.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

VERSION_BYTES = 12
OLD_VERSION = b"RFB 003.003\n"
NO_AUTHENTICATION = 1
SHARED = b"\x01"
MAX_MESSAGE_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of message: how much of it tells its length, the length, and whether it acts on the guest."""

    head_bytes: int
    length: Callable[[bytes], int]
    acts: bool = False


def _fixed(length: int, *, acts: bool = False) -> _Kind:
    return _Kind(1, lambda _head: length, acts)


def _audio_or_key(head: bytes) -> int:
    """QEMU's own: an extended key (12 bytes), or audio on, off (4) and its format (10)."""
    if head[1] == 0:
        return 12
    return 10 if struct.unpack(">H", head[2:4])[0] == 2 else 4


KINDS: dict[int, _Kind] = {
    0: _fixed(20),  # SetPixelFormat
    2: _Kind(4, lambda head: 4 + 4 * int(struct.unpack(">H", head[2:4])[0])),  # SetEncodings
    3: _fixed(10),  # FramebufferUpdateRequest
    4: _fixed(8, acts=True),  # KeyEvent
    5: _fixed(6, acts=True),  # PointerEvent
    6: _Kind(8, lambda head: 8 + abs(int(struct.unpack(">i", head[4:8])[0])), acts=True),  # ClientCutText
    150: _fixed(10),  # EnableContinuousUpdates
    248: _Kind(9, lambda head: 9 + head[8]),  # ClientFence
    250: _fixed(4, acts=True),  # xvp: power
    251: _Kind(8, lambda head: 8 + 16 * head[6], acts=True),  # SetDesktopSize
    255: _Kind(4, _audio_or_key, acts=True),
}


class RfbInput:
    """The viewer's half of one connection."""

    def __init__(self) -> None:
        """Nothing has come yet."""
        self._left = bytearray()
        self._pressed = set[bytes]()
        self._stage = self._version

    def feed(self, data: bytes, *, types: bool) -> bytes:
        """What of these bytes goes on to the screen.

        Args:
            data: as they came, cut anywhere.
            types: whether this viewer has keyboard and pointer.

        Raises:
            ConnectionError: they are no RFB, or of a kind whose length nobody knows.
        """
        self._left += data
        passed = bytearray()
        while (taken := self._stage()) is not None:
            part, acts = taken
            if not acts or self._may_act(part, types=types):
                passed += part
        return bytes(passed)

    def _may_act(self, part: bytes, *, types: bool) -> bool:
        """Whether this one types, or releases what they pressed when they did."""
        if part[0] == 4:
            what, is_down = part[4:8], part[1] != 0
        elif part[0] == 5:
            what, is_down = b"pointer", part[1] != 0
        elif part[:2] == b"\xff\x00":
            what, is_down = part[4:12], part[2:4] != b"\x00\x00"
        else:
            return types
        if types and is_down:
            self._pressed.add(what)
        elif not is_down and what in self._pressed:
            self._pressed.discard(what)
            return True
        return types

    def _take(self, length: int) -> bytes | None:
        if len(self._left) < length:
            return None
        part = bytes(self._left[:length])
        del self._left[:length]
        return part

    def _version(self) -> tuple[bytes, bool] | None:
        part = self._take(VERSION_BYTES)
        if part is None:
            return None
        if not part.startswith(b"RFB "):
            raise ConnectionError("this is no VNC viewer")
        self._stage = self._client_init if part == OLD_VERSION else self._security
        return part, False

    def _security(self) -> tuple[bytes, bool] | None:
        part = self._take(1)
        if part is None:
            return None
        if part[0] != NO_AUTHENTICATION:
            raise ConnectionError("the screen asks for no password")
        self._stage = self._client_init
        return part, False

    def _client_init(self) -> tuple[bytes, bool] | None:
        if self._take(1) is None:
            return None
        self._stage = self._message
        return SHARED, False  # a viewer that wants the screen for itself would end the others

    def _message(self) -> tuple[bytes, bool] | None:
        if not self._left:
            return None
        kind = KINDS.get(self._left[0])
        if kind is None:
            raise ConnectionError(f"a VNC message of the kind {self._left[0]} is not known here")
        if len(self._left) < kind.head_bytes:
            return None
        length = kind.length(bytes(self._left[: kind.head_bytes]))
        if length > MAX_MESSAGE_BYTES:
            raise ConnectionError("a VNC message is too long")
        part = self._take(length)
        return None if part is None else (part, kind.acts)
