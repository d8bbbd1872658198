"""Files of the inventory: ``<data_dir>/inventory/<uuid>``, never named by what people call them.

A file under way is ``inventory/incoming/<uuid>``. It gets its place in one step when it is whole; the row that names it
is committed afterwards. What no row names is swept away (``workers/reconcilers/inventory_files.py``).
"""

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final
from uuid import UUID, uuid4

from parcela.core.disks import storage_error
from parcela.core.errors import ErrorKind, ParcelaError, Problem, invalid, not_found
from parcela.core.private_files import create_private, make_private_folder

HEAD_BYTES: Final = 512
UNKNOWN: Final = "application/octet-stream"
_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
)
PHOTO_TYPES: Final = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """A whole file in ``incoming``.

    Attributes:
        path: where it is until it is published.
        sha256: lower-case hexadecimal digest, computed while it arrived.
        size_bytes: its length, at least 1.
        media_type: by its content; ``application/octet-stream`` when it is nothing we know.
    """

    path: Path
    sha256: str
    size_bytes: int
    media_type: str


def recognise(head: bytes) -> str:
    """Media type by the first bytes of a file."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), UNKNOWN)


class InventoryFiles:
    """The files of one data folder."""

    def __init__(self, data_dir: Path) -> None:
        """Take the data folder; folders are made when they are needed."""
        self.folder = data_dir.absolute() / "inventory"
        self.incoming = self.folder / "incoming"

    @asynccontextmanager
    async def receive(self, chunks: AsyncIterable[bytes], *, limit_bytes: int) -> AsyncIterator[ReceivedFile]:
        """Store a stream under a temporary name; it is removed at the end unless it was published.

        Raises:
            ParcelaError: ``too_large`` ``file_too_large`` as soon as too much has come; ``invalid`` ``file_empty``.
        """
        path = self.incoming / str(uuid4())
        try:
            await asyncio.to_thread(self._make_folders)
            yield await _store(path, chunks, limit_bytes)
        except OSError as error:
            raise _failed(error) from error
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def _make_folders(self) -> None:
        make_private_folder(self.folder)
        make_private_folder(self.incoming)

    async def publish(self, received: ReceivedFile) -> str:
        """Give a received file its place; its name."""
        name = str(uuid4())
        await asyncio.to_thread(os.replace, received.path, self.folder / name)
        return name

    def path(self, name: str) -> Path:
        """Where a published file is.

        Raises:
            ParcelaError: ``not_found`` when it is not there (somebody emptied the folder).
        """
        path = self.folder / str(UUID(name))
        if not path.is_file():
            raise not_found("file", name)
        return path

    def remove(self, name: str) -> None:
        """Remove a published file that no row names any more; fine when it is gone."""
        with suppress(OSError):
            (self.folder / str(UUID(name))).unlink(missing_ok=True)

    def old_files(self, older_than_s: float) -> list[str]:
        """Names of published files that were made so long ago. What is left in ``incoming`` is removed."""
        before = time.time() - older_than_s
        found = []
        for folder in (self.incoming, self.folder):
            for path in folder.glob("*-*-*-*-*"):
                with suppress(OSError):
                    if path.stat().st_mtime >= before:
                        continue
                    if folder == self.incoming:
                        path.unlink()
                    else:
                        found.append(path.name)
        return found


async def _store(path: Path, chunks: AsyncIterable[bytes], limit_bytes: int) -> ReceivedFile:
    digest, size, head = hashlib.sha256(), 0, b""
    with create_private(path) as file:
        async for chunk in chunks:
            size += len(chunk)
            if size > limit_bytes:
                text = f"The file is larger than {limit_bytes} bytes."
                problem = Problem("body", text, "file_too_large")
                raise ParcelaError(ErrorKind.TOO_LARGE, "file_too_large", text, problems=[problem])
            head += chunk[: HEAD_BYTES - len(head)] if len(head) < HEAD_BYTES else b""
            digest.update(chunk)
            await asyncio.to_thread(file.write, chunk)
        await asyncio.to_thread(_to_disk, file)
    if not size:
        text = "The file is empty."
        raise invalid("file_empty", text, Problem("body", text, "file_empty"))
    return ReceivedFile(path, digest.hexdigest(), size, recognise(head))


def _to_disk(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _failed(error: OSError) -> ParcelaError:
    trouble = storage_error(error, "the disk of the server's files (the inventory folder of its data folder)")
    if trouble is not None:
        return trouble
    text = "The file cannot be stored just now."
    return ParcelaError(ErrorKind.UNAVAILABLE, "files_unavailable", text, internal=str(error), retry_after_s=60)
