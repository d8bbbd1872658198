"""The database of a process: engines, sessions, and the single-writer rule of SQLite."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.pool import QueuePool

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.core.private_files import FILE_MODE
from parcela.db.engine import POOL_SIZE, WRITE_OPTION, default_pool_size, make_engine

WAIT_S = 30.0
"""How long a reader stands in line at most."""
CLOSE_S = 10.0
"""How long the end waits for sessions that are still open, at most."""


class Database:
    """Opens sessions; knows nothing of tables.

    On SQLite all writers of the process queue on one asyncio lock: SQLite's own busy handler polls and can starve a
    writer until it fails with "database is locked"; a fair queue cannot.
    """

    def __init__(self, url: str, *, pool_size: int = 0) -> None:
        """Take any supported URL; connects on first use.

        Args:
            url: see ``async_url``.
            pool_size: connections for reading, and as many for writing; 0: see ``default_pool_size``. Nobody may open
                a second session for reading while holding one: all of them could wait for each other.

        Attributes:
            engine: for writing, and for what needs a transaction.
            reading: for statements that stand alone.
            is_sqlite: whether all of it is one file.
            readers: connections for reading.
        """
        self.readers = pool_size or default_pool_size(url)
        self.engine = make_engine(url, pool_size=pool_size or POOL_SIZE)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self.reading = make_engine(url, pool_size=self.readers, autocommit=True)
        self._writing = self.engine.execution_options(**{WRITE_OPTION: True})
        self._writer: AbstractAsyncContextManager[object] = asyncio.Lock() if self.is_sqlite else nullcontext()
        self._readers = asyncio.Semaphore(self.readers)
        self._open: set[asyncio.Future[None]] = set()

    @asynccontextmanager
    async def _session(self, engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
        """A session that ``aclose`` waits for: one that is closed later leaves its connection open for ever.

        Who is cancelled (a client that hung up) does not wait for the end of its session; that goes on by itself.
        """
        session = AsyncSession(engine, expire_on_commit=False, autoflush=False)
        closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._open.add(closed)
        closed.add_done_callback(self._open.discard)
        try:
            yield session
        finally:
            closing = asyncio.create_task(session.close())
            closing.add_done_callback(lambda _closing: closed.set_result(None))
            await asyncio.shield(closing)

    @asynccontextmanager
    async def read_session(self) -> AsyncIterator[AsyncSession]:
        """A session for reading: every statement stands alone (no BEGIN, no ROLLBACK)."""
        await self._take_place()
        try:
            async with self._session(self.reading) as session:
                yield session
        finally:
            self._readers.release()

    async def _take_place(self) -> None:
        """Wait in line for a connection to read with.

        The pool itself has no line: whoever comes at the right moment overtakes those who wait. With a thousand clients
        that connect at once some of them waited until the pool gave up, after thirty seconds.
        """
        try:
            async with asyncio.timeout(WAIT_S if self._readers.locked() else None):
                await self._readers.acquire()
        except TimeoutError as exc:
            raise ParcelaError(
                ErrorKind.UNAVAILABLE,
                "database_busy",
                "The database is too busy to answer; try again in a moment.",
                retry_after_s=2,
            ) from exc

    @asynccontextmanager
    async def write_session(self) -> AsyncIterator[AsyncSession]:
        """A session with one transaction; rolled back unless the caller commits."""
        async with self._writer, self._session(self._writing) as session:
            yield session

    async def ping(self) -> None:
        """Ask the database something.

        Raises:
            ParcelaError: kind ``unavailable``.
        """
        try:
            async with self.read_session() as session:
                await session.execute(text("SELECT 1"))
        except (SQLAlchemyError, OSError) as exc:
            raise ParcelaError(
                ErrorKind.UNAVAILABLE, "database_unavailable", "The database does not answer.", internal=str(exc)
            ) from exc

    def pool_counts(self) -> dict[str, int]:
        """Connections that are in use, and that are open; empty where nothing is pooled."""
        pool = self.engine.pool
        if not isinstance(pool, QueuePool):
            return {}
        return {"in_use": pool.checkedout(), "open": pool.checkedin() + pool.checkedout()}

    async def aclose(self, *, patience_s: float = CLOSE_S) -> None:
        """Close all connections; sessions that are still open may come to their end first."""
        if self._open:
            await asyncio.wait(self._open, timeout=patience_s)
        await self.reading.dispose()
        await self.engine.dispose()


class ProcessLock:
    """Held by the one process that may work on a SQLite data folder.

    The kernel lets go of it when the process dies in whatever way, so there is never a stale lock to clean up.
    """

    def __init__(self, folder: Path) -> None:
        """Take the data folder (made when missing)."""
        self._path = folder / "parcela.lock"
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            ParcelaError: kind ``conflict``, naming the process that holds it.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch(mode=FILE_MODE)
        lock_file = self._path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            lock_file.seek(0)
            holder = lock_file.read().strip() or "unknown"
            lock_file.close()
            raise ParcelaError(
                ErrorKind.CONFLICT,
                "second_process",
                f"Process {holder} already works on {self._path.parent}. With SQLite one Parcela process is possible; "
                "set DATABASE_URL to PostgreSQL or MariaDB for more.",
            ) from exc
        self._file = lock_file
        with suppress(OSError):  # a full disk: the lock is the kernel's and holds without our number in the file
            os.ftruncate(lock_file.fileno(), 0)
            os.write(lock_file.fileno(), str(os.getpid()).encode())

    def release(self) -> None:
        """Let go; may be called twice."""
        if self._file:
            self._file.close()
            self._file = None
