"""A private Redis."""

import signal
import socket
from collections.abc import Mapping
from typing import ClassVar

from tests.lab.service import Service, find_program, free_port

WAIT_S = 1.0


def answers_ping(port: int) -> bool:
    """Whether a Redis answers on this port of the loopback address."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


class Redis(Service):
    """Redis that keeps nothing on disk."""

    name: ClassVar[str] = "redis"
    stop_signal: ClassVar[signal.Signals] = signal.SIGKILL

    def start(self) -> Mapping[str, str]:
        """Start it on a free port."""
        server = find_program("redis-server")
        port = free_port()
        self.spawn(
            server,
            *("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"),
            *("--dir", str(self.folder)),
        )
        self.wait_until(lambda: answers_ping(port))
        return {"PARCELA_TEST_REDIS_URL": f"redis://127.0.0.1:{port}/0"}
