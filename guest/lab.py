"""Guests under plain QEMU, driven by their serial lines and monitors; every wait has a deadline."""

from __future__ import annotations

import json
import os
import re
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from seed_iso import seed_iso

COMMAND_DEADLINE_S = 30.0


class SelfTestError(Exception):
    """A check failed; the message says which and what was seen instead."""


def free_port(kind: socket.SocketKind) -> int:
    """A port of 127.0.0.1 that nobody uses at this moment."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return cast("int", probe.getsockname()[1])


@dataclass
class Guest:
    """One QEMU process, its serial line and its monitor."""

    name: str
    arguments: Sequence[str]
    directory: Path
    verbose: bool = False
    transcript: str = ""
    _mark: int = 0
    _started_s: float = 0.0
    _process: subprocess.Popen[bytes] = field(init=False)
    _serial: socket.socket = field(init=False)
    _monitor: socket.socket = field(init=False)
    _monitor_buffer: bytes = b""

    def start(self) -> None:
        """Starts QEMU and connects to both of its sockets; nothing of the boot's output is lost."""
        ours: list[socket.socket] = []
        command = [*self.arguments]
        for role in ("serial", "monitor"):
            mine, theirs = socket.socketpair()
            os.set_inheritable(theirs.fileno(), True)
            command += ["-chardev", f"socket,id={role},fd={theirs.fileno()}"]
            ours += [mine, theirs]
        command += ["-serial", "chardev:serial", "-mon", "chardev=monitor,mode=control"]
        inherited = (ours[1].fileno(), ours[3].fileno())
        log = (self.directory / f"{self.name}.qemu.log").open("wb")
        with log:
            self._process = subprocess.Popen(
                command, pass_fds=inherited, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        ours[1].close()
        ours[3].close()
        self._serial, self._monitor = ours[0], ours[2]
        self._started_s = time.monotonic()
        self._read_monitor()  # the greeting
        self.qmp("qmp_capabilities")

    def expect(self, pattern: str, deadline_s: float = COMMAND_DEADLINE_S) -> re.Match[str]:
        """Waits until the serial output since the last match matches `pattern`, and moves past it.

        End a pattern with a newline, not with `$`, which also matches where the output so far happens to stop.
        """
        compiled = re.compile(pattern, re.MULTILINE)
        give_up_s = time.monotonic() + deadline_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._serial, selectors.EVENT_READ)
            while (match := compiled.search(self.transcript, self._mark)) is None:
                left_s = give_up_s - time.monotonic()
                if left_s <= 0 or not selector.select(left_s):
                    raise SelfTestError(f"{self.name}: no {pattern!r} in {deadline_s:.0f} s, seen: {self._tail()}")
                chunk = self._serial.recv(65536)
                if not chunk:
                    raise SelfTestError(f"{self.name}: QEMU ended before {pattern!r}, seen: {self._tail()}")
                text = chunk.decode("utf-8", "replace").replace("\r", "")
                self.transcript += text
                if self.verbose:
                    sys.stderr.write(text)
        self._mark = match.end()
        return match

    def type_line(self, line: str) -> None:
        """Types one line on the serial console."""
        self._serial.sendall(f"{line}\n".encode())

    def run(self, command: str, deadline_s: float = COMMAND_DEADLINE_S) -> str:
        """Runs one shell command over the serial line and returns its output; a failing command is an error."""
        # Quotes inside the marks keep the echo of what is typed from looking like the answer.
        self.type_line(f"echo 'BEG''IN'; {command}; echo \"END=\"$?")
        match = self.expect(r"^BEGIN\n((?:.*\n)*?)END=(\d+)\n", deadline_s)
        if match[2] != "0":
            raise SelfTestError(f"{self.name}: {command!r} ended with {match[2]}: {match[1]}")
        return match[1]

    def qmp(self, command: str, **arguments: str) -> Any:
        """One QEMU monitor command; events that come in between are skipped."""
        self._monitor.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            message = self._read_monitor()
            if "error" in message:
                raise SelfTestError(f"{self.name}: {command}: {message['error']}")
            if "return" in message:
                return message["return"]

    def wait_for_exit(self, deadline_s: float = COMMAND_DEADLINE_S) -> None:
        """Waits for QEMU to end by itself, as it does when the guest powers off."""
        try:
            self._process.wait(deadline_s)
        except subprocess.TimeoutExpired as error:
            raise SelfTestError(f"{self.name}: still running, seen: {self._tail()}") from error

    def cpu_s(self) -> float:
        """CPU seconds QEMU has used so far, all threads, user and system."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mib(self) -> float:
        """Memory of the QEMU process that is its own (PSS), in MiB."""
        rollup = Path(f"/proc/{self._process.pid}/smaps_rollup").read_text()
        found = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
        return int(found[1]) / 1024 if found else 0.0

    def age_s(self) -> float:
        """Seconds since QEMU was started."""
        return time.monotonic() - self._started_s

    def stop(self) -> None:
        """Ends QEMU if it still runs and closes the sockets. Safe to repeat."""
        if hasattr(self, "_process"):
            if self._process.poll() is None:
                self._process.kill()
            self._process.wait()
            self._serial.close()
            self._monitor.close()

    def _read_monitor(self) -> dict[str, Any]:
        self._monitor.settimeout(COMMAND_DEADLINE_S)
        while b"\n" not in self._monitor_buffer:
            chunk = self._monitor.recv(65536)
            if not chunk:
                log = (self.directory / f"{self.name}.qemu.log").read_text(errors="replace")
                raise SelfTestError(f"{self.name}: QEMU closed its monitor: {log.strip()}")
            self._monitor_buffer += chunk
        line, _, self._monitor_buffer = self._monitor_buffer.partition(b"\n")
        return cast("dict[str, Any]", json.loads(line))

    def _tail(self) -> str:
        return repr(self.transcript[self._mark :][-800:])


@dataclass
class Lab:
    """Makes guests of one build; everything they need lies in `directory`."""

    build: Path
    directory: Path
    verbose: bool
    guests: list[Guest] = field(default_factory=list)

    def guest(
        self,
        name: str,
        *,
        seed: Mapping[str, str] | None = None,
        netdevs: Sequence[tuple[str, str]] = (),
        with_disk: bool = True,
        initrd: Path | None = None,
        extra: Sequence[str] = (),
    ) -> Guest:
        """Starts one tiny guest. `netdevs` are (options of -netdev, MAC[,host_mtu=N]) pairs."""
        manifest = json.loads((self.build / "manifest.json").read_text())
        arguments = _machine(128)
        arguments += ["-kernel", str(self.build / manifest["kernel"]["file"])]
        initrd = initrd or self.build / manifest["initrd"]["file"]
        arguments += ["-initrd", str(initrd), "-append", manifest["cmdline"]]
        if with_disk:
            disk = self.directory / f"{name}.qcow2"
            if not disk.exists():
                _overlay(self.build / manifest["disk"]["file"], disk, "1G")
            arguments += ["-drive", f"file={disk},if=virtio,format=qcow2"]
        return self._start(name, arguments, seed, netdevs, extra)

    def debian(self, disk: Path, seed: Mapping[str, str], netdevs: Sequence[tuple[str, str]]) -> Guest:
        """Starts the Debian image from its disk, as a real cloud image is started."""
        overlay = self.directory / "debian.qcow2"
        _overlay(disk, overlay, None)
        arguments = [*_machine(512), "-smp", "2", "-drive", f"file={overlay},if=virtio,format=qcow2"]
        return self._start("debian", arguments, seed, netdevs, ())

    def _start(
        self,
        name: str,
        arguments: list[str],
        seed: Mapping[str, str] | None,
        netdevs: Sequence[tuple[str, str]],
        extra: Sequence[str],
    ) -> Guest:
        if seed is not None:
            iso = self.directory / f"{name}.iso"
            iso.write_bytes(seed_iso(seed))
            arguments += ["-drive", f"file={iso},if=virtio,format=raw,readonly=on"]
        for number, (netdev, device) in enumerate(netdevs):
            arguments += ["-netdev", f"{netdev},id=n{number}"]
            arguments += ["-device", f"virtio-net-pci,netdev=n{number},romfile=,mac={device}"]
        guest = Guest(name, [*arguments, *extra], self.directory, self.verbose)
        self.guests.append(guest)
        guest.start()
        return guest

    def close(self) -> None:
        """Ends every guest that still runs."""
        for guest in self.guests:
            guest.stop()


def _machine(memory_mib: int) -> list[str]:
    devices = ["-device", "virtio-rng-pci", "-device", "virtio-balloon-pci"]
    return [
        *("qemu-system-x86_64", "-nodefaults", "-display", "none", "-machine", "q35,accel=tcg"),
        *("-m", str(memory_mib), *devices),
    ]


def _overlay(base: Path, disk: Path, size: str | None) -> None:
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(base.resolve()), str(disk)]
    subprocess.run(command + ([size] if size else []), check=True)
