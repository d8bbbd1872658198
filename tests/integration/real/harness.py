"""A real ``parcela serve`` process on the lab's libvirt, and what tests do with it."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.sync.client import connect

from tests.lab.service import free_port

PASSWORD = "a-test-password"
DEADLINE_S = 600.0
"""A net for what hangs: guests are emulated, on a machine that others share and that may be ten times slower."""
ENDED = {"succeeded", "failed", "cancelled", "stuck"}


def need(variable: str, skip_variable: str) -> str:
    """A variable of the lab; without it the test is skipped with the reason (and fails in CI)."""
    value = os.environ.get(variable, "")
    if value:
        return value
    reason = os.environ.get(skip_variable) or f"{variable} is not set: run under the test lab"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def eventually(what: str, check: Callable[[], Any], deadline_s: float = DEADLINE_S) -> Any:
    """Ask until the answer is true; the last answer."""
    end = time.monotonic() + deadline_s
    while True:
        answer = check()
        if answer:
            return answer
        assert time.monotonic() < end, f"not within {deadline_s} s: {what}"
        time.sleep(0.05)  # between two questions, never instead of one


def virsh(*words: str) -> str:
    """Output of virsh on the lab's libvirt."""
    command = ["virsh", "--quiet", "--connect", os.environ["PARCELA_TEST_LIBVIRT_URI"], *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def ip_links() -> set[str]:
    """Names of the network devices of this namespace."""
    lines = subprocess.run(["ip", "-o", "link"], check=True, capture_output=True, text=True).stdout.splitlines()
    return {line.split(":")[1].strip().split("@")[0] for line in lines}


def qemu_pid(vm_uuid: str) -> int:
    """Process of a VM, 0 when there is none."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().decode(errors="replace").split("\0")
            if words[0].endswith("qemu-system-x86_64") and vm_uuid in words:
                return int(path.parent.name)
    return 0


class Server:
    """One installation: a data folder, and the process that serves it."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.log = folder.parent / f"{folder.name}.log"
        self.port = free_port()
        keep = {key: value for key, value in os.environ.items() if not key.startswith("PARCELA_")}
        self._environment = {
            **keep,
            "PARCELA_DATA_DIR": str(folder),
            "PARCELA_ADMIN_PASSWORD": PASSWORD,
            "PARCELA_PORT": str(self.port),
            "PARCELA_SWEEP_INTERVAL_S": "1",
            "PARCELA_BOOT_TIMEOUT_S": "600",
            "PARCELA_SHUTDOWN_TIMEOUT_S": "300",
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.api = httpx2.Client(base_url=f"http://127.0.0.1:{self.port}/api/v1", timeout=DEADLINE_S)

    def start(self, module: str = "", **more: str) -> None:
        """Start ``parcela serve`` (or a test module that serves) and wait until it answers."""
        command = [sys.executable, "-m", module] if module else [str(Path(sys.executable).parent / "parcela"), "serve"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, env={**self._environment, **more}, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        eventually("the server answers", self._answers)
        body = {"email": "admin@parcela.local", "password": PASSWORD}
        token = self.api.post("/login", json=body).raise_for_status().json()["access_token"]
        self.api.headers["Authorization"] = f"Bearer {token}"

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the server ended:\n{self.log.read_text()[-4000:]}"
        try:
            return self.api.get("/system/health").status_code == 200
        except httpx2.TransportError:
            return False

    def kill(self) -> None:
        """``kill -9``: no goodbye."""
        self._end(signal.SIGKILL)

    def wait_dead(self) -> None:
        """Wait until the process has killed itself."""
        assert self._process is not None
        assert self._process.wait(DEADLINE_S) == -signal.SIGKILL
        self._process = None

    def stop(self) -> None:
        """An orderly stop."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
            self._process.wait(DEADLINE_S)
            self._process = None

    # ---- the API

    def get(self, path: str, **params: Any) -> Any:
        """GET, as JSON."""
        return self.api.get(path, params=params).raise_for_status().json()

    def post(self, path: str, body: object = None) -> Any:
        """POST, as JSON."""
        return self.api.post(path, json=body).raise_for_status().json()

    def settle(self, operation: Mapping[str, Any]) -> dict[str, Any]:
        """Wait until an operation has ended."""

        def ended() -> Any:
            found = self.get(f"/operations/{operation['id']}")
            return found if found["state"] in ENDED else None

        return dict(eventually(f"the end of operation {operation['id']}", ended))

    def do(self, path: str, body: object = None) -> dict[str, Any]:
        """POST something that takes longer; it has to succeed."""
        return self.succeed(self.post(path, body))

    def succeed(self, operation: Mapping[str, Any]) -> dict[str, Any]:
        """Wait for success."""
        ended = self.settle(operation)
        assert ended["state"] == "succeeded", f"{ended}\n{self.log.read_text()[-3000:]}"
        return ended

    def delete(self, path: str) -> dict[str, Any]:
        """DELETE something that takes longer; it has to succeed."""
        return self.succeed(self.api.delete(path).raise_for_status().json())

    def template(self, document: Mapping[str, Any], name: str = "lab") -> int:
        """Save a template; its id."""
        return int(self.post("/templates/", {"name": name, "document": document})["id"])

    def slice(self, template_id: int, **more: Any) -> int:
        """Make and deploy a slice; its id."""
        made = self.post("/slices/", {"template_id": template_id, **more})
        self.do(f"/slices/{made['id']}/deploy")
        return int(made["id"])

    def vms(self, slice_id: int) -> dict[str, dict[str, Any]]:
        """VMs of a slice by name."""
        return {vm["name"]: vm for vm in self.get(f"/slices/{slice_id}/vms")}

    def domains(self) -> set[str]:
        """UUIDs of all domains of the lab's libvirt."""
        return set(virsh("list", "--all", "--uuid").split())

    @contextlib.contextmanager
    def console(self, vm_id: int) -> Iterator["Console"]:
        """The serial console of a VM, through our WebSocket."""
        ticket = self.post(f"/virtual-machines/{vm_id}/console", {"kind": "serial"})
        url = f"ws://127.0.0.1:{self.port}{ticket['url']}?ticket={ticket['ticket']}"
        with connect(url, open_timeout=DEADLINE_S, ping_interval=None) as socket_:
            yield Console(socket_)

    def run(self, vm_id: int, command: str) -> tuple[int, str]:
        """Run a shell command in a guest: (exit code, output)."""
        with self.console(vm_id) as console:
            return console.run(command)


class Console:
    """A shell on a serial line."""

    def __init__(self, socket_: Any) -> None:
        self._socket = socket_
        self._seen = b""
        self._number = 0

    def _until(self, pattern: bytes) -> re.Match[bytes]:
        end = time.monotonic() + DEADLINE_S
        while not (found := re.search(pattern, self._seen)):
            left_s = end - time.monotonic()
            assert left_s > 0, f"{pattern!r} did not come; got {self._seen[-2000:]!r}"
            self._seen += self._socket.recv(left_s)
        self._seen = self._seen[found.end() :]
        return found

    def wait_for(self, text: str) -> None:
        """Wait until the guest has printed a text."""
        self._until(re.escape(text.encode()))

    def run(self, command: str) -> tuple[int, str]:
        """Run a command; its output lies between marks that no echo of the command line holds."""
        if not self._number:
            # What is typed after the guest is ready and before its getty has begun is thrown away.
            self.wait_for(":~# ")
        self._number += 1
        mark = f"{os.getpid()}x{self._number}x{time.monotonic_ns()}"
        self._socket.send(f"echo BE''GIN {mark}; {command}; echo E''ND {mark} $?\n".encode())
        found = self._until(rf"(?s)BEGIN {mark}\r*\n(.*?)END {mark} (\d+)".encode())
        return int(found[2]), found[1].decode(errors="replace").replace("\r", "").strip()


@contextlib.contextmanager
def installation(**environment: str) -> Iterator[Server]:
    """A fresh installation on the lab's libvirt; nothing of it is left afterwards."""
    need("PARCELA_TEST_LIBVIRT_URI", "PARCELA_TEST_LIBVIRT_SKIP")
    guest = need("PARCELA_TEST_GUEST_DIR", "PARCELA_TEST_GUEST_SKIP")
    folder = Path(tempfile.mkdtemp(prefix="parcela-real-", dir=need("PARCELA_TEST_TMP", "PARCELA_TEST_TMP_SKIP")))
    folder.chmod(0o711)
    server = Server(folder / "data", {"PARCELA_GUEST_DIR": guest, "PARCELA_ACCELERATION": "tcg", **environment})
    before = set(virsh("list", "--all", "--uuid").split())
    try:
        yield server
    finally:
        server.kill()
        server.api.close()
        for uuid in set(virsh("list", "--all", "--uuid").split()) - before:
            subprocess.run(["virsh", "-q", "destroy", uuid], check=False, capture_output=True)
            subprocess.run(["virsh", "-q", "undefine", "--managed-save", uuid], check=False, capture_output=True)
        for name in virsh("net-list", "--all", "--name").split():
            subprocess.run(["virsh", "-q", "net-destroy", name], check=False, capture_output=True)
            subprocess.run(["virsh", "-q", "net-undefine", name], check=False, capture_output=True)
        for link in ip_links():
            if link.startswith(("pcb", "pct")):
                subprocess.run(["ip", "link", "del", link], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


def pair(**more: Any) -> dict[str, Any]:
    """Two VMs on one edge."""
    vms = [{"name": name, "image": "tiny", "flavour": "tiny", **more} for name in ("left", "right")]
    edge = {"a": {"vm": "left", "address": "10.9.0.1/24"}, "b": {"vm": "right", "address": "10.9.0.2/24"}}
    return {"vms": vms, "networks": [], "edges": [edge]}


def single(**more: Any) -> dict[str, Any]:
    """One VM alone."""
    return {"vms": [{"name": "only", "image": "tiny", "flavour": "tiny", **more}], "networks": [], "edges": []}
