"""Files of images: ``<data_dir>/images/<sha256>.<suffix>``, named by content and never by what people call them.

A file under way is ``images/incoming/<random>``; it gets its final name in one step when it is whole, checked and on
disk. A kill in the middle leaves only a file in ``incoming``, which the next start removes.
"""

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import stat
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from parcela.core.disks import FULL, MIB, DiskSpace, LowLimit, storage_read_only
from parcela.core.errors import ErrorKind, ParcelaError, Problem, invalid
from parcela.core.private_files import create_private, make_private_folder
from parcela.services.catalogue.image_files.image_files import refusal

T = TypeVar("T")

CHUNK_BYTES: Final = 4 * 1024 * 1024
LOCK_POLL_S: Final = 0.02
_THREADS: Final = 4
_SUFFIXES: Final = ("qcow2", "raw", "iso", "kernel", "initrd")


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """A whole file in ``incoming``.

    Attributes:
        path: where it is until it is published.
        sha256: lower-case hexadecimal digest, computed while it arrived.
        size_bytes: its length.
    """

    path: Path
    sha256: str
    size_bytes: int


class _Writer:
    """A temporary file; used by one upload, from threads. After ``close`` a late ``write`` is ignored."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._file = create_private(path)
        # Tells purge_incoming of another process that this one is alive.
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    def write(self, data: bytes) -> None:
        with self._lock:
            if not self._file.closed:
                self._file.write(data)
                self._digest.update(data)
                self.size_bytes += len(data)

    def finish(self) -> str:
        with self._lock:
            self._file.flush()
            os.fsync(self._file.fileno())
            return self._digest.hexdigest()

    def close(self) -> None:
        # The lock: a cancelled request may leave a write running on its thread.
        with self._lock, contextlib.suppress(OSError):
            self._file.close()


class ImageStore:
    """The image files of one data folder. Safe for several processes that share it."""

    def __init__(self, data_dir: Path, *, keep_free: LowLimit | None = None) -> None:
        """Take the data folder; folders are made when they are needed.

        Args:
            data_dir: the data folder.
            keep_free: space that uploads leave, because the database usually shares the file system; None: none.
        """
        self._keep_free = keep_free or LowLimit(0, 0)
        self.folder = data_dir.absolute() / "images"
        self.incoming = self.folder / "incoming"
        self.import_folder = data_dir.absolute() / "import"
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="parcela-images")

    def close(self) -> None:
        """End the threads."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def run(self, work: Callable[[], T]) -> T:
        """Run file work on a thread; a full disk and the like become ``unavailable``."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        except OSError as error:
            raise _store_failed(error) from error

    @asynccontextmanager
    async def receive(
        self, chunks: AsyncIterable[bytes], *, limit_bytes: int, spare: bool = True
    ) -> AsyncIterator[ReceivedFile]:
        """Store a stream under a temporary name; it is removed at the end unless it was published.

        Args:
            chunks: the file.
            limit_bytes: how long it may be.
            spare: refuse to go on when the disk becomes short of space, not only when it is full.

        Raises:
            ParcelaError: kind ``too_large`` as soon as more than ``limit_bytes`` have come; ``no_capacity``
                ``image_store_full``.
        """
        path = self.incoming / secrets.token_hex(16)
        writer = await self.run(lambda: self._begin(path))
        try:
            await self._fill(writer, chunks, limit_bytes, spare=spare)
            digest = await self.run(writer.finish)
            yield ReceivedFile(path, digest, writer.size_bytes)
        finally:
            await self.run(lambda: _discard(writer, path))

    def _begin(self, path: Path) -> _Writer:
        make_private_folder(self.folder)
        make_private_folder(self.incoming)
        return _Writer(path)

    async def _fill(self, writer: _Writer, chunks: AsyncIterable[bytes], limit_bytes: int, *, spare: bool) -> None:
        def write(data: bytes) -> None:
            if spare:
                self._require_room(len(data))
            writer.write(data)

        # Chunks of a socket are small; a hop to a thread for each would cost more than the writing.
        buffer = bytearray()
        total = 0
        async for chunk in chunks:
            total += len(chunk)
            check_size(total, limit_bytes)
            buffer += chunk
            if len(buffer) >= CHUNK_BYTES:
                full, buffer = bytes(buffer), bytearray()
                await self.run(lambda data=full: write(data))  # type: ignore[misc]
        await self.run(lambda: write(bytes(buffer)))

    @asynccontextmanager
    async def place(self) -> AsyncIterator[Path]:
        """An empty file under a temporary name for a tool to write; removed at the end unless it was published."""
        path = self.incoming / secrets.token_hex(16)
        writer = await self.run(lambda: self._begin(path))
        try:
            yield path
        finally:
            await self.run(lambda: _discard(writer, path))

    async def finished(self, path: Path) -> ReceivedFile:
        """A file of ``place`` that is whole: on disk, with its digest."""
        return await self.run(lambda: _finished(path))

    async def read_file(self, path: Path, *, anywhere: bool, limit_bytes: int) -> AsyncIterator[bytes]:
        """Chunks of a file on the server, for an import.

        Args:
            path: absolute; a regular file and no symbolic link.
            anywhere: False allows files below ``<data_dir>/import`` only. That is judged by the opened file, so that
                neither ``..`` nor a link that changes meanwhile leads out.
            limit_bytes: more is ``too_large``.
        """
        file = await self.run(lambda: self._open(path, anywhere=anywhere))
        try:
            check_size((await self.run(lambda: os.fstat(file))).st_size, limit_bytes)
            while chunk := await self.run(lambda: os.read(file, CHUNK_BYTES)):
                yield chunk
        finally:
            os.close(file)

    def _open(self, path: Path, *, anywhere: bool) -> int:
        problem = "Give the absolute path of a regular file on the server (no link)."
        if not anywhere:
            problem += f" It must be below {self.import_folder}."
        refused = invalid("import_path_refused", problem, Problem("path", problem, "import_path_refused"))
        if not path.is_absolute():
            raise refused
        try:
            # NONBLOCK: opening a FIFO would wait for its writer.
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            refused.internal = str(error)
            raise refused from error
        real = Path(f"/proc/self/fd/{file}").readlink()
        allowed = anywhere or real.is_relative_to(self.import_folder.resolve())
        if not allowed or not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise refused
        return file

    def path_of(self, sha256: str, suffix: str) -> Path:
        """Where the file with this digest is, or would be."""
        if len(sha256) != 64 or set(sha256) - set("0123456789abcdef") or suffix not in _SUFFIXES:
            raise ValueError(sha256)
        return self.folder / f"{sha256}.{suffix}"

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Hold the store: between the publishing of a file and the commit of its row, nobody may sweep it away.

        A lock of the kernel, so that it also holds between processes and dies with its holder.
        """
        file = await self.run(lambda: _open_lock(self.folder))
        try:
            # Not a blocking call on a thread: that could not be cancelled.
            while not _try_lock(file):  # noqa: ASYNC110 (the lock is the kernel's, no event tells of it)
                await asyncio.sleep(LOCK_POLL_S)
            yield
        finally:
            os.close(file)

    async def publish(self, received: ReceivedFile, suffix: str) -> Path:
        """Give a received file its final name in one step; a file of the same content is kept instead."""
        target = self.path_of(received.sha256, suffix)
        await self.run(lambda: _publish(received, target))
        return target

    async def remove(self, sha256: str) -> None:
        """Remove the files with this digest; nothing happens when there is none."""
        paths = [self.path_of(sha256, suffix) for suffix in _SUFFIXES]
        for path in paths:
            await self.run(lambda gone=path: gone.unlink(missing_ok=True))  # type: ignore[misc]

    async def digests(self) -> set[str]:
        """Digests of all files that are published."""
        return await self.run(lambda: _digests(self.folder))

    def purge_incoming(self) -> int:
        """Remove what uploads left that were killed; how many. Blocking; call it before the server listens."""
        if not self.incoming.is_dir():
            return 0
        return sum(_remove_abandoned(path) for path in list(self.incoming.iterdir()))

    async def adopt(self, source: Path, sha256: str, suffix: str) -> Path:
        """Copy a file of ours (the bundled guest) into the store, unless it is there; its digest must be right."""
        target = self.path_of(sha256, suffix)
        if not await self.run(target.exists):
            async with self.receive(self._chunks_of(source), limit_bytes=2**62, spare=False) as received:
                if received.sha256 != sha256:
                    raise refusal("sha256_mismatch", f"{source.name} is not the file that its manifest describes.")
                await self.publish(received, suffix)
        return target

    async def _chunks_of(self, source: Path) -> AsyncIterator[bytes]:
        with contextlib.closing(await self.run(lambda: source.open("rb"))) as file:
            while chunk := await self.run(lambda: file.read(CHUNK_BYTES)):
                yield chunk

    async def check_room(self, size_bytes: int) -> None:
        """Raise ``no_capacity`` when an announced file would not fit on the disk."""
        await self.run(lambda: self._require_room(size_bytes))

    async def room_bytes(self) -> int:
        """Bytes that may still be written before the disk counts as short of space; 0 when it does already."""
        space = await self.run(lambda: DiskSpace.of(self.folder))
        return max(0, space.free_mib - self._keep_free.mib(space.size_mib)) * MIB

    def _require_room(self, size_bytes: int) -> None:
        space = DiskSpace.of(self.folder)
        left_mib = space.free_mib - size_bytes / MIB
        if left_mib < self._keep_free.mib(space.size_mib):
            raise OSError(errno.ENOSPC, f"{size_bytes} bytes more, {space.free_mib} MiB free")


def check_size(size_bytes: int, limit_bytes: int) -> None:
    """Raise ``too_large`` when a file has more bytes than allowed."""
    if size_bytes > limit_bytes:
        raise too_large(limit_bytes)


def too_large(limit_bytes: int) -> ParcelaError:
    """The error of a file with more bytes than allowed."""
    text = f"An image may have at most {limit_bytes} bytes (PARCELA_MAX_UPLOAD_BYTES), also unpacked and converted."
    return ParcelaError(
        ErrorKind.TOO_LARGE, "image_too_large", text, problems=[Problem("body", text, "image_too_large")]
    )


def store_full(internal: str) -> ParcelaError:
    """The error of a file that the disk has no room for."""
    text = (
        "There is not enough disk space for the image on the server: nothing was kept of it. An administrator has "
        "to free space in the images folder of the data folder."
    )
    return ParcelaError(ErrorKind.NO_CAPACITY, "image_store_full", text, internal=internal)


def _store_failed(error: OSError) -> ParcelaError:
    if error.errno in FULL:
        return store_full(str(error))
    if error.errno == errno.EROFS:
        return storage_read_only("the images folder of the server", str(error))
    text = "The server could not store the image; an administrator finds the reason in the log."
    return ParcelaError(ErrorKind.UNAVAILABLE, "image_store_failed", text, internal=str(error), retry_after_s=60)


def _digests(folder: Path) -> set[str]:
    if not folder.is_dir():
        return set()
    names = [path.name.partition(".") for path in folder.iterdir()]
    return {digest for digest, _, suffix in names if len(digest) == 64 and suffix in _SUFFIXES}


def _open_lock(folder: Path) -> int:
    make_private_folder(folder)
    return os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_abandoned(path: Path) -> bool:
    """Remove a file that no living process writes; whether it did."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        if _try_lock(file.fileno()):
            path.unlink(missing_ok=True)
            return True
    return False


def _finished(path: Path) -> ReceivedFile:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return ReceivedFile(path, digest, os.fstat(file.fileno()).st_size)


def _discard(writer: _Writer, path: Path) -> None:
    writer.close()
    path.unlink(missing_ok=True)


def _publish(received: ReceivedFile, target: Path) -> None:
    if target.exists() and target.stat().st_size == received.size_bytes:
        return  # the temporary file is removed by receive()
    received.path.chmod(0o400)
    received.path.rename(target)
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)  # a rename is only safe from a power cut when its folder is on disk
    finally:
        os.close(folder)
