"""What tests with a real libvirt share: drivers, the bundled image, specs, consoles and waiting with a deadline."""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from parcela.hypervisors.driver import ConsoleStream, Driver
from parcela.hypervisors.libvirt.driver import LibvirtDriver
from parcela.hypervisors.spec import (
    DriverEvent,
    GuestConfig,
    ImageFormat,
    ImageSpec,
    NicSpec,
    PowerState,
    SegmentKind,
    SegmentSpec,
    VmEventKind,
    VmSpec,
)

# Nets for what hangs, reached by nothing that works: guests are emulated, on a machine that may be ten times slower.
BOOT_TIMEOUT_S = 600.0
CALL_TIMEOUT_S = 300.0
PROMPT = b":~# "


def require(variable: str, skip_variable: str) -> str:
    """Value of an environment variable of the test lab; skips the test without it, but fails in CI."""
    value = os.environ.get(variable)
    if value:
        return value
    reason = os.environ.get(skip_variable) or f"{variable} is not set: run under the test lab"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def libvirt_uri() -> str:
    """URI of the private libvirt."""
    reason = os.environ.get("PARCELA_TEST_LIBVIRT_SKIP")
    if reason and not os.environ.get("CI"):
        pytest.skip(reason)
    return require("PARCELA_TEST_LIBVIRT_URI", "PARCELA_TEST_LIBVIRT_SKIP")


def make_folder() -> Path:
    """A temporary folder that QEMU's user can reach; the caller removes it."""
    folder = Path(tempfile.mkdtemp(prefix="parcela-lv-", dir=os.environ.get("PARCELA_TEST_TMP")))
    folder.chmod(0o711)
    return folder


def make_driver(tmp: Path, *, installation: str = "", uri: str = "", acceleration: str = "tcg") -> LibvirtDriver:
    """A driver that is not open yet, with its state below ``tmp``."""
    return LibvirtDriver(
        "here",
        installation or f"test-{secrets.token_hex(4)}",
        uri or libvirt_uri(),
        tmp / "hypervisor",
        acceleration=acceleration,
    )


def make_image() -> ImageSpec:
    """The bundled guest, booted by direct kernel boot."""
    folder = Path(require("PARCELA_TEST_GUEST_DIR", "PARCELA_TEST_GUEST_SKIP"))
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return ImageSpec(
        sha256=manifest["disk"]["sha256"],
        format=ImageFormat.QCOW2,
        source_path=str(folder / manifest["disk"]["file"]),
        virtual_size_bytes=manifest["disk_virtual_size_bytes"],
        kernel_path=str(folder / manifest["kernel"]["file"]),
        kernel_sha256=manifest["kernel"]["sha256"],
        initrd_path=str(folder / manifest["initrd"]["file"]),
        initrd_sha256=manifest["initrd"]["sha256"],
        cmdline=manifest["cmdline"],
        ready_marker=manifest["ready_marker"],
    )


def make_mac() -> str:
    """A fresh locally administered MAC with QEMU's prefix."""
    return "52:54:00:" + ":".join(f"{byte:02x}" for byte in secrets.token_bytes(3))


def make_segment(
    kind: SegmentKind = SegmentKind.EDGE, *, mtu: int = 1500, slice_uuid: UUID | None = None
) -> SegmentSpec:
    """A segment with a random tag."""
    return SegmentSpec(uuid4(), slice_uuid, kind, secrets.randbelow(16_000_000) + 1, mtu)


def make_vm(image: ImageSpec, *nics: NicSpec, name: str = "vm", user_data: str | None = None) -> VmSpec:
    """The smallest VM."""
    return VmSpec(
        uuid=uuid4(),
        name=name,
        slice_uuid=uuid4(),
        owner="ana",
        vcpus=1,
        memory_mib=128,
        disk_gib=1,
        image=image,
        nics=nics,
        guest=GuestConfig(hostname=name, user_data=user_data),
    )


def remove_folder(folder: Path) -> None:
    """Remove a test's folder."""
    shutil.rmtree(folder, ignore_errors=True)


async def clean_up(driver: Driver) -> None:
    """Remove everything the driver's installation has on the host."""
    found = await driver.inventory()
    for vm in found.vms:
        await driver.remove_vm(vm.uuid)
    for segment in found.segments:
        await driver.remove_segment(segment.uuid)


def virsh(uri: str, *arguments: str) -> str:
    """What ``virsh`` prints: the view of somebody who does not know us."""
    return output_of("virsh", "--quiet", "--connect", uri, *arguments)


def output_of(*command: str) -> str:
    """Standard output of a program that must succeed."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def read_line(path: str) -> str:
    """A one-line file of the kernel."""
    return Path(path).read_text(encoding="ascii").strip()


def links() -> set[str]:
    """Names of the machine's network interfaces."""
    return {path.name for path in Path("/sys/class/net").iterdir()}


def qemu_pid(vm_uuid: UUID) -> int:
    """Process id of a VM's QEMU."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if f"-uuid\0{vm_uuid}".encode() in path.read_bytes():
                return int(path.parent.name)
    raise AssertionError(f"no QEMU of {vm_uuid} runs")


async def power(driver: Driver, vm_uuid: UUID) -> PowerState | None:
    """A VM's power state in the inventory; None when it is not in it."""
    return next((vm.power for vm in (await driver.inventory()).vms if vm.uuid == vm_uuid), None)


class Recorder:
    """Collects a driver's events."""

    def __init__(self, driver: LibvirtDriver) -> None:
        self.events: list[DriverEvent] = []
        self.stop = driver.subscribe(self.events.append)

    def has(self, kind: VmEventKind, vm_uuid: UUID | None = None) -> bool:
        """Whether such an event has come."""
        return any(event.kind is kind and event.vm_uuid == vm_uuid for event in self.events)


async def eventually(check: Callable[[], bool], *, timeout_s: float = CALL_TIMEOUT_S) -> None:
    """Wait until ``check`` holds; fails after ``timeout_s`` seconds."""
    deadline_s = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < deadline_s, f"still not after {timeout_s:.0f} s"
        await asyncio.sleep(0.05)


class Shell:
    """Commands on a guest's serial line."""

    def __init__(self, stream: ConsoleStream) -> None:
        self.stream = stream
        self.seen = b""

    async def expect(self, text: bytes, *, timeout_s: float = BOOT_TIMEOUT_S) -> bytes:
        """Read until ``text`` comes; gives what was read up to it."""
        async with asyncio.timeout(timeout_s):
            while text not in self.seen:
                data = await self.stream.read()
                assert data, f"the console ended; last text: {self.seen[-500:]!r}"
                self.seen += data
        before, _, self.seen = self.seen.partition(text)
        return before

    async def prompt(self) -> None:
        """Wait for the shell: what is typed after the guest is ready and before its getty has begun is thrown away."""
        await self.expect(PROMPT)

    async def run(self, command: str, *, timeout_s: float = CALL_TIMEOUT_S) -> tuple[int, str]:
        """Run a command; gives its exit status and output."""
        token = secrets.token_hex(4)
        # The quotes keep the echo of the command line from looking like the answer.
        await self.stream.write(f"{command}; echo E''ND{token}=$?=\n".encode())
        output = await self.expect(f"END{token}=".encode(), timeout_s=timeout_s)
        status = await self.expect(b"=", timeout_s=timeout_s)
        return int(status), output.decode(errors="replace")
