"""A minimal RFB 3.8 server (RFC 6143): no authentication, one screen of one colour, raw encoding."""

import struct
from collections.abc import Callable
from dataclasses import dataclass

WIDTH = 320
HEIGHT = 200
VERSION = b"RFB 003.008\n"
SECURITY_NONE = b"\x01"
SECURITY_OK = struct.pack(">I", 0)
FIXED_SIZES = {0: 20, 3: 10, 4: 8, 5: 6}  # SetPixelFormat, FramebufferUpdateRequest, KeyEvent, PointerEvent


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """How a pixel is written: bits, byte order, and maximum and shift of red, green and blue."""

    bits: int = 32
    big_endian: bool = False
    maxima: tuple[int, int, int] = (255, 255, 255)
    shifts: tuple[int, int, int] = (16, 8, 0)

    @classmethod
    def parse(cls, data: bytes) -> "PixelFormat":
        """From the 16 bytes of the protocol."""
        bits, _depth, big, _true, r_max, g_max, b_max, r, g, b = struct.unpack(">BBBBHHHBBB3x", data)
        return cls(bits, bool(big), (r_max, g_max, b_max), (r, g, b))

    def dump(self) -> bytes:
        """The 16 bytes of the protocol."""
        return struct.pack(">BBBBHHHBBB3x", self.bits, 24, self.big_endian, 1, *self.maxima, *self.shifts)

    def pixel(self, colour: bytes) -> bytes:
        """One pixel of an 8-bit red, green, blue colour."""
        value = sum(
            part * top // 255 << shift for part, top, shift in zip(colour, self.maxima, self.shifts, strict=True)
        )
        size_bytes = self.bits // 8
        return (value & (1 << self.bits) - 1).to_bytes(size_bytes, "big" if self.big_endian else "little")


class RfbServer:
    """The server's side of one connection: ``feed`` takes what the client sent and returns what to send back."""

    def __init__(self, name: str, colour: bytes) -> None:
        """Take the name of the desktop and its colour (red, green, blue)."""
        self.greeting = VERSION
        self.broken = False
        self._name = name.encode()
        self._colour = colour
        self._format = PixelFormat()
        self._input = bytearray()
        self._stage: Callable[[bytes], bytes] = self._version

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the client; after a broken message ``broken`` is set and nothing more is answered."""
        self._input += data
        answer = bytearray()
        while not self.broken:
            size_bytes = self._stage_size()
            if size_bytes is None or len(self._input) < size_bytes:
                break
            message = bytes(self._input[:size_bytes])
            del self._input[:size_bytes]
            answer += self._stage(message)
        return bytes(answer)

    def _stage_size(self) -> int | None:
        """Length of the next message in bytes; None when its length is not there yet."""
        if self._stage == self._version:
            return len(VERSION)
        if self._stage != self._message:
            return 1
        return self._message_size() if self._input else None

    def _message_size(self) -> int | None:
        kind = self._input[0]
        if kind in FIXED_SIZES:
            return FIXED_SIZES[kind]
        if kind == 2:  # SetEncodings: a count and as many numbers
            return 4 + 4 * int.from_bytes(self._input[2:4], "big") if len(self._input) >= 4 else None
        if kind == 6:  # ClientCutText: a length and as many bytes
            return 8 + int.from_bytes(self._input[4:8], "big") if len(self._input) >= 8 else None
        self.broken = True
        return None

    def _version(self, message: bytes) -> bytes:
        if message != VERSION:
            self.broken = True
            return b""
        self._stage = self._security
        return bytes([1]) + SECURITY_NONE

    def _security(self, message: bytes) -> bytes:
        if message != SECURITY_NONE:
            self.broken = True
            return b""
        self._stage = self._client_init
        return SECURITY_OK

    def _client_init(self, _message: bytes) -> bytes:
        self._stage = self._message
        size = struct.pack(">HH", WIDTH, HEIGHT)
        return size + self._format.dump() + struct.pack(">I", len(self._name)) + self._name

    def _message(self, message: bytes) -> bytes:
        match message[0]:
            case 0:
                return self._set_format(message)
            case 3 if not message[1]:  # nothing ever changes, so incremental requests stay unanswered
                return self._update(*struct.unpack(">HHHH", message[2:10]))
            case _:
                return b""

    def _set_format(self, message: bytes) -> bytes:
        wanted = PixelFormat.parse(message[4:20])
        if wanted.bits in {8, 16, 32}:
            self._format = wanted
        else:
            self.broken = True
        return b""

    def _update(self, x: int, y: int, width: int, height: int) -> bytes:
        width, height = max(0, min(width, WIDTH - x)), max(0, min(height, HEIGHT - y))
        if not width or not height:
            return b""
        header = struct.pack(">BxHHHHHi", 0, 1, x, y, width, height, 0)
        return header + self._format.pixel(self._colour) * (width * height)
