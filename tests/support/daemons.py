"""Stores that a test may kill and start again: its own processes, on the same port and with the same files."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.lab.mongo import REPLICA_SET, initiate, is_up, is_writable, mongod, mongod_options
from tests.lab.redis import answers_ping
from tests.lab.service import CannotStartError, find_program, free_port

PATIENCE_S = 60.0


@dataclass
class Daemon:
    """One process.

    Attributes:
        url: where clients find it.
        command: starts it in the foreground.
        ready: whether it answers.
        folder: of its log.
    """

    url: str
    command: tuple[str, ...]
    ready: Callable[[], bool]
    folder: Path
    _process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "daemon.log").open("ab") as log:
            self._process = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE_S
        while not self.ready():
            assert self._process.poll() is None, (self.folder / "daemon.log").read_text()
            assert time.monotonic() < deadline, f"{self.command[0]} does not answer"
            time.sleep(0.02)  # between two looks, not a guess of how long it takes

    def kill(self) -> None:
        """Kill it, as a power cut would."""
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()


@contextmanager
def own_redis(folder: Path) -> Iterator[Daemon]:
    """A Redis that forgets everything when it is killed."""
    try:
        server = find_program("redis-server")
    except CannotStartError as error:
        pytest.skip(str(error))
    port = free_port()
    options = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder))
    daemon = Daemon(f"redis://127.0.0.1:{port}/0", (server, *options), lambda: answers_ping(port), folder)
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.kill()


@contextmanager
def own_mongo(folder: Path) -> Iterator[Daemon]:
    """A MongoDB, a replica set of one, that keeps its files when it is killed."""
    try:
        server = mongod()
    except CannotStartError as error:
        pytest.skip(str(error))
    port, data = free_port(), folder / "mongo"
    data.mkdir()
    url = f"mongodb://127.0.0.1:{port}/parcela?replicaSet={REPLICA_SET}"
    daemon = Daemon(url, (server, *mongod_options(data, port)), lambda: is_up(port), folder)
    try:
        daemon.start()
        initiate(port)
        daemon.ready = lambda: is_writable(port)
        _until(lambda: is_writable(port))
        yield daemon
    finally:
        daemon.kill()


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
