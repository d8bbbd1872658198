"""What every service of the lab has in common."""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

START_TIMEOUT_S = 300.0
STOP_TIMEOUT_S = 10.0
PORTS = range(12_000, 32_000)
"""Below those that the kernel gives to clients (from 32768 on)."""
SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"


class CannotStartError(Exception):
    """The service cannot run here; the text is the reason that skipped tests show."""


class Service(ABC):
    """One private service: `start` returns the variables that tell the command where it is.

    A new one is a subclass in a file of its own, listed in `lab.py`. `stop` may be called after a
    failed or interrupted `start`, and twice.
    """

    name: ClassVar[str]
    """Used on the command line, and in upper case in `PARCELA_TEST_<NAME>_SKIP`."""

    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self._stopping = threading.Event()

    @abstractmethod
    def start(self) -> Mapping[str, str]:
        """Start, wait until it answers, and return the variables for the command.

        Raises:
            CannotStartError: it cannot, with the reason.

        """

    def give_up(self) -> None:
        """Make a `start` that runs in another thread end soon."""
        self._stopping.set()

    def stop(self) -> None:
        """End every process that `spawn` made; what it stored is thrown away with the folder."""
        self.give_up()
        for process in reversed(self._processes):
            if process.poll() is None:
                process.send_signal(self.stop_signal)
        for process in reversed(self._processes):
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def spawn(self, *command: str, user: str | None = None, env: Mapping[str, str] | None = None) -> None:
        """Start a daemon in the foreground of a session of its own, out of reach of Ctrl-C."""
        with self._log(command[0]).open("ab") as log:
            self._processes.append(
                subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=self.folder,
                    env=dict(env or os.environ),
                    start_new_session=True,
                    user=user,
                    group=_group(user),
                    extra_groups=None if user is None else [],
                )
            )

    def run(self, *command: str, user: str | None = None) -> None:
        """Run a preparing command to its end."""
        with self._log(command[0]).open("ab") as log:
            done = subprocess.run(
                command,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,
                user=user,
                group=_group(user),
                extra_groups=None if user is None else [],
            )
        if done.returncode != 0:
            raise CannotStartError(f"{Path(command[0]).name} failed: {self._last_line(command[0])}")

    def wait_until(self, answers: Callable[[], bool]) -> None:
        """Wait until the daemon spawned last answers."""
        process = self._processes[-1]
        program = str(process.args[0]) if isinstance(process.args, Sequence) else self.name
        deadline = time.monotonic() + START_TIMEOUT_S
        while not answers():
            if process.poll() is not None:
                raise CannotStartError(f"{Path(program).name} ended: {self._last_line(program)}")
            if time.monotonic() > deadline:
                raise CannotStartError(f"{Path(program).name} did not answer within {START_TIMEOUT_S:.0f} s")
            if self._stopping.wait(0.05):
                raise CannotStartError("interrupted")

    def _log(self, program: str) -> Path:
        return self.folder / f"{Path(program).name}.log"

    def _last_line(self, program: str) -> str:
        lines = self._log(program).read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "no output")


def find_program(name: str, *folders: str) -> str:
    """Return the path of a program; Debian keeps daemons where an ordinary user's PATH does not look."""
    found = shutil.which(name, path=os.pathsep.join([*folders, os.environ.get("PATH", ""), SYSTEM_PATH]))
    if found is None:
        raise CannotStartError(f"{name} is not installed")
    return found


def free_port() -> int:
    """Return a TCP port of the loopback address that nobody listens on, and that nobody else gets from here.

    A port that the kernel chose is one of those it gives to clients, too: any connection may take it before the daemon
    binds it, or while a test has the daemon down. Even one that waits for this daemon: a client that is given the very
    port it asks for is connected with itself, and the daemon finds its port in use.
    """
    while True:
        port = secrets.choice(PORTS)
        # A name of the network namespace, as ports are; it is given up when this process ends, however that happens.
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0parcela-test-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
        else:
            claim.detach()
            return port


def own_user(service_user: str) -> str | None:
    """Return the user that a daemon must run as: `service_user` when we are root, else ourselves (None)."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(service_user)
    except KeyError:
        raise CannotStartError(f"the user {service_user} does not exist") from None
    return service_user


def give_to(path: Path, user: str | None) -> None:
    """Make `user` the owner of a folder; None leaves it."""
    if user is not None:
        shutil.chown(path, user, pwd.getpwnam(user).pw_gid)


def _group(user: str | None) -> int | None:
    return None if user is None else pwd.getpwnam(user).pw_gid
