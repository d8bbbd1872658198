"""A private MongoDB: the real server, from a wheel that carries it (Debian has none)."""

import importlib.util
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from tests.lab.service import CannotStartError, Service, find_program, free_port

WHEEL = "fiftyone"
REPLICA_SET = "parcela"
ALREADY_INITIATED = 23


def mongod() -> str:
    """Return the path of the server: the machine's own, else the wheel's.

    Raises:
        CannotStartError: there is none.

    """
    # The wheel's package starts telemetry and more when it is imported, so only its folder is looked up.
    found = importlib.util.find_spec(WHEEL)
    for folder in (found.submodule_search_locations or ()) if found else ():
        program = Path(folder, "db", "bin", "mongod")
        if program.is_file() and os.access(program, os.X_OK):
            return str(program)
    return find_program("mongod")


def mongod_options(folder: Path, port: int) -> tuple[str, ...]:
    """Return the options of a small server, a replica set of one: transactions and retried writes need a set."""
    return (
        *("--dbpath", str(folder), "--port", str(port), "--bind_ip", "127.0.0.1", "--replSet", REPLICA_SET),
        *("--nounixsocket", "--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "64", "--quiet"),
    )


def _command(port: int, *command: Any) -> dict[str, Any]:
    """Run one command on a connection of its own: a client from before the set was made keeps its old view."""
    with MongoClient[dict[str, Any]](
        "127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=1000, connectTimeoutMS=1000
    ) as client:
        return client.admin.command(*command)


def is_initiated(port: int) -> bool:
    """Whether the server says that it is a set of its own now; it is asked to become one until it answers.

    Raises:
        OperationFailure: it refuses.

    """
    config = {"_id": REPLICA_SET, "members": [{"_id": 0, "host": f"127.0.0.1:{port}"}]}
    try:
        _command(port, "replSetInitiate", config)
    except OperationFailure as error:
        if error.code != ALREADY_INITIATED:
            raise
    except PyMongoError:
        return False
    return True


def is_up(port: int) -> bool:
    """Whether the server answers at all."""
    try:
        return bool(_command(port, "ping")["ok"])
    except PyMongoError:
        return False


def is_writable(port: int) -> bool:
    """Whether the server is the primary of its set."""
    try:
        return bool(_command(port, "hello")["isWritablePrimary"])
    except PyMongoError:
        return False


class Mongo(Service):
    """MongoDB, a replica set of one."""

    name: ClassVar[str] = "mongo"
    stop_signal: ClassVar[signal.Signals] = signal.SIGKILL

    def start(self) -> Mapping[str, str]:
        """Start it on a free port and wait until it takes writes."""
        server = mongod()
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        port = free_port()
        self.spawn(server, *mongod_options(data, port))
        self.wait_until(lambda: is_up(port))
        try:
            self.wait_until(lambda: is_initiated(port))
        except OperationFailure as error:
            raise CannotStartError(f"replSetInitiate failed: {error}") from error
        self.wait_until(lambda: is_writable(port))
        return {"PARCELA_TEST_MONGO_URL": f"mongodb://127.0.0.1:{port}/parcela?replicaSet={REPLICA_SET}"}
