"""SQLite's driver, made to suit us: connections that close tidily, and statements that take one journey.

aiosqlite runs everything on a thread of the connection, and every call is a journey there and back. SQLAlchemy's cursor
makes four of them per statement: make a cursor, execute, fetch, close. Going there and back cost more than the work.
"""

import sqlite3
from collections import deque
from contextlib import suppress
from typing import Any

import aiosqlite
from sqlalchemy.connectors.asyncio import AsyncAdapt_dbapi_connection
from sqlalchemy.dialects.sqlite.aiosqlite import (
    AsyncAdapt_aiosqlite_connection,
    AsyncAdapt_aiosqlite_cursor,
    AsyncAdapt_aiosqlite_dbapi,
)
from sqlalchemy.util import EMPTY_DICT


class WholeCursor(sqlite3.Cursor):
    """Has fetched all rows of its statement on the thread on which it was made, and is closed."""

    rows: list[Any]

    def finish(self) -> "WholeCursor":
        """Fetch everything and let go of the statement."""
        self.rows = self.fetchall() if self.description else []
        self.close()
        return self


class TidyConnection(sqlite3.Connection):
    """Ends its transaction before it closes, and gives the rows of a statement at once.

    A task that is cancelled in the middle of a write makes SQLAlchemy throw the connection away. As long as a cursor
    of it is alive (in a traceback, say), SQLite only marks it as closed: it would keep the one write lock of the file
    until the garbage collector comes by, and every other writer would fail with "database is locked".
    """

    def execute(self, *statement: Any) -> WholeCursor:
        """Run a statement; all of its rows are there."""
        return self.cursor(WholeCursor).execute(*statement).finish()

    def executemany(self, *statement: Any) -> WholeCursor:
        """Run a statement for each set of values."""
        return self.cursor(WholeCursor).executemany(*statement).finish()

    def close(self) -> None:
        """Roll back and close."""
        with suppress(sqlite3.Error):  # closed already, or broken
            if self.in_transaction:
                self.rollback()
        super().close()


class _Cursor(AsyncAdapt_aiosqlite_cursor):
    """Makes its real cursor only when there is something to execute; it comes back with the rows."""

    __slots__ = ()
    _cursor: Any

    def __init__(self, adapt_connection: AsyncAdapt_dbapi_connection) -> None:
        self._adapt_connection = adapt_connection
        self._connection = adapt_connection._connection  # noqa: SLF001 (as in the class this one extends)
        self._cursor = None
        self._soft_closed_memoized = EMPTY_DICT
        self._rows = deque()

    @property
    def description(self) -> Any:
        return self._cursor.description if self._cursor else None

    async def _execute_async(self, operation: Any, parameters: Any) -> Any:
        await self._run(self._connection.execute, operation, parameters or ())

    async def _executemany_async(self, operation: Any, seq_of_parameters: Any) -> Any:
        await self._run(self._connection.executemany, operation, seq_of_parameters)

    async def _run(self, method: Any, *statement: Any) -> None:
        async with self._adapt_connection._execute_mutex:  # noqa: SLF001 (as above)
            found = await method(*statement)
        self._cursor = found._cursor  # noqa: SLF001 (aiosqlite's own would send every question to the thread)
        self._rows = deque(self._cursor.rows)

    async def _async_soft_close(self) -> None:
        """Nothing: it is closed."""

    def close(self) -> None:
        self._rows.clear()


class _Connection(AsyncAdapt_aiosqlite_connection):
    __slots__ = ()
    _cursor_cls = _Cursor


class _Driver(AsyncAdapt_aiosqlite_dbapi):
    def connect(self, *arguments: Any, **options: Any) -> _Connection:
        made = super().connect(*arguments, factory=TidyConnection, **options)
        return _Connection(self, made._connection)  # noqa: SLF001 (as above)


def driver() -> Any:
    """The ``module`` of an engine for SQLite."""
    return _Driver(aiosqlite, sqlite3)
