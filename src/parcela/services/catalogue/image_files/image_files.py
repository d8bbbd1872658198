"""What an image file is, judged by its bytes: the first line of defence, before any tool opens it.

A qcow2 file can name other files (a backing file, an external data file) that whatever opens it would open too: one
that says ``/etc/shadow`` would show that to a guest. So the header is read here, and such files never reach
``qemu-img`` or QEMU. Source of the layout: docs/interop/qcow2.rst of QEMU.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from parcela.core.errors import ParcelaError, Problem, invalid
from parcela.hypervisors.spec import ImageFormat

QCOW2_MAGIC: Final = b"QFI\xfb"
ISO_MAGIC: Final = (32769, b"CD001")
BOOT_SIGNATURE: Final = (510, b"\x55\xaa")  # of an MBR, and of the protective MBR of a GPT
SECTOR_BYTES: Final = 512
MAX_VIRTUAL_BYTES: Final = 16_384 * 1024**3  # the largest disk a VM may have
_V2_BYTES: Final = 72
_V3_BYTES: Final = 104
_MAX_HEADER_BYTES: Final = 64 * 1024
_V2: Final = struct.Struct(">4sIQIIQIIQQIIQ")
_V3: Final = struct.Struct(">QQQII")
_DIRTY, _CORRUPT, _DATA_FILE, _COMPRESSION, _EXTENDED_L2 = (1 << bit for bit in range(5))
_KNOWN_FEATURES: Final = _DIRTY | _CORRUPT | _DATA_FILE | _COMPRESSION | _EXTENDED_L2
_EXT_END: Final = 0x00000000
_EXT_DATA_FILE: Final = 0x44415441
_EXT_ENCRYPTION: Final = 0x0537BE77
_EXT_BACKING_FORMAT: Final = 0xE2792ACA


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What a file says of itself.

    Attributes:
        format: recognised by content.
        virtual_size_bytes: size of the disk a guest sees; for ISO and raw the size of the file.
    """

    format: ImageFormat
    virtual_size_bytes: int


def refusal(code: str, message: str) -> ParcelaError:
    """An image file that is not taken."""
    return invalid(code, message, Problem("body", message, code))


def damaged(finding: str) -> ParcelaError:
    """The error of a file whose content contradicts itself."""
    return refusal("image_damaged", f"The image is damaged: {finding}")


def examine(path: Path) -> ImageFacts:
    """Recognise a file. Blocking.

    Raises:
        ParcelaError: kind ``invalid``: ``image_not_recognised``, ``image_header_damaged``, ``image_has_backing_file``,
            ``image_has_data_file``, ``image_is_encrypted``, ``image_feature_unknown``, ``image_is_corrupt`` or
            ``image_disk_size``.
    """
    with path.open("rb") as file:
        size_bytes = os.fstat(file.fileno()).st_size
        if file.read(len(QCOW2_MAGIC)) == QCOW2_MAGIC:
            facts = ImageFacts(ImageFormat.QCOW2, _read_qcow2(file, size_bytes))
        elif has_bytes(file, *ISO_MAGIC):  # before raw: most ISO files can also boot from a USB stick and have an MBR
            facts = ImageFacts(ImageFormat.ISO, size_bytes)
        elif has_bytes(file, *BOOT_SIGNATURE):
            facts = ImageFacts(ImageFormat.RAW, size_bytes)
        else:
            raise refusal(
                "image_not_recognised",
                "This is no qcow2 file, no ISO 9660 file, and no raw disk (which has 55 AA at byte 510).",
            )
    if not SECTOR_BYTES <= facts.virtual_size_bytes <= MAX_VIRTUAL_BYTES:
        raise refusal("image_disk_size", "The disk in the image must have 512 bytes to 16384 GiB.")
    if facts.format is ImageFormat.RAW and size_bytes % SECTOR_BYTES:
        raise refusal("image_disk_size", "A raw disk has a whole number of sectors of 512 bytes; is the file cut off?")
    return facts


def has_bytes(file: IO[bytes], offset: int, magic: bytes) -> bool:
    """Whether these bytes are at an offset."""
    file.seek(offset)
    return file.read(len(magic)) == magic


def _damaged() -> ParcelaError:
    return refusal("image_header_damaged", "The header of the qcow2 file is damaged or cut off.")


def _read_qcow2(file: IO[bytes], size_bytes: int) -> int:
    """Check a qcow2 header; the virtual size in bytes."""
    file.seek(0)
    header = file.read(_MAX_HEADER_BYTES)
    if len(header) < _V2_BYTES:
        raise _damaged()
    _, version, backing_offset, backing_size, cluster_bits, virtual, encryption, *_ = _V2.unpack_from(header)
    if backing_offset or backing_size:
        raise refusal(
            "image_has_backing_file",
            "The image needs another file (a backing file); merge them first: qemu-img convert -O qcow2 IN OUT.",
        )
    if encryption:
        raise refusal("image_is_encrypted", "The image is encrypted; Parcela cannot open it for a VM.")
    if version not in {2, 3}:
        raise refusal("image_feature_unknown", f"qcow2 version {version} is not known; 2 and 3 are.")
    # A file shorter than its first cluster cannot even hold the tables that the header points to.
    if not 9 <= cluster_bits <= 21 or size_bytes < 1 << cluster_bits:
        raise _damaged()
    length = _V2_BYTES
    if version == 3:
        length = _check_v3(header)
    _check_extensions(header[: 1 << cluster_bits], length)
    return int(virtual)


def _check_v3(header: bytes) -> int:
    """Check the part that version 3 added; the length of the header in bytes."""
    if len(header) < _V3_BYTES:
        raise _damaged()
    incompatible, _, _, _, length = _V3.unpack_from(header, _V2_BYTES)
    if incompatible & _DATA_FILE:
        raise _data_file()
    if incompatible & _CORRUPT:
        raise refusal("image_is_corrupt", "The image is marked as corrupt; repair it first: qemu-img check -r all.")
    if incompatible & ~_KNOWN_FEATURES:
        raise refusal("image_feature_unknown", "The image uses features of qcow2 that are not known here.")
    if length < _V3_BYTES or length % 8:
        raise _damaged()
    return int(length)


def _data_file() -> ParcelaError:
    return refusal("image_has_data_file", "The image keeps its data in another file; convert it with qemu-img first.")


def _check_extensions(cluster: bytes, offset: int) -> None:
    """Walk the header extensions, which end with an empty one or with the first cluster."""
    while offset + 8 <= len(cluster):
        kind, length = struct.unpack_from(">II", cluster, offset)
        if kind == _EXT_END:
            return
        if kind == _EXT_DATA_FILE:
            raise _data_file()
        if kind == _EXT_ENCRYPTION:
            raise refusal("image_is_encrypted", "The image is encrypted; Parcela cannot open it for a VM.")
        if kind == _EXT_BACKING_FORMAT:
            raise refusal("image_has_backing_file", "The image names the format of a backing file.")
        offset += 8 + (length + 7) // 8 * 8
    if offset > len(cluster):
        raise _damaged()
