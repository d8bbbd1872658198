"""What a database says when it cannot write, in each of the three languages."""

import sqlite3
from typing import Any

import pytest
import structlog
from pymongo.errors import OperationFailure
from redis.exceptions import OutOfMemoryError
from sqlalchemy.exc import DBAPIError, OperationalError

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.db.link import StoreLostError
from parcela.db.mongo import Mongo
from parcela.db.redis import RedisStore
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


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OperationFailure("Available disk space is less than required", 14031), "storage_full"),
        (OperationFailure("you are over your space quota, using 513 MB of 512 MB", 8000), "storage_full"),
        (OperationFailure("28: No space left on device", 1), "storage_full"),
    ],
)
async def test_a_full_mongodb_is_recognised(error: OperationFailure, code: str) -> None:
    mongo = Mongo("mongodb://127.0.0.1:1/parcela")
    mongo.link._up.set()
    try:
        with pytest.raises(ParcelaError) as refused:
            async with mongo.answering():
                raise error
        assert (refused.value.kind, refused.value.code) == (ErrorKind.NO_CAPACITY, code)
        with pytest.raises(OperationFailure):
            async with mongo.answering():
                raise OperationFailure("unknown operator: $nope", 2)
    finally:
        await mongo.aclose()


class _FullRedis:
    """Answers PING and reads, and refuses to store anything."""

    def __init__(self) -> None:
        self.asked = 0

    async def set(self, *_arguments: object, **_options: object) -> None:
        self.asked += 1
        raise OutOfMemoryError("command not allowed when used memory > 'maxmemory'.")

    async def aclose(self) -> None:
        """Nothing is open."""


@pytest.mark.anyio
async def test_a_full_redis_is_lost_with_one_line() -> None:
    store = RedisStore("redis://127.0.0.1:1/0", every_s=3600)
    await store.client.aclose()
    full = _FullRedis()
    store.client = full  # type: ignore[assignment]
    with structlog.testing.capture_logs() as lines:
        await store.link.open()
        for _ in range(5):
            with pytest.raises(StoreLostError):
                await store.call(lambda client: client.set("key", "value"))
    assert [line["event"] for line in lines] == ["store.lost"]
    assert full.asked == 1
    await store.aclose()
