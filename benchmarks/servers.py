"""Servers under test, each a process of its own under the same uvicorn settings as ``parcela serve``."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2

PASSWORD = "a-bench-password"  # noqa: S105 (of a server that lives for seconds)
START_DEADLINE_S = 300.0
"""Generous: nothing is measured by it, and compiling everything on a busy machine takes a minute."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def parcela_environment(folder: Path, port: int, **more: str) -> dict[str, str]:
    """Environment of a fresh installation with the simulated hypervisor."""
    keep = {key: value for key, value in os.environ.items() if not key.startswith("PARCELA_")}
    return {
        **keep,
        "PARCELA_DATA_DIR": str(folder),
        "PARCELA_ADMIN_PASSWORD": PASSWORD,
        "PARCELA_PORT": str(port),
        "PARCELA_HYPERVISOR": "simulated",
        "PARCELA_RATE_LIMIT": "100000000/minute",  # counted, as ever, but never reached
        **more,
    }


class Server:
    """A process that answers HTTP."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port
        self.api = httpx2.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=60)

    def wait(self, path: str) -> None:
        """Wait for the first answer."""
        end = time.monotonic() + START_DEADLINE_S
        while True:
            assert self.process.poll() is None, "the server ended"
            assert time.monotonic() < end, "the server does not answer"
            try:
                with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                    connection.sendall(f"GET {path} HTTP/1.0\r\nHost: bench\r\n\r\n".encode())
                    if b" 200 " in connection.recv(64):
                        return
            except OSError:
                time.sleep(0.002)

    def login(self) -> str:
        """Log in as the administrator; the token."""
        body = {"email": "admin@parcela.local", "password": PASSWORD}
        token: str = self.api.post("/login", json=body).raise_for_status().json()["access_token"]
        self.api.headers["Authorization"] = f"Bearer {token}"
        return token

    def post(self, path: str, body: object = None) -> Any:
        return self.api.post(path, json=body).raise_for_status().json()

    def close(self) -> None:
        self.api.close()
        self.process.terminate()
        self.process.wait(120)


@contextlib.contextmanager
def serving(command: list[str], port: int, path: str, environment: Mapping[str, str]) -> Iterator[Server]:
    """A server that has answered ``path``; its log goes to a file and is shown when it ends badly."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        server = Server(process, port)
        try:
            server.wait(path)
            yield server
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace")[-3000:])
            raise
        finally:
            server.close()


@contextlib.contextmanager
def parcela(folder: Path, **more: str) -> Iterator[Server]:
    """``parcela serve`` with the simulated hypervisor."""
    port = free_port()
    command = [str(Path(sys.executable).parent / "parcela"), "serve"]
    with serving(command, port, "/api/v1/system/health", parcela_environment(folder, port, **more)) as server:
        yield server


@contextlib.contextmanager
def other(factory: str, **environment: str) -> Iterator[Server]:
    """An application of ours to compare with, e.g. ``benchmarks.naive:app``."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.serve_other", factory, str(port)]
    with serving(command, port, "/hello", {**os.environ, **environment}) as server:
        yield server
