"""KVM or emulation: found out by booting a guest.

A device node is no proof: in some nested set-ups ``/dev/kvm`` exists, guests start under it, and hang.
"""

import asyncio
import contextlib
import json
import logging
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from parcela.hypervisors.libvirt.layout import write_atomically
from parcela.hypervisors.spec import Acceleration

log = logging.getLogger(__name__)

KVM_DEVICE = Path("/dev/kvm")
TRIAL_TIMEOUT_S = 10.0
TRIAL_MARKER = b"PARCELA READY"
_TRIAL_CMDLINE = "console=ttyS0 quiet no_timer_check panic=-1"
_QEMU = "qemu-system-x86_64"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What guests run on, and one sentence that says how that was found out."""

    acceleration: Acceleration
    reason: str


class Accelerator:
    """Decides once and remembers, also over restarts, until the kernel or QEMU changes."""

    def __init__(
        self, setting: str, probe_kernel: tuple[str, str] | None, memory: Path, *, switches_user: bool = True
    ) -> None:
        """Take the choice.

        Args:
            setting: ``auto``, ``kvm`` or ``tcg``.
            probe_kernel: paths of the (kernel, initrd) to try.
            memory: the file that remembers.
            switches_user: QEMU will not run as the present user (``qemu:///system``).
        """
        if setting not in {"auto", "kvm", "tcg"}:
            raise ValueError(f"acceleration is auto, kvm or tcg, not {setting!r}")
        self._setting = setting
        self._probe_kernel = probe_kernel
        self._memory = memory
        self._switches_user = switches_user
        self._lock = asyncio.Lock()
        self._verdict: Verdict | None = None

    async def decide(self) -> Verdict:
        """The verdict; the first call may take up to ten seconds."""
        async with self._lock:
            if self._verdict is None:
                self._verdict = await self._find_out()
                log.info("acceleration: %s (%s)", self._verdict.acceleration, self._verdict.reason)
            return self._verdict

    async def _find_out(self) -> Verdict:
        if self._setting != "auto":
            return Verdict(Acceleration(self._setting), "set by the administrator")
        if not os.access(KVM_DEVICE, os.R_OK | os.W_OK):
            return Verdict(Acceleration.TCG, f"{KVM_DEVICE} is missing or may not be used by this user")
        if self._switches_user and not _open_to_others(KVM_DEVICE):
            # libvirtd finds KVM while it probes QEMU as root, then finds it closed, and probes anew, dozens of times
            # for every domain: 25 s each were seen.
            log.warning("%s is open to root only: give it to the group kvm, or libvirtd will be slow", KVM_DEVICE)
            return Verdict(Acceleration.TCG, f"{KVM_DEVICE} may not be used by the user QEMU runs as")
        if self._probe_kernel is None:
            return Verdict(Acceleration.TCG, "KVM was not tried: there is no guest to try it with")
        key = f"{os.uname().release} / {await _qemu_version()} / {self._probe_kernel[0]}"
        remembered = await asyncio.to_thread(self._recall, key)
        if remembered is not None:
            return remembered
        verdict = await self._try_kvm(self._probe_kernel)
        await asyncio.to_thread(self._remember, key, verdict)
        return verdict

    async def _try_kvm(self, probe_kernel: tuple[str, str]) -> Verdict:
        process = await asyncio.create_subprocess_exec(
            _QEMU, "-accel", "kvm", "-machine", "q35", "-m", "128", "-nodefaults", "-display", "none", "-no-reboot",
            "-no-user-config", "-monitor", "none", "-serial", "stdio",
            "-kernel", probe_kernel[0], "-initrd", probe_kernel[1], "-append", _TRIAL_CMDLINE,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            async with asyncio.timeout(TRIAL_TIMEOUT_S):
                booted = await _saw(process, TRIAL_MARKER)
        except TimeoutError:
            return Verdict(Acceleration.TCG, f"a guest did not boot under KVM within {TRIAL_TIMEOUT_S:.0f} s")
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            # Reads what is left, so that the pipe is closed when this returns.
            await process.communicate()
        if booted:
            return Verdict(Acceleration.KVM, "a guest booted under KVM")
        return Verdict(Acceleration.TCG, "QEMU ended when a guest was tried under KVM")

    def _recall(self, key: str) -> Verdict | None:
        try:
            document = json.loads(self._memory.read_bytes())
            if document["key"] == key:
                return Verdict(Acceleration(document["acceleration"]), document["reason"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return None

    def _remember(self, key: str, verdict: Verdict) -> None:
        document = {"key": key, "acceleration": verdict.acceleration.value, "reason": verdict.reason}
        with contextlib.suppress(OSError):  # then it is tried again next time
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._memory, json.dumps(document).encode(), mode=0o600)


def _open_to_others(device: Path) -> bool:
    return bool(device.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH))


async def _saw(process: asyncio.subprocess.Process, marker: bytes) -> bool:
    """Read the guest's serial line until the marker comes (True) or QEMU ends (False)."""
    if process.stdout is None:
        return False
    seen = b""
    while chunk := await process.stdout.read(4096):
        seen = seen[-len(marker) :] + chunk
        if marker in seen:
            return True
    return False


async def _qemu_version() -> str:
    try:
        process = await asyncio.create_subprocess_exec(
            _QEMU, "--version", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
        )
    except FileNotFoundError:
        return "no QEMU"
    out, _errors = await process.communicate()
    return out.decode(errors="replace").partition("\n")[0]
