"""Consoles in scripts."""

import re

import pytest

from parcela.cli.consoles.scripted import Script, Session, answer_of, check_seen, keys_of
from parcela.cli.consoles.sockets import socket_url
from parcela.cli.consoles.terminal import up_to_quit
from parcela.cli.exits import CliError, Exit

QUIET = TimeoutError()


class Console:
    """Gives its parts one by one, each only after so many keys; time passes only when it is quiet."""

    def __init__(self, *parts: bytes | TimeoutError | None) -> None:
        self.parts = list(parts)
        self.typed = b""
        self.now = 0.0

    def receive(self, timeout_s: float) -> bytes | None:
        part = self.parts.pop(0) if self.parts else QUIET
        if isinstance(part, TimeoutError):
            self.now += timeout_s
            raise part
        return part

    def session(self) -> Session:
        return Session(self.receive, self._send, lambda: self.now)

    def _send(self, keys: bytes) -> None:
        self.typed += keys


def script(text: str, until: str | None, timeout_s: float = 20) -> Script:
    return Script(text, re.compile(until, re.MULTILINE) if until else None, timeout_s)


def test_what_was_printed_before_does_not_count() -> None:
    console = Console(
        b"client:~# hostname\r\nclient\r\nclient:~# ", QUIET, b"host", b"name\r\ncli", b"ent\r\nclient:~# "
    )
    assert console.session().run(script("hostname", "^client$")) == ("client\nclient:~# ", True)
    assert console.typed == b"hostname\r"


def test_the_echo_does_not_count() -> None:
    console = Console(QUIET, b"echo OK\r\n", QUIET)
    assert console.session().run(script("echo OK", "OK", 5)) == ("", False)


def test_without_anything_to_type_history_counts() -> None:
    console = Console(b"Booting...\r\n", b"PARCELA READY host=client\r\n")
    output, seen = console.session().run(script("", "PARCELA READY"))
    assert seen
    assert output.startswith("Booting...\n")
    assert console.typed == b""


def test_it_waits_no_longer_than_allowed() -> None:
    console = Console(QUIET, b"true\r\n# ", QUIET)
    assert console.session().run(script("true", "never", 3)) == ("# ", False)
    assert console.now >= 3


def test_a_console_that_ends_ends_the_script() -> None:
    console = Console(QUIET, b"poweroff\r\ndown", None)
    session = console.session()
    assert session.run(script("poweroff", None)) == ("down", False)
    assert session.ended


def test_several_lines_count_from_the_last() -> None:
    console = Console(QUIET, b"a\r\n1\r\n# b\r\n2\r\n# ", QUIET)
    assert console.session().run(script("a\nb\n", "2")) == ("2\n# ", True)
    assert console.typed == b"a\rb\r"


@pytest.mark.parametrize(
    ("printed", "typed", "answer"),
    [
        (b"", "ls", None),
        (b"l", "ls", None),
        (b"ls", "ls", ""),
        (b"\r\nWelcome\r\n", "secret", "Welcome\n"),
        (b"x\xff", "", "x\ufffd"),
    ],
)
def test_answers(printed: bytes, typed: str, answer: str | None) -> None:
    assert answer_of(printed, typed) == answer


def test_keys() -> None:
    assert keys_of("a\r\nñ\n") == "a\rñ\r".encode()
    assert up_to_quit(b"ab\x1dcd") == (b"ab", True)
    assert up_to_quit(b"ab") == (b"ab", False)


def test_waiting_in_vain_is_an_error() -> None:
    with pytest.raises(CliError) as caught:
        check_seen(script("", "x"), seen=False)
    assert caught.value.code is Exit.OPERATION_FAILED
    check_seen(script("", None), seen=False)


def test_addresses_of_sockets() -> None:
    assert socket_url("https://lab/cloud", "/api/v1/x", "a b") == "wss://lab/cloud/api/v1/x?ticket=a%20b"
    assert socket_url("http://[::1]:8000", "/api/v1/x", "t") == "ws://[::1]:8000/api/v1/x?ticket=t"
