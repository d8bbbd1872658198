"""Start the services side by side, run the command among them, stop them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from tests.lab.libvirt import Libvirt
from tests.lab.mariadb import MariaDB
from tests.lab.mongo import Mongo
from tests.lab.postgres import Postgres
from tests.lab.redis import Redis
from tests.lab.service import CannotStartError, Service
from tests.lab.session import LibvirtSession
from tests.lab.workdir import WorkDir

SERVICES: tuple[type[Service], ...] = (Libvirt, LibvirtSession, Postgres, MariaDB, Redis, Mongo)
KILL_AFTER_S = 15.0

Handler = Callable[[int, FrameType | None], None]


def say(text: str) -> None:
    """Tell the developer; standard output belongs to the command."""
    print(f"lab: {text}", file=sys.stderr, flush=True)


class _TerminatedError(BaseException):
    """SIGTERM or SIGHUP came while services were starting; like KeyboardInterrupt, no `except Exception` eats it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@dataclass
class Lab:
    """One command among its services."""

    workdir: WorkDir
    names: frozenset[str]
    not_isolated: str | None
    """Why the lab has no namespaces of its own; None when it has."""

    _running: list[Service] = field(default_factory=list)

    def run(self, command: Sequence[str]) -> int:
        """Return the command's exit code, 128 + N when signal N ended it."""
        signal.signal(signal.SIGTERM, _raise_terminated)
        signal.signal(signal.SIGHUP, _raise_terminated)
        signal.signal(signal.SIGUSR1, signal.default_int_handler)
        try:
            variables = self._start()
            return _run_command(command, {**os.environ, **variables})
        except KeyboardInterrupt:
            say("interrupted")
            return 128 + signal.SIGINT
        except _TerminatedError as error:
            return 128 + error.number
        finally:
            self._stop()

    def _start(self) -> dict[str, str]:
        began = time.monotonic()
        variables = self._variables()
        chosen = [kind for kind in SERVICES if kind.name in self.names]
        for kind in SERVICES:
            if kind not in chosen:
                variables[_skip(kind)] = "left out by --only or --none"
        if self.not_isolated is not None and Libvirt in chosen:
            chosen.remove(Libvirt)
            variables[_skip(Libvirt)] = f"no private qemu:///system: {self.not_isolated}"
        self._running = [kind(self.workdir.folder(kind.name)) for kind in chosen]
        with ThreadPoolExecutor(max_workers=max(1, len(chosen))) as pool:
            try:
                for outcome in pool.map(_try_start, self._running):
                    variables.update(outcome)
            except BaseException:  # An interrupt: let the threads end before the pool waits for them.
                for service in self._running:
                    service.give_up()
                raise
        for name, reason in variables.items():
            if name.endswith("_SKIP") and "--only" not in reason:
                say(f"{name}: {reason}")
        names = ", ".join(kind.name for kind in chosen if _skip(kind) not in variables) or "no services"
        say(f"{names} ready in {time.monotonic() - began:.1f} s")
        return variables

    def _variables(self) -> dict[str, str]:
        """Return what the command gets whatever services run."""
        root = Path.cwd()
        tmp = self.workdir.folder("tmp", mode=0o1777)
        guest = root / os.environ.get("PARCELA_GUEST_DIR", ".cache/guest")
        debian = root / os.environ.get("PARCELA_DEBIAN_DIR", ".cache/debian")
        variables = {
            "PARCELA_TEST_LAB": self.workdir.name,
            "PARCELA_TEST_ISOLATED": "0" if self.not_isolated else "1",
            "PARCELA_TEST_TMP": str(tmp),
            "TMPDIR": str(tmp),
        }
        for name, path in (("GUEST", guest), ("DEBIAN", debian)):
            # The builders write their description last.
            if any(path.glob("*.json")):
                variables[f"PARCELA_TEST_{name}_DIR"] = str(path)
            else:
                variables[f"PARCELA_TEST_{name}_SKIP"] = f"not built: {path} (make guest)"
        chromium = Path("/usr/bin/chromium")
        if chromium.is_file():
            variables["PARCELA_TEST_CHROMIUM"] = str(chromium)
        else:
            variables["PARCELA_TEST_CHROMIUM_SKIP"] = "Debian's chromium is not installed"
        return variables

    def _stop(self) -> None:
        # A second Ctrl-C must not leave half of it running.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for service in reversed(self._running):
            service.stop()


def _skip(kind: type[Service]) -> str:
    return f"PARCELA_TEST_{kind.name.upper()}_SKIP"


def _try_start(service: Service) -> Mapping[str, str]:
    try:
        return service.start()
    except CannotStartError as error:
        service.stop()
        return {_skip(type(service)): str(error)}


def _raise_terminated(number: int, _frame: FrameType | None) -> None:
    raise _TerminatedError(number)


def _run_command(command: Sequence[str], env: Mapping[str, str]) -> int:
    try:
        process = subprocess.Popen(command, env=dict(env))
    except OSError as error:
        say(f"cannot run {command[0]}: {error.strerror}")
        return 127
    # Ctrl-C reaches the command by itself; what came to the lab alone is handed on.
    signal.signal(signal.SIGINT, lambda _number, _frame: None)
    signal.signal(signal.SIGUSR1, lambda _number, _frame: process.send_signal(signal.SIGINT))
    signal.signal(signal.SIGTERM, _hand_on(process))
    signal.signal(signal.SIGHUP, _hand_on(process))
    code = process.wait()
    return 128 - code if code < 0 else code


def _hand_on(process: subprocess.Popen[bytes]) -> Handler:
    def handler(number: int, _frame: FrameType | None) -> None:
        process.send_signal(number)
        # An interactive shell ignores SIGTERM.
        signal.signal(signal.SIGALRM, lambda _number, _frame: process.kill())
        signal.setitimer(signal.ITIMER_REAL, KILL_AFTER_S)

    return handler
