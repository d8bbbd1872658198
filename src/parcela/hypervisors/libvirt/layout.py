"""Where things lie below the driver's state folder, and file operations that survive a kill.

``images/<sha256>.<format>``  base images, kernels and initrds: read-only, shared
``vms/<uuid>/``               ``owner.json``, ``disk.qcow2``, ``seed.iso``, ``serial.log``, ``reboot.offset`` of one VM

A VM's folder appears with its ``owner.json`` inside in one rename, so that what a killed call left can be attributed.
"""

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from parcela.core.private_files import close_to_others, create_private
from parcela.hypervisors.libvirt.qemuuser import QemuUser
from parcela.hypervisors.spec import ImageSpec

TEMPORARY_PREFIX = ".tmp-"
# QEMU of qemu:///system runs as its own user: it must pass through the folders, not list them.
FOLDER_MODE = 0o711
OWN_MODE = 0o600


@dataclass(frozen=True, slots=True)
class Owner:
    """Content of ``owner.json``.

    Attributes:
        installation: whose the folder is.
        slice_uuid: slice of the VM, or None.
        macs: of its NICs on NAT segments, to find its leases.
        nics: number of NICs, to find its taps.
    """

    installation: str
    slice_uuid: UUID | None
    macs: tuple[str, ...] = ()
    nics: int = 0

    def to_json(self) -> bytes:
        """Serialise."""
        slice_text = None if self.slice_uuid is None else str(self.slice_uuid)
        document = {"installation": self.installation, "slice": slice_text, "macs": self.macs, "nics": self.nics}
        return json.dumps(document).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Owner":
        """Parse; ValueError when it is not ours."""
        document = json.loads(data)
        try:
            slice_uuid = None if document["slice"] is None else UUID(document["slice"])
            return cls(document["installation"], slice_uuid, tuple(document["macs"]), int(document["nics"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(str(error)) from error


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths below the state folder."""

    state_dir: Path

    @property
    def images(self) -> Path:
        """Folder of the base images."""
        return self.state_dir / "images"

    @property
    def vms(self) -> Path:
        """Folder of the VM folders."""
        return self.state_dir / "vms"

    def image(self, image: ImageSpec) -> Path:
        """Base image."""
        return self.images / f"{image.sha256}.{image.format.value}"

    def kernel(self, image: ImageSpec) -> Path:
        """Its kernel."""
        return self.images / f"{image.kernel_sha256}.kernel"

    def initrd(self, image: ImageSpec) -> Path:
        """Its initramfs."""
        return self.images / f"{image.initrd_sha256}.initrd"

    def vm(self, uuid: UUID) -> Path:
        """Folder of a VM."""
        return self.vms / str(uuid)

    def disk(self, uuid: UUID) -> Path:
        """Its overlay."""
        return self.vm(uuid) / "disk.qcow2"

    def seed(self, uuid: UUID) -> Path:
        """Its seed ISO."""
        return self.vm(uuid) / "seed.iso"

    def serial_log(self, uuid: UUID) -> Path:
        """What it printed since power-on."""
        return self.vm(uuid) / "serial.log"

    def reboot_offset(self, uuid: UUID) -> Path:
        """How long the serial log was when the guest last rebooted (bytes)."""
        return self.vm(uuid) / "reboot.offset"

    def make_folders(self) -> None:
        """Make what is missing."""
        for folder in (self.state_dir, self.images, self.vms):
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(FOLDER_MODE)

    def owner(self, uuid: UUID) -> Owner | None:
        """Read a VM folder's owner; None when there is no (readable) one."""
        try:
            return Owner.from_json((self.vm(uuid) / "owner.json").read_bytes())
        except (OSError, ValueError):
            return None

    def owners(self) -> dict[UUID, Owner]:
        """All VM folders with their owners."""
        found: dict[UUID, Owner] = {}
        with contextlib.suppress(FileNotFoundError):
            for entry in self.vms.iterdir():
                with contextlib.suppress(ValueError):
                    uuid = UUID(entry.name)
                    owner = self.owner(uuid)
                    if owner is not None:
                        found[uuid] = owner
        return found

    def make_vm_folder(self, uuid: UUID, owner: Owner) -> None:
        """Make a VM's folder with its owner, or bring the owner of an existing one up to date."""
        self.make_folders()
        folder = self.vm(uuid)
        if folder.is_dir():
            write_atomically(folder / "owner.json", owner.to_json(), mode=0o600)
            return
        self._remove_unfinished(uuid)
        temporary = self.vms / f"{TEMPORARY_PREFIX}{uuid}-{secrets.token_hex(8)}"
        temporary.mkdir()
        temporary.chmod(FOLDER_MODE)
        write_atomically(temporary / "owner.json", owner.to_json(), mode=0o600)
        try:
            temporary.rename(folder)
        except OSError:
            # Somebody else made it at the same moment; then theirs is as good.
            shutil.rmtree(temporary, ignore_errors=True)
            if not folder.is_dir():
                raise
        sync_folder(self.vms)

    def close_to_strangers(self, user: QemuUser | None) -> None:
        """Give files of an older version, or of another QEMU user, the owner and mode that they get today. Blocks."""
        mode, group = readers(user)
        for path in (*self.images.glob("*"), *self.vms.glob("*/seed.iso")):
            if path.name.startswith(TEMPORARY_PREFIX):
                close_to_others(path)
                continue
            with contextlib.suppress(FileNotFoundError):
                if group is not None and path.stat().st_gid != group:
                    os.chown(path, -1, group)
                path.chmod(mode)
        for pattern in ("disk.qcow2", "owner.json", "serial.log", "reboot.offset", f"{TEMPORARY_PREFIX}*"):
            for path in self.vms.glob(f"*/{pattern}"):
                close_to_others(path)

    def _remove_unfinished(self, uuid: UUID) -> None:
        """Remove what a process that was killed while it made this VM's folder left of it."""
        for rest in self.vms.glob(f"{TEMPORARY_PREFIX}{uuid}-*"):
            shutil.rmtree(rest, ignore_errors=True)

    def remove_vm_folder(self, uuid: UUID) -> None:
        """Remove a VM's folder; the owner goes last, so that a kill in between leaves an attributable rest."""
        self._remove_unfinished(uuid)
        folder = self.vm(uuid)
        with contextlib.suppress(FileNotFoundError):
            for entry in list(folder.iterdir()):
                if entry.name != "owner.json":
                    entry.unlink(missing_ok=True)
            (folder / "owner.json").unlink(missing_ok=True)
            folder.rmdir()


def readers(user: QemuUser | None) -> tuple[int, int | None]:
    """(mode, group) of a file that QEMU reads and never writes.

    QEMU's user is not made the owner: an owner may give itself the right to write, and a guest that breaks out of its
    QEMU could then change the image of everybody. ``None``: QEMU runs as we do.
    """
    return (0o400, None) if user is None else (0o440, user.gid)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def replacing(path: Path, *, mode: int, group: int | None = None) -> Iterator[Path]:
    """Give an empty temporary file beside ``path``; it replaces ``path`` in one step at the end, or is removed.

    Until then only we can read it, whatever the umask is. ``group``: id of the group that it gets.
    """
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}")
    try:
        create_private(temporary).close()
        yield temporary
        if group is not None:
            os.chown(temporary, -1, group)
        temporary.chmod(mode)
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes, *, mode: int, group: int | None = None) -> None:
    """Write a small file so that readers see the old or the new content, never a part."""
    with replacing(path, mode=mode, group=group) as temporary:
        temporary.write_bytes(data)
