"""Every benchmark starts, runs to its end with tiny sizes, and prints what it promises. How fast is not asked here."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.__main__ import NAMES

ROOT = Path(__file__).parents[3]
TINY = {
    "listing": ["--rounds", "1", "--seconds", "0.1", "--connections", "2"],
    "startup": ["--rounds", "1", "--kept-only"],
    "placement": ["--rounds", "1", "--instances", "2"],
    "scaling": ["--large", "2000", "--databases", "sqlite", "--rounds", "1", "--queries", "3"],
    "logins": ["--rounds", "1", "--seconds", "0.5"],
    "fanout": ["--clients", "3", "--events", "1", "--turns", "1"],
    "strangers": ["--silent", "4", "--bodies", "4", "--sockets", "2", "--seconds", "0.5", "--arrive-s", "0"],
    "deploy": ["2", "--rounds", "1"],
}
PROMISES = {
    "listing": ["warm, against FastAPI hello: requests/s", "cold, against entities + response_model: requests/s"],
    "startup": ["start to the first answer", "resident after a login and a list"],
    "placement": ["as one slice over many hosts", "slices that fill all hosts: placed"],
    "scaling": ["sqlite, page of 50, anywhere in the list: p50", "sqlite, one VM: p50"],
    "logins": ["logins/s, against bcrypt alone on all processors", "p95 of other requests, against without logins"],
    "fanout": ["from the request to the last client / raw writes, time"],
    "strangers": ["slowest answer with the strangers", "requests that failed meanwhile"],
    "deploy": ["not measured: "],  # without libvirt
}


def run(*words: str) -> str:
    """Output of ``python -m benchmarks``; it may miss promises, but must not break."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PARCELA_TEST_LIBVIRT")}
    command = [sys.executable, "-m", "benchmarks", *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr[-4000:]
    assert done.returncode in {0, 1}, done.stderr[-4000:]
    return done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_with_tiny_sizes(name: str, tmp_path: Path) -> None:
    tools = ["--tools", str(tmp_path)] if name in {"listing", "placement"} else []
    printed = run(name, *TINY[name], *tools)
    for promise in PROMISES[name]:
        assert promise in printed
    if tools:
        assert "is not installed; python3 -m venv" in printed


def test_an_unknown_name_is_refused() -> None:
    command = [sys.executable, "-m", "benchmarks", "speed"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "listing" in done.stderr
