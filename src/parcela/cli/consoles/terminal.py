"""A serial console at a terminal: keys go to the guest as they are; Ctrl-] leaves."""

import os
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from parcela.cli.consoles.sockets import receive

QUIT_KEY = b"\x1d"


@contextmanager
def raw_terminal(descriptor: int) -> Iterator[None]:
    """Every key goes through at once and unseen; the old mode comes back in any case."""
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def up_to_quit(keys: bytes) -> tuple[bytes, bool]:
    """Keys before Ctrl-], and whether it was pressed."""
    before, quits, _ = keys.partition(QUIT_KEY)
    return before, bool(quits)


def send_keys(connection: ClientConnection, descriptor: int) -> None:
    """Send keys until Ctrl-], the end of stdin or that of the console."""
    with suppress(ConnectionClosed, OSError):
        while keys := os.read(descriptor, 4096):
            keys, quits = up_to_quit(keys)
            if keys:
                connection.send(keys)
            if quits:
                break
        connection.close()


def talk(connection: ClientConnection) -> None:
    """Join the terminal with a console until one of them ends it."""
    stdin, stdout = sys.stdin.fileno(), sys.stdout.fileno()
    # A daemon: when the console ends first, it still waits for a key.
    keys = threading.Thread(target=send_keys, args=(connection, stdin), name="parcela-keys", daemon=True)
    with raw_terminal(stdin):
        keys.start()
        while (data := receive(connection, tell=_note)) is not None:
            _write_all(stdout, data)


def _note(text: str) -> None:
    """A line of its own on a raw terminal, beside what the guest writes."""
    sys.stderr.write(f"\r\n[{text}]\r\n")
    sys.stderr.flush()


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
