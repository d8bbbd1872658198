"""What kind of file somebody uploads, by its bytes and never by its name, with a word for what is not taken."""

import os
from enum import StrEnum
from pathlib import Path
from typing import IO, Final

from parcela.services.catalogue.image_files.image_files import (
    BOOT_SIGNATURE,
    ISO_MAGIC,
    QCOW2_MAGIC,
    has_bytes,
    refusal,
)

FOOTER_BYTES: Final = 512
VHD_COOKIE: Final = b"conectix"


class SourceKind(StrEnum):
    """Kinds of disks that are taken; the last four are converted to qcow2."""

    QCOW2 = "qcow2"
    RAW = "raw"
    ISO = "iso"
    VMDK = "vmdk"
    VDI = "vdi"
    VHDX = "vhdx"
    VHD = "vhd"

    @property
    def is_converted(self) -> bool:
        """Whether the store keeps another format of it."""
        return self not in {SourceKind.QCOW2, SourceKind.RAW, SourceKind.ISO}


_FIRST: Final = (
    (0, QCOW2_MAGIC, SourceKind.QCOW2),
    (0, b"KDMV", SourceKind.VMDK),
    (64, b"\x7f\x10\xda\xbe", SourceKind.VDI),
    (0, b"vhdxfile", SourceKind.VHDX),
    (0, VHD_COOKIE, SourceKind.VHD),
)
_LAST: Final = ((*ISO_MAGIC, SourceKind.ISO), (*BOOT_SIGNATURE, SourceKind.RAW))
"""ISO before raw: most ISO files can also boot from a USB stick and have an MBR."""
_PACKED: Final = ((b"\x1f\x8b", "gzip"), (b"\xfd7zXZ\0", "xz"))
_ARCHIVES: Final = (
    (257, b"ustar", "tar", "tar -xf FILE"),
    (0, b"PK\x03\x04", "zip", "unzip FILE"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z", "7z x FILE"),
    (0, b"Rar!", "RAR", "unrar x FILE"),
)
_OTHER_PACKINGS: Final = (
    (b"BZh", "bzip2", "bunzip2"),
    (b"\x28\xb5\x2f\xfd", "zstd", "unzstd"),
    (b"\x04\x22\x4d\x18", "lz4", "unlz4"),
    (b"LZIP", "lzip", "lzip -d"),
)
_OTHER_DISKS: Final = (
    (b"QED\0", "QED disk"),
    (b"WithoutFreeSpace", "Parallels disk"),
    (b"WithouFreSpacExt", "Parallels disk"),
    (b"Bochs Virtual HD Image", "Bochs disk"),
    (b"COWD", "VMDK disk of an ESX server (COWD)"),
    (b"LUKS\xba\xbe", "encrypted disk (LUKS)"),
    (b"MSWIM\0\0\0", "Windows image (WIM)"),
)
TAKEN: Final = "qcow2, raw (with 55 AA at byte 510), ISO 9660, VMDK, VDI, VHDX and VHD, also packed with gzip or xz"


def recognise(path: Path) -> SourceKind:
    """The kind of a file. Blocking.

    Raises:
        ParcelaError: kind ``invalid``: ``image_is_archive``, ``image_packed_twice``, ``image_format_refused``,
            ``image_has_other_files``, ``image_not_recognised``.
    """
    with path.open("rb") as file:
        for offset, magic, kind in _FIRST:
            if has_bytes(file, offset, magic):
                return kind
        _refuse_archives(file)
        _refuse_others(file)
        if has_bytes(file, max(0, os.fstat(file.fileno()).st_size - FOOTER_BYTES), VHD_COOKIE):
            return SourceKind.VHD  # of a fixed size, which begins like a raw disk
        for offset, magic, kind in _LAST:
            if has_bytes(file, offset, magic):
                return kind
    raise refusal("image_not_recognised", f"This is no disk image that is known here. Taken are {TAKEN}.")


def _refuse_archives(file: IO[bytes]) -> None:
    for offset, magic, name, command in _ARCHIVES:
        if not has_bytes(file, offset, magic):
            continue
        file.seek(0)
        if name == "tar" and file.read(100).rstrip(b"\0").lower().endswith(b".ovf"):
            text = "This is an OVA file: an archive of a description and disks. Unpack it (tar -xf FILE) and upload "
            raise refusal("image_is_archive", text + "its .vmdk.")
        text = f"This is an archive ({name}). Unpack it ({command}) and upload the disk that is in it."
        raise refusal("image_is_archive", text)


def _refuse_others(file: IO[bytes]) -> None:
    file.seek(0)
    start = file.read(32)
    for magic, name in _PACKED:
        if start.startswith(magic):
            text = f"Inside of the packed file is another one ({name}). Unpack it once yourself, and upload that."
            raise refusal("image_packed_twice", text)
    for magic, name, command in _OTHER_PACKINGS:
        if start.startswith(magic):
            text = (
                f"The file is packed with {name}; only gzip and xz are unpacked here. Unpack it first: {command} FILE."
            )
            raise refusal("image_format_refused", text)
    for magic, name in _OTHER_DISKS:
        if start.startswith(magic):
            text = f"This is a {name}, which is not taken; taken are {TAKEN}. qemu-img convert may convert it."
            raise refusal("image_format_refused", text)
    if start.startswith(b"# Disk Descriptor"):
        text = "This is only the description of a VMDK disk, which lies in other files. Make one file of them: "
        raise refusal("image_has_other_files", text + "qemu-img convert -O qcow2 FILE.vmdk OUT.qcow2.")
