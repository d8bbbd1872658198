"""The lab's promises: the command's exit code, nothing seen of the machine, nothing left behind."""

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.lab import supervisor
from tests.lab.service import free_port
from tests.lab.workdir import PREFIX, WorkDir

LAB = (sys.executable, "-m", "tests.lab")


def run_lab(base: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PARCELA_LAB_BASE": str(base)}
    return subprocess.run([*LAB, *arguments], check=False, capture_output=True, text=True, env=env, timeout=400)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -9 $$"], 128 + signal.SIGKILL),
        (["no-such-command"], 127),
    ],
)
def test_exit_code_is_the_commands(tmp_path: Path, command: list[str], code: int) -> None:
    assert run_lab(tmp_path, "--none", "--", *command).returncode == code
    assert list(tmp_path.iterdir()) == []


def test_says_why_a_service_is_missing(tmp_path: Path) -> None:
    done = run_lab(tmp_path, "--none", "--", "sh", "-c", "echo $PARCELA_TEST_POSTGRES_SKIP")
    assert done.stdout == "left out by --only or --none\n"


@pytest.mark.store
@pytest.mark.parametrize(
    ("service", "scheme", "hello", "answer"),
    [
        # Redis' own line protocol; MongoDB answers a web request with a sentence of its own.
        ("redis", "redis://", "PING\\r\\n", "+PONG"),
        ("mongo", "mongodb://", "GET / HTTP/1.0\\r\\n\\r\\n", "HTTP/1.0 200 OK"),
    ],
)
def test_store_answers_where_the_variable_says(
    tmp_path: Path, service: str, scheme: str, hello: str, answer: str
) -> None:
    script = f"""
set -eu
if [ -n "${{PARCELA_TEST_{service.upper()}_SKIP:-}}" ]; then echo "$PARCELA_TEST_{service.upper()}_SKIP"; exit 77; fi
url=$PARCELA_TEST_{service.upper()}_URL
case $url in {scheme}127.0.0.1:*) ;; *) echo "odd: $url"; exit 1 ;; esac
port=${{url#{scheme}127.0.0.1:}}; port=${{port%%/*}}
exec 3<>/dev/tcp/127.0.0.1/$port
printf '{hello}' >&3
read -r line <&3
echo "$line"
"""
    done = run_lab(tmp_path, "--only", service, "--", "bash", "-c", script)
    if done.returncode == 77:
        pytest.skip(done.stdout)
    assert (done.returncode, done.stdout.strip()) == (0, answer), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_unknown_service_is_refused(tmp_path: Path) -> None:
    done = run_lab(tmp_path, "--only", "oracle", "--", "true")
    assert done.returncode == 2
    assert "unknown service: oracle" in done.stderr


def test_isolated_command_sees_only_the_lab(tmp_path: Path) -> None:
    if reason := supervisor.why_not_isolated():
        pytest.skip(reason)
    script = "ls /sys/class/net; ls /proc | grep -c '^[0-9]'; cat /proc/sys/net/ipv4/ip_forward; ls -A /run/libvirt"
    # A session service starts no daemon, but is enough to ask for namespaces.
    done = run_lab(tmp_path, "--only", "session", "--", "sh", "-c", script)
    devices, processes, forwarding, *sockets = done.stdout.split()
    assert (devices, forwarding, sockets) == ("lo", "1", [])
    assert int(processes) < 10
    assert list(tmp_path.iterdir()) == []


def test_orphans_of_the_command_end_with_it(tmp_path: Path) -> None:
    if reason := supervisor.why_not_isolated():
        pytest.skip(reason)
    mark = str(tmp_path / "orphan")
    run_lab(tmp_path, "--only", "session", "--", "sh", "-c", f"setsid sh -c 'sleep 600; : {mark}' >&- 2>&- &")
    listing = subprocess.run(["ps", "-eo", "args"], check=True, capture_output=True, text=True).stdout
    assert mark not in listing


def test_sigterm_ends_the_command_and_cleans_up(tmp_path: Path) -> None:
    env = {**os.environ, "PARCELA_LAB_BASE": str(tmp_path)}
    command = [*LAB, "--only", "session", "--", "sh", "-c", "echo up; exec sleep 600"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as lab:
        assert lab.stdout is not None
        assert lab.stdout.readline() == "up\n"
        lab.terminate()
        assert lab.wait(300) == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


def test_nobody_sweeps_a_folder_that_is_made_and_not_locked_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, turned_away = tempfile.mkdtemp, []

    def made_while_another_lab_begins(**options: Any) -> str:
        another = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(another, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            turned_away.append(True)
        finally:
            os.close(another)
        return str(make(**options))

    monkeypatch.setattr(tempfile, "mkdtemp", made_while_another_lab_begins)
    WorkDir(tmp_path).close()
    assert turned_away == [True]


def test_a_port_is_given_once_and_is_none_that_the_kernel_gives_to_clients() -> None:
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == len(ports)
    first, _last = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()
    assert max(ports) < int(first)
    again = [
        sys.executable,
        "-c",
        f"import socket; socket.socket(socket.AF_UNIX).bind('\\0parcela-test-port-{ports[0]}')",
    ]
    assert "Address already in use" in subprocess.run(again, check=False, capture_output=True, text=True).stderr


def test_folder_of_a_dead_lab_is_swept_and_a_living_one_is_not(tmp_path: Path) -> None:
    (tmp_path / f"{PREFIX}dead").mkdir()
    living = WorkDir(tmp_path)
    another = WorkDir(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {living.name, another.name}
    another.close()
    living.close()
