"""Debian's nginx with our configuration, in front of replicas that a test started."""

import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2

from tests.lab.service import CannotStartError, find_program, free_port

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nginx.conf"
PATIENCE_S = 240.0
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def why_no_nginx() -> str:
    """Why there is no nginx here; "" when there is one."""
    try:
        find_program("nginx")
    except CannotStartError as error:
        return str(error)
    return ""


def render(folder: Path, port: int, replicas: Sequence[int]) -> Path:
    """The configuration of ``deploy``, with its three replicas and its port put on this machine."""
    text = CONFIGURATION.read_text()
    for number, replica in enumerate(replicas, 1):
        text = text.replace(f"server parcela-{number}:8000", f"server 127.0.0.1:{replica}")
    assert not re.search(r"server parcela-\d", text), "the configuration names more replicas than were given"
    text = text.replace("listen 80;", f"listen 127.0.0.1:{port};")
    own = [f"{name}_temp_path {folder / name};" for name in TEMPORARY]
    text = text.replace("http {", "\n".join(["http {", "access_log off;", *own]), 1)
    text = f"pid {folder / 'nginx.pid'};\nerror_log stderr;\n{text}"
    path = folder / "nginx.conf"
    path.write_text(text)
    return path


def check(path: Path) -> subprocess.CompletedProcess[str]:
    """``nginx -t``."""
    command = (find_program("nginx"), "-t", "-q", "-p", str(path.parent), "-c", str(path))
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE_S)


@contextmanager
def in_front_of(folder: Path, replicas: Sequence[int], *instead: tuple[str, str]) -> Iterator[str]:
    """nginx in front of three ports; its address. ``instead``: directives, and what a test has in their place."""
    port = free_port()
    path = render(folder, port, replicas)
    for directive, other in instead:
        text = path.read_text()
        assert directive in text, directive
        path.write_text(text.replace(directive, other))
    command = (find_program("nginx"), "-p", str(folder), "-c", str(path), "-g", "daemon off;")
    with (folder / "nginx.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + PATIENCE_S
        while True:
            assert process.poll() is None, (folder / "nginx.log").read_text()
            assert time.monotonic() < deadline, "nginx does not answer"
            try:
                httpx2.get(f"{url}/api/v1/system/health", timeout=5)
                break
            except httpx2.TransportError:
                time.sleep(0.02)  # between two looks
        yield url
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE_S)
