"""Uploads that are packed with gzip or xz are unpacked while they arrive: the packed file is never stored.

The bytes that come out go the way of any upload, with its limits of length, space and quota, so that a small file which
becomes a large one is stopped where a large one would be. What the unpackers need themselves is bounded here.
"""

import hashlib
import lzma
import zlib
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Final, TypeAlias

from parcela.services.catalogue.image_files.image_files import refusal
from parcela.services.catalogue.image_files.image_store import ImageStore, check_size

PIECE_BYTES: Final = 4 * 1024**2
INPUT_BYTES: Final = 1024**2
XZ_MEMORY_BYTES: Final = 128 * 1024**2
"""``xz -9`` needs 65 MiB; only dictionaries that somebody chose need more."""
MAGIC: Final = {b"\x1f\x8b": "gz", b"\xfd7zXZ\0": "xz"}
NAMES: Final = {"gz": "gzip", "xz": "xz"}
_LONGEST_MAGIC: Final = max(map(len, MAGIC))
_GZIP_WINDOW: Final = 31  # of zlib: the largest window, and the header and sum of gzip


class _Gzip:
    """One stream of gzip."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(_GZIP_WINDOW)

    def read(self, data: bytes) -> tuple[bytes, bytes, bool]:
        """(unpacked bytes, input that is left, whether the stream has ended)."""
        out = self._stream.decompress(data, PIECE_BYTES)
        return out, self._stream.unused_data or self._stream.unconsumed_tail, self._stream.eof


class _Xz:
    """One stream of xz."""

    def __init__(self) -> None:
        self._stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES)

    def read(self, data: bytes) -> tuple[bytes, bytes, bool]:
        """As that of gzip; input that is not used up yet stays inside."""
        out = self._stream.decompress(data, PIECE_BYTES)
        return out, self._stream.unused_data if self._stream.eof else b"", self._stream.eof


Stream: TypeAlias = _Gzip | _Xz


class Unpacker:
    """Unpacks a file of one or more streams, as ``gzip -d`` and ``xz -d`` do. Blocking, for one thread at a time."""

    def __init__(self, packing: str) -> None:
        """Take ``gz`` or ``xz``."""
        self._packing = packing
        self._new: Callable[[], Stream] = _Gzip if packing == "gz" else _Xz
        self._stream: Stream | None = self._new()
        self._input = b""
        self._digest = hashlib.sha256()

    def feed(self, data: bytes) -> None:
        """Add packed bytes."""
        self._digest.update(data)
        self._input += data

    def read(self) -> bytes:
        """The next bytes, at most ``PIECE_BYTES``; none when more input is needed.

        Raises:
            ParcelaError: kind ``invalid``: ``image_damaged``, ``image_packing_refused``.
        """
        while self._stream is not None or self._begin_next():
            out, self._input, ended = self._read_stream()
            if ended:
                self._stream = None
            if out or (not ended and not self._input):
                return out
        return b""

    def finish(self) -> str:
        """SHA-256 of the packed file; call it when all was fed and read.

        Raises:
            ParcelaError: kind ``invalid`` ``image_cut_off`` when the file ends within a stream.
        """
        if self._stream is not None or self._input.strip(b"\0"):
            name = NAMES[self._packing]
            raise refusal("image_cut_off", f"The {name} file is cut off: its end is missing. Upload the whole file.")
        return self._digest.hexdigest()

    def _begin_next(self) -> bool:
        """Begin the stream that follows; False when there is none (yet)."""
        # Writers of tapes fill up with zeros.
        self._input = self._input.lstrip(b"\0")
        magic = next(magic for magic, packing in MAGIC.items() if packing == self._packing)
        if len(self._input) < len(magic) and magic.startswith(self._input):
            return False
        if not self._input.startswith(magic):
            raise refusal("image_damaged", f"Behind the end of the {NAMES[self._packing]} data is something else.")
        self._stream = self._new()
        return True

    def _read_stream(self) -> tuple[bytes, bytes, bool]:
        assert self._stream is not None  # noqa: S101 (for the type checker)
        name = NAMES[self._packing]
        try:
            return self._stream.read(self._input)
        except lzma.LZMAError as error:
            if "memory usage limit" in str(error).lower():
                text = f"To unpack the file takes more than {XZ_MEMORY_BYTES >> 20} MiB of memory; xz -9 needs less."
                raise refusal("image_packing_refused", text) from error
            raise refusal("image_damaged", f"The {name} file is damaged: {error}") from error
        except zlib.error as error:
            raise refusal("image_damaged", f"The {name} file is damaged: {error}") from error


class Upload:
    """The bytes of an upload as they are stored: unpacked when they are packed."""

    def __init__(self, chunks: AsyncIterable[bytes], store: ImageStore, limit_bytes: int) -> None:
        """Take the bytes as they arrive, whose threads unpack, and how many there may be."""
        self._chunks = chunks
        self._store = store
        self._limit_bytes = limit_bytes
        self.packing = ""
        """``gz`` or ``xz``; empty when it is not packed. Known when the first bytes were read."""
        self.sha256: str | None = None
        """Digest of the packed file, when it has been read to its end."""

    async def unpacked(self) -> AsyncIterator[bytes]:
        """The bytes to store.

        Raises:
            ParcelaError: ``too_large`` ``image_too_large``; as ``Unpacker``.
        """
        chunks = aiter(self._chunks)
        start = b""
        while len(start) < _LONGEST_MAGIC and (chunk := await anext(chunks, None)) is not None:
            start += chunk
        self.packing = next((packing for magic, packing in MAGIC.items() if start.startswith(magic)), "")
        if not self.packing:
            yield start
            async for chunk in chunks:
                yield chunk
            return
        unpacker = Unpacker(self.packing)
        async for data in _gathered(start, chunks, self._limit_bytes):
            await self._store.run(lambda fed=data: unpacker.feed(fed))  # type: ignore[misc]
            while piece := await self._store.run(unpacker.read):
                yield piece
        self.sha256 = unpacker.finish()


async def _gathered(start: bytes, chunks: AsyncIterator[bytes], limit_bytes: int) -> AsyncIterator[bytes]:
    """The same bytes in larger chunks; a stream of nothing but headers is bounded here, as nothing comes out of it."""
    buffer = bytearray(start)
    total = len(start)
    async for chunk in chunks:
        total += len(chunk)
        check_size(total, limit_bytes)
        buffer += chunk
        if len(buffer) >= INPUT_BYTES:
            full, buffer = bytes(buffer), bytearray()
            yield full
    if buffer:
        yield bytes(buffer)
