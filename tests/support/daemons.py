"""Stores that a test may kill and start again: its own processes, on the same port and with the same files."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.lab.mariadb import GRANTS, PASSWORD
from tests.lab.mongo import REPLICA_SET, is_initiated, is_up, is_writable, mongod, mongod_options
from tests.lab.redis import answers_ping
from tests.lab.service import CannotStartError, find_program, free_port, give_to, own_user

PATIENCE_S = 240.0


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
        _until(lambda: is_initiated(port))
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


@contextmanager
def own_mariadb(folder: Path) -> Iterator[Daemon]:
    """A MariaDB with an empty database, that keeps its files when it is killed."""
    try:
        server, install, admin = (find_program(name) for name in ("mariadbd", "mariadb-install-db", "mariadb-admin"))
        user = own_user("mysql")
    except CannotStartError as error:
        pytest.skip(str(error))
    home = Path(tempfile.mkdtemp(prefix="mariadb-"))  # of its own: the user mysql may not enter pytest's folders
    home.chmod(0o755)
    data, port = home / "data", free_port()
    give_to(home, user)
    as_user = [f"--user={user}"] if user else []
    prepare = [install, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal"]
    subprocess.run([*prepare, "--skip-test-db", *as_user], check=True, capture_output=True)
    grants = home / "grants.sql"
    again = GRANTS.replace("CREATE DATABASE", "CREATE DATABASE IF NOT EXISTS")
    grants.write_text(again.replace("CREATE USER", "CREATE USER IF NOT EXISTS"))
    command = (
        *(server, "--no-defaults", f"--datadir={data}", f"--port={port}", "--bind-address=127.0.0.1"),
        *("--skip-name-resolve", f"--socket={home / 'sock'}", f"--pid-file={home / 'pid'}", f"--init-file={grants}"),
        *("--character-set-server=utf8mb4", "--collation-server=utf8mb4_general_ci", "--skip-log-bin", *as_user),
    )
    ping = [admin, "--no-defaults", "--silent", "--host=127.0.0.1", f"--port={port}", "--user=parcela"]
    ping += [f"--password={PASSWORD}", "ping"]
    daemon = Daemon(
        f"mysql+aiomysql://parcela:{PASSWORD}@127.0.0.1:{port}/parcela",
        command,
        lambda: (
            subprocess.run([*ping, f"--password={PASSWORD}", "ping"], check=False, capture_output=True).returncode == 0
        ),
        folder,
    )
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.kill()
        shutil.rmtree(home)
