"""At a terminal: a pseudo-terminal stands for the person's."""

import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.integration.cli.conftest import Server, done
from tests.unit.cli.support import run

TIMEOUT_S = 300


class Person:
    """Sits at the terminal of one run of ``parcela``."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int) -> None:
        self.process = process
        self.terminal = terminal
        self.seen = ""

    def waits_for(self, text: str) -> None:
        """Read until the text appears after what was waited for last."""
        deadline = time.monotonic() + TIMEOUT_S
        while text not in self.seen:
            self._reads(deadline)
        self.seen = self.seen.partition(text)[2]

    def types(self, keys: bytes) -> None:
        os.write(self.terminal, keys)

    def reads_to_the_end(self) -> int:
        """Read what is left; the exit code."""
        deadline = time.monotonic() + TIMEOUT_S
        # an error is how a pseudo-terminal says that nobody has it open any more
        with suppress(OSError):
            while True:
                self._reads(deadline)
        return self.process.wait(timeout=TIMEOUT_S)

    def _reads(self, deadline: float) -> None:
        ready, _, _ = select.select([self.terminal], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"nothing more came; seen: {self.seen!r}"
        self.seen += os.read(self.terminal, 65536).decode(errors="replace")


@contextmanager
def person_at(*arguments: str) -> Iterator[Person]:
    terminal, side = pty.openpty()
    environ = os.environ | {"TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    command = [sys.executable, "-m", "parcela.cli", *arguments]
    process = subprocess.Popen(command, stdin=side, stdout=side, stderr=side, env=environ)
    os.close(side)
    try:
        yield Person(process, terminal)
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


@pytest.fixture
def machine(admin: Server) -> Iterator[str]:
    done(run("vm", "create", "desk", "--image", "tiny", "--flavour", "tiny"))
    yield "desk"
    done(run("vm", "delete", "desk", "--yes"))


def test_keys_go_to_the_guest_until_the_quit_key(machine: str) -> None:
    with person_at("console", machine) as person:
        person.waits_for("Ctrl-] leaves it")
        person.waits_for("desk:~# ")
        person.types(b"hostname\r")
        person.waits_for("hostname\r\ndesk\r\n")
        person.types(b"\x1d")
        assert person.reads_to_the_end() == 0
        assert "The console is closed." in person.seen


def test_the_guest_that_switches_itself_off_ends_the_console(machine: str) -> None:
    with person_at("console", machine) as person:
        before = termios.tcgetattr(person.terminal)
        person.waits_for("desk:~# ")
        person.types(b"poweroff\r")
        assert person.reads_to_the_end() == 0
        assert termios.tcgetattr(person.terminal) == before


def test_a_second_console_is_shared_and_its_keyboard_comes_back(machine: str) -> None:
    with person_at("console", machine) as first:
        first.waits_for("desk:~# ")
        with person_at("console", machine) as second:
            second.waits_for("desk:~# ")
            first.waits_for("[admin types now. You see everything, and type again when they leave.]\r\n")
            first.types(b"echo dropped\r")
            second.types(b"echo both-see\r")
            for person in (first, second):
                person.waits_for("\r\nboth-see\r\n")
            second.types(b"\x1d")
            assert second.reads_to_the_end() == 0
        first.waits_for("[The keyboard is yours again.]\r\n")
        first.types(b"hostname\r")
        first.waits_for("hostname\r\ndesk\r\n")
        assert "dropped" not in first.seen
        first.types(b"\x1d")
        assert first.reads_to_the_end() == 0


def test_losing_data_is_asked_back_and_progress_is_live(machine: str) -> None:
    with person_at("vm", "reset", machine) as person:
        person.waits_for("Go on? [y/N]")
        person.types(b"n\r")
        assert person.reads_to_the_end() == 130
    with person_at("vm", "reset", machine) as person:
        person.waits_for("Go on? [y/N]")
        person.types(b"y\r")
        assert person.reads_to_the_end() == 0
        assert "3/3" in person.seen
        assert "is as new" in person.seen


def test_a_password_is_not_shown(strangers: Server) -> None:
    with person_at("login", "--email", "admin@parcela.local") as person:
        person.waits_for("Password: ")  # the space comes when nothing is shown any more
        person.types(b"adminadmin\r")
        assert person.reads_to_the_end() == 0
        assert "adminadmin" not in person.seen
        assert "Logged in to" in person.seen
