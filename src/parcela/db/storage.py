"""A database whose disk is full, read-only or broken: how it says so, and one log line for each change."""

import re
import sqlite3
from typing import Final

import structlog
from sqlalchemy.exc import DBAPIError

from parcela.core.disks import STORAGE_CODES, storage_failed, storage_full, storage_read_only
from parcela.core.errors import ParcelaError

log = structlog.get_logger(__name__)

WHAT: Final = "the disk of the database"
_SQLITE_FULL = frozenset({sqlite3.SQLITE_FULL})
_SQLITE_READ_ONLY = frozenset({sqlite3.SQLITE_READONLY})
# A quota that is used up comes as SQLITE_IOERR_WRITE; without inodes its companion files cannot be made (CANTOPEN).
_SQLITE_FAILED = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})
_POSTGRES_FULL = frozenset({"53100"})  # disk_full
_POSTGRES_READ_ONLY = frozenset({"25006"})  # hosted servers change to read-only when their disk is nearly full
_POSTGRES_FAILED = frozenset({"58030"})  # io_error
# MariaDB and MySQL: disk full (server, file layer), table full, and files that cannot be written.
_MARIADB_FULL = frozenset({20, 1021, 1114})
_MARIADB_READ_ONLY = frozenset({1036, 1290, 1792, 1836})
_MARIADB_FAILED = frozenset({3, 1026, 1878})
_MARIADB_GENERAL = frozenset({1004, 1005, 1025, 1030})
_NO_SPACE = re.compile(r"(error|errno|errcode):?\s*\"?(28|122)\b|no space left|quota exceeded", re.IGNORECASE)


def storage_trouble(exc: BaseException | None) -> ParcelaError | None:
    """The error of kind ``no_capacity`` for a database that cannot write; None for every other failure."""
    if not isinstance(exc, DBAPIError) or exc.orig is None:
        return None
    cause = exc.orig.__cause__
    code = getattr(exc.orig, "sqlite_errorcode", None)
    if code is not None:
        if code == sqlite3.SQLITE_IOERR_SHMSIZE:  # its first step on a full disk: 32 KiB of shared memory
            return storage_full(WHAT, str(exc.orig))
        return _made(int(code) & 0xFF, exc, _SQLITE_FULL, _SQLITE_READ_ONLY, _SQLITE_FAILED)
    state = getattr(exc.orig, "sqlstate", None) or getattr(cause, "sqlstate", None)
    if state is not None:
        return _made(str(state), exc, _POSTGRES_FULL, _POSTGRES_READ_ONLY, _POSTGRES_FAILED)
    number = exc.orig.args[0] if exc.orig.args else None
    if number in _MARIADB_GENERAL and _NO_SPACE.search(str(exc.orig)):
        return storage_full(WHAT, str(exc.orig))
    return _made(number, exc, _MARIADB_FULL, _MARIADB_READ_ONLY, _MARIADB_FAILED)


def _made(
    code: object, exc: DBAPIError, full: frozenset[object], read_only: frozenset[object], failed: frozenset[object]
) -> ParcelaError | None:
    for codes, make in ((full, storage_full), (read_only, storage_read_only), (failed, storage_failed)):
        if code in codes:
            return make(WHAT, str(exc.orig))
    return None


class StorageWatch:
    """Whether the database can write. Requests by the thousand fail in the same way; the log has it once."""

    def __init__(self) -> None:
        """Nothing is known to be wrong."""
        self.trouble = ""

    def failed(self, error: ParcelaError) -> None:
        """A write failed with one of ``STORAGE_CODES``."""
        if error.code in STORAGE_CODES and self.trouble != error.code:
            self.trouble = error.code
            log.error("storage.cannot_write", code=error.code, what=WHAT, reason=error.internal)

    def written(self) -> None:
        """A write was committed."""
        if self.trouble:
            self.trouble = ""
            log.info("storage.writes_again", what=WHAT)
