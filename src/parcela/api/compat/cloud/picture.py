"""The picture of a computer that drawings of the older editor name (``/static/images/pc.png``), drawn here."""

import struct
import zlib
from functools import cache

DRAWING = """
................
.##############.
.#oooooooooooo#.
.#o..........o#.
.#o.oo.......o#.
.#o...oo.....o#.
.#o.oo...ooo.o#.
.#o..........o#.
.#oooooooooooo#.
.##############.
......####......
......####......
....########....
................
.##############.
..############..
"""
COLOURS = {".": b"\x00\x00\x00\x00", "#": b"\x2b\x4b\x6f\xff", "o": b"\x9c\xc4\xe4\xff"}
"""Red, green, blue and opacity."""
SCALE = 4
"""Pixels of the picture per letter, each way."""


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@cache
def computer() -> bytes:
    """A PNG of 64 x 64 pixels, 8 bits per channel, with transparency."""
    lines = DRAWING.split()
    width, height = len(lines[0]) * SCALE, len(lines) * SCALE
    rows = [b"\x00" + b"".join(COLOURS[letter] * SCALE for letter in line) for line in lines for _ in range(SCALE)]
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)
