"""What a database says when it cannot write, in each of the three languages."""

import sqlite3
from typing import Any

import pytest
import structlog
from sqlalchemy.exc import DBAPIError, OperationalError

from parcela.core.errors import ErrorKind
from parcela.db.storage import StorageWatch, storage_trouble


def _sqlite(code: int) -> Exception:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = code
    return error


class _PostgresError(Exception):
    def __init__(self, sqlstate: str) -> None:
        super().__init__("could not extend file")
        self.sqlstate = sqlstate


def _wrapped(orig: Any) -> DBAPIError:
    return OperationalError("INSERT", {}, orig)


@pytest.mark.parametrize(
    ("orig", "code"),
    [
        (_sqlite(sqlite3.SQLITE_FULL), "storage_full"),
        (_sqlite(sqlite3.SQLITE_IOERR_SHMSIZE), "storage_full"),
        (_sqlite(sqlite3.SQLITE_READONLY), "storage_read_only"),
        (_sqlite(sqlite3.SQLITE_READONLY_DBMOVED), "storage_read_only"),
        (_sqlite(sqlite3.SQLITE_IOERR_WRITE), "storage_failed"),
        (_sqlite(sqlite3.SQLITE_CANTOPEN), "storage_failed"),
        (_PostgresError("53100"), "storage_full"),
        (_PostgresError("25006"), "storage_read_only"),
        (_PostgresError("58030"), "storage_failed"),
        (Exception(1021, "Disk full (/tmp/#sql); waiting for someone to free some space"), "storage_full"),
        (Exception(1114, "The table 'events' is full"), "storage_full"),
        (Exception(1030, 'Got error 28 "No space left on device" from storage engine InnoDB'), "storage_full"),
        (Exception(1030, 'Got error 122 "Disk quota exceeded" from storage engine InnoDB'), "storage_full"),
        (Exception(1026, "Error writing file './ibdata1' (Errcode: 5)"), "storage_failed"),
        (Exception(1290, "The server is running with the --read-only option"), "storage_read_only"),
    ],
)
def test_a_disk_that_cannot_be_written_is_recognised(orig: Exception, code: str) -> None:
    found = storage_trouble(_wrapped(orig))
    assert found is not None
    assert (found.kind, found.code) == (ErrorKind.NO_CAPACITY, code)
    assert found.message.startswith("Nothing was changed: ")
    assert "/tmp" not in found.message


@pytest.mark.parametrize(
    "error",
    [
        None,
        ValueError("database or disk is full"),
        _wrapped(_sqlite(sqlite3.SQLITE_BUSY)),
        _wrapped(_sqlite(sqlite3.SQLITE_CORRUPT)),
        _wrapped(_PostgresError("40001")),
        _wrapped(Exception(1213, "Deadlock found when trying to get lock")),
        _wrapped(Exception(1030, "Got error 168 from storage engine")),
        _wrapped(Exception()),
    ],
)
def test_other_failures_are_not(error: BaseException | None) -> None:
    assert storage_trouble(error) is None


def test_the_log_has_one_line_for_each_change() -> None:
    watch = StorageWatch()
    trouble = storage_trouble(_wrapped(_sqlite(sqlite3.SQLITE_FULL)))
    assert trouble is not None
    with structlog.testing.capture_logs() as lines:
        watch.written()
        for _ in range(3):
            watch.failed(trouble)
        for _ in range(3):
            watch.written()
    assert [line["event"] for line in lines] == ["storage.cannot_write", "storage.writes_again"]
