"""Base images and overlays: files and ``qemu-img``."""

import asyncio
import contextlib
import errno
import hashlib
import os
import re
import secrets
import struct
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from parcela.core.disks import FULL, MIB, DiskSpace
from parcela.core.private_files import create_private
from parcela.hypervisors.errors import FatalDriverError, HostUnreachableError, NoSpaceError, RetryableDriverError
from parcela.hypervisors.libvirt.imagefiles import touch_copy
from parcela.hypervisors.libvirt.layout import (
    TEMPORARY_PREFIX,
    Layout,
    Owner,
    readers,
    replacing,
    write_atomically,
)
from parcela.hypervisors.libvirt.qemuuser import QemuUser
from parcela.hypervisors.seed import build_seed_iso
from parcela.hypervisors.spec import ImageFormat, ImageSpec, SegmentKind, VmSpec

T = TypeVar("T")

GIB = 1024**3
_CHUNK_BYTES = 4 * 1024 * 1024
_QCOW2_MAGIC = b"QFI\xfb"
_EXTERNAL_DATA_FILE = 1 << 2
_FILE_THREADS = 4
_SAYS_FULL = re.compile("no space left on device|quota exceeded", re.IGNORECASE)
_MAX_BLANKS = 16
"""Sizes and images whose fresh overlays are kept at most: 3 MiB."""


class DiskStore:
    """The files of one host's VMs."""

    def __init__(self, layout: Layout, installation: str, host_name: str = "") -> None:
        """Take the layout, whose files are ours, and the host's name for messages."""
        self.layout = layout
        self._host_name = host_name
        self._installation = installation
        self._executor: ThreadPoolExecutor | None = None
        self._blanks: dict[tuple[str, ...], bytes] = {}
        self._making_blank = asyncio.Lock()

    def open(self) -> None:
        """Get ready; may be called twice."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(_FILE_THREADS, thread_name_prefix="parcela-files")

    def close(self) -> None:
        """End the threads; may be called twice."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None

    async def run(self, doing: str, work: Callable[[], T]) -> T:
        """Run file work in a thread; OSError becomes a retryable error, NoSpaceError for a full disk."""
        if self._executor is None:
            raise HostUnreachableError(f"could not {doing}: the driver is not open")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        except OSError as error:
            if error.errno in FULL:
                raise NoSpaceError(doing, self._host_name, internal=str(error)) from error
            raise RetryableDriverError(
                f"could not {doing}: {error.strerror}", internal=str(error), retry_after_s=5
            ) from error

    async def ensure_image(self, image: ImageSpec, user: QemuUser | None) -> None:
        """Copy image, kernel and initrd unless they are there, readable for QEMU; see ``Driver.ensure_image``."""
        files = [(image.source_path, image.sha256, self.layout.image(image))]
        if image.kernel_path is not None:
            files.append((image.kernel_path, image.kernel_sha256, self.layout.kernel(image)))
        if image.initrd_path is not None:
            files.append((image.initrd_path, image.initrd_sha256, self.layout.initrd(image)))
        for source, sha256, target in files:
            await self.run(f"copy image {sha256[:12]}", partial(self._copy, image, source, sha256, target, user))

    def _copy(self, image: ImageSpec, source: str, sha256: str, target: Path, user: QemuUser | None) -> None:
        if touch_copy(self.layout, target):
            return
        self.layout.make_folders()
        digest = hashlib.sha256()
        if not Path(source).is_file():
            raise FatalDriverError(f"image file {Path(source).name} does not exist", internal=source)
        size_bytes, space = Path(source).stat().st_size, DiskSpace.of(target.parent)
        if size_bytes > space.free_mib * MIB:
            raise OSError(errno.ENOSPC, f"{size_bytes} bytes to copy, {space.free_mib} MiB free", str(target.parent))
        mode, group = readers(user)
        with Path(source).open("rb") as reader, replacing(target, mode=mode, group=group) as temporary:
            with temporary.open("wb") as writer:
                while chunk := reader.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    writer.write(chunk)
            if digest.hexdigest() != sha256:
                raise FatalDriverError(
                    f"image file {Path(source).name} is not the one that was registered: its SHA-256 differs",
                    internal=f"{source}: expected {sha256}, found {digest.hexdigest()}",
                )
            if target == self.layout.image(image) and image.format is ImageFormat.QCOW2:
                check_self_contained(temporary)

    def require_image(self, spec: VmSpec) -> None:
        """FatalDriverError when the image or a part of it is not on the host."""
        image = spec.image
        paths = [self.layout.image(image)]
        if image.kernel_path is not None:
            paths.append(self.layout.kernel(image))
        if image.initrd_path is not None:
            paths.append(self.layout.initrd(image))
        if not all(path.exists() for path in paths):
            raise FatalDriverError(f"image {image.sha256[:12]} is not on this host")

    async def make_folder(self, spec: VmSpec) -> None:
        """Make the VM's folder, or bring its owner file up to date."""
        nat = tuple(nic.mac for nic in spec.nics if nic.segment is not None and nic.segment.kind is SegmentKind.NAT)
        owner = Owner(self._installation, spec.slice_uuid, nat, len(spec.nics))
        await self.run(f"make the folder of VM {spec.uuid}", lambda: self.layout.make_vm_folder(spec.uuid, owner))

    async def ensure_disk(self, spec: VmSpec, user: QemuUser | None) -> None:
        """Make the overlay unless there is one."""
        if not self.layout.disk(spec.uuid).exists():
            await self.replace_disk(spec, user)

    async def replace_disk(self, spec: VmSpec, user: QemuUser | None) -> None:
        """Put a fresh overlay, owned by QEMU's user, in place in one step: a kill leaves the old or the new one.

        On a full disk the old one is overwritten instead: who resets a VM to get space back has none for a second file.
        A kill in between leaves a disk that is neither; the step is done again, and what was on it was to go anyway.
        """
        doing = f"make the disk of VM {spec.uuid}"
        target = self.layout.disk(spec.uuid)
        try:
            blank = await self._blank(spec, target.parent, doing)
            await self.run(doing, lambda: _put(blank, target, user))
        except NoSpaceError:
            if not target.exists():
                raise
            blank = await self._blank(spec, Path(tempfile.gettempdir()), doing)
            await self.run(doing, lambda: _overwrite(blank, target))

    async def _blank(self, spec: VmSpec, folder: Path, doing: str) -> bytes:
        """The bytes of a fresh overlay, some 200 KiB: the same for all VMs of one image and size.

        ``qemu-img`` is asked once. Once per VM it cost more than everything else that is done to the VM's files.
        """
        arguments = ["-f", "qcow2"]
        if spec.image.format is not ImageFormat.ISO:
            arguments += ["-b", str(self.layout.image(spec.image)), "-F", spec.image.format.value]
        key = (*arguments, str(spec.disk_gib * GIB))
        async with self._making_blank:  # the VMs of a slice come all at once
            if key not in self._blanks:
                blank = await self._make_blank(arguments, folder, spec.disk_gib * GIB, doing)
                while len(self._blanks) >= _MAX_BLANKS:
                    self._blanks.pop(next(iter(self._blanks)))
                self._blanks[key] = blank
            return self._blanks[key]

    async def _make_blank(self, arguments: list[str], folder: Path, size_bytes: int, doing: str) -> bytes:
        temporary = folder / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
        try:
            # The name is in the command line of qemu-img: nobody else may write there, whatever the umask is.
            await self.run(doing, lambda: create_private(temporary).close())
            await self._qemu_img("create", "-q", *arguments, str(temporary), str(size_bytes), doing=doing)
            return await self.run(doing, temporary.read_bytes)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    async def grow_disk(self, spec: VmSpec) -> None:
        """Enlarge the overlay of a switched-off VM to ``disk_gib``; a smaller size is refused."""
        path = self.layout.disk(spec.uuid)
        size_bytes = await self.run(f"read the disk of VM {spec.uuid}", lambda: qcow2_size_bytes(path))
        wanted_bytes = spec.disk_gib * GIB
        if wanted_bytes < size_bytes:
            raise FatalDriverError(
                f"the disk of VM {spec.name} has {size_bytes // GIB} GiB and cannot be made smaller "
                f"({spec.disk_gib} GiB)"
            )
        if wanted_bytes > size_bytes:
            await self._qemu_img(
                "resize", "-q", "-f", "qcow2", str(path), str(wanted_bytes), doing=f"enlarge the disk of VM {spec.uuid}"
            )

    async def _qemu_img(self, *arguments: str, doing: str) -> None:
        try:
            await qemu_img(*arguments, doing=doing)
        except RetryableDriverError as error:
            if _SAYS_FULL.search(error.internal):
                raise NoSpaceError(doing, self._host_name, internal=error.internal) from error
            raise

    async def write_seed(self, spec: VmSpec, user: QemuUser | None) -> None:
        """Write the seed ISO, replacing an older one in one step; it holds keys and scripts of people."""
        path = self.layout.seed(spec.uuid)
        mode, group = readers(user)

        def work() -> None:
            write_atomically(path, build_seed_iso(spec.uuid, spec.guest, spec.nics), mode=mode, group=group)

        try:
            await self.run(f"write the seed of VM {spec.uuid}", work)
        except ValueError as error:
            raise FatalDriverError(f"could not write the seed of VM {spec.name}: {error}") from error

    async def remove(self, uuid: UUID) -> None:
        """Remove the VM's folder."""
        await self.run(f"remove the files of VM {uuid}", lambda: self.layout.remove_vm_folder(uuid))


def _put(blank: bytes, target: Path, user: QemuUser | None) -> None:
    with replacing(target, mode=0o600) as temporary:
        temporary.write_bytes(blank)
        if user is not None:
            os.chown(temporary, user.uid, user.gid)


def _overwrite(blank: bytes, target: Path) -> None:
    with target.open("r+b", buffering=0) as file:
        if os.fstat(file.fileno()).st_size < len(blank):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        file.write(blank)
        file.truncate(len(blank))
        os.fsync(file.fileno())


def _qcow2_header(path: Path) -> bytes:
    with path.open("rb") as file:
        header = file.read(104)
    if len(header) < 72 or header[:4] != _QCOW2_MAGIC:
        raise FatalDriverError(f"{path.name} is no qcow2 image")
    return header


def qcow2_size_bytes(path: Path) -> int:
    """Size of the disk the guest sees, from the image's header."""
    return int(struct.unpack_from(">Q", _qcow2_header(path), 24)[0])


def check_self_contained(path: Path) -> None:
    """Refuse an image that names other files.

    QEMU would open them: an uploaded image whose backing file is ``/etc/shadow`` of the host shows it to its guest.
    """
    header = _qcow2_header(path)
    version, backing_offset = struct.unpack_from(">IQ", header, 4)
    features = struct.unpack_from(">Q", header, 72)[0] if version >= 3 and len(header) >= 80 else 0
    if backing_offset != 0 or features & _EXTERNAL_DATA_FILE:
        raise FatalDriverError(
            "the image refers to another file (backing or data file): convert it to a self-contained one"
        )


async def qemu_img(*arguments: str, doing: str) -> None:
    """Run ``qemu-img``; RetryableDriverError when it fails."""
    process = await asyncio.create_subprocess_exec(
        "qemu-img",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _out, errors = await process.communicate()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        raise RetryableDriverError(f"could not {doing}", internal=errors.decode(errors="replace")[-2000:])
