"""Whether a file is as long as it says: by the tables of a qcow2 file, partitions of a disk, volumes of an ISO file.

Half a download has the right beginning, and a guest finds out only when it reads what is missing.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from parcela.hypervisors.spec import ImageFormat
from parcela.services.catalogue.image_files.image_files import ImageFacts, damaged, refusal
from parcela.services.catalogue.image_files.qcow2_tables import TablesError, needed_bytes

SECTOR_BYTES: Final = 512
ISO_SECTOR_BYTES: Final = 2048
PLAUSIBLE_FACTOR: Final = 8
PLAUSIBLE_BYTES: Final = 1024**3
"""No table needs a file of more than eight times the guest's disk (snapshots) and this: such an entry is damaged."""
_GPT_SECTOR_BYTES: Final = (512, 4096)
_PROTECTIVE: Final = 0xEE
_ISO_DESCRIPTORS: Final = range(16, 48)
_UDF_ANCHOR_SECTOR: Final = 256
_UDF_ANCHOR, _UDF_PARTITION, _UDF_END = 2, 5, 8


def check_length(path: Path, facts: ImageFacts) -> None:
    """Raise when a file that ``examine`` passed is shorter than it says. Blocking.

    Raises:
        ParcelaError: kind ``invalid``: ``image_cut_off`` with the lengths, ``image_damaged``.
    """
    with path.open("rb") as file:
        size_bytes = os.fstat(file.fileno()).st_size
        if facts.format is ImageFormat.QCOW2:
            _check_qcow2(file, size_bytes, facts.virtual_size_bytes)
        elif facts.format is ImageFormat.ISO:
            require_bytes(max(_iso_ends(file), default=0), size_bytes, "its volume descriptor says so")
        else:
            require_bytes(max(_raw_ends(file), default=0), size_bytes, "its partition table says so")


def require_bytes(expected_bytes: int, size_bytes: int, because: str) -> None:
    """Raise ``image_cut_off`` when a file is shorter than expected."""
    if size_bytes < expected_bytes:
        missing = expected_bytes - size_bytes
        raise refusal(
            "image_cut_off",
            f"The file is cut off: it must have at least {expected_bytes} bytes ({because}), and has {size_bytes}; "
            f"{missing} are missing. Upload the whole file.",
        )


def _check_qcow2(file: IO[bytes], size_bytes: int, virtual_bytes: int) -> None:
    try:
        expected = needed_bytes(file, size_bytes)
    except TablesError as error:
        raise damaged(str(error)) from error
    if expected > PLAUSIBLE_FACTOR * virtual_bytes + PLAUSIBLE_BYTES:
        raise damaged(f"a table points to byte {expected}, which no image of this disk has.")
    require_bytes(expected, size_bytes, "its tables point so far")


def bytes_at(file: IO[bytes], offset: int, length: int) -> bytes:
    """Bytes of a file, with zeros for what is not there."""
    file.seek(offset)
    return file.read(length).ljust(length, b"\0")


# ---- raw disks


def _raw_ends(file: IO[bytes]) -> Iterator[int]:
    """Where a GUID partition table, the partitions of an MBR, or the file system without partitions end."""
    sector = bytes_at(file, 0, SECTOR_BYTES)
    if (whole := _file_system_end(sector)) is not None:
        yield whole
        return
    for size in _GPT_SECTOR_BYTES:
        header = bytes_at(file, size, 92)
        if header.startswith(b"EFI PART"):
            backup, _, last_usable = struct.unpack_from("<QQQ", header, 32)
            yield (max(backup, last_usable) + 1) * size
            return
    yield from _mbr_ends(sector)


def _mbr_ends(sector: bytes) -> Iterator[int]:
    entries = [sector[446 + 16 * number : 462 + 16 * number] for number in range(4)]
    if any(entry[0] not in {0x00, 0x80} for entry in entries):
        return  # the bytes of a boot program, not a table
    for entry in entries:
        start, count = struct.unpack_from("<II", entry, 8)
        if entry[4] and entry[4] != _PROTECTIVE and count:
            yield (start + count) * SECTOR_BYTES


def _file_system_end(sector: bytes) -> int | None:
    """Length of a FAT or NTFS volume that begins with this sector; None when it is none."""
    bytes_per_sector: int = struct.unpack_from("<H", sector, 11)[0]
    if sector[0] not in {0xEB, 0xE9} or bytes_per_sector not in {512, 1024, 2048, 4096}:
        return None
    if sector[3:11] == b"NTFS    ":
        return int(struct.unpack_from("<Q", sector, 40)[0]) * bytes_per_sector
    if sector[54:57] == b"FAT" or sector[82:87] == b"FAT32":
        small, large = struct.unpack_from("<H", sector, 19)[0], struct.unpack_from("<I", sector, 32)[0]
        return int(small or large) * bytes_per_sector
    return None


# ---- ISO files


def _iso_ends(file: IO[bytes]) -> Iterator[int]:
    """Where the ISO 9660 volume and the UDF partitions of the same file (installation media of Windows) end."""
    for number in _ISO_DESCRIPTORS:
        descriptor = bytes_at(file, number * ISO_SECTOR_BYTES, ISO_SECTOR_BYTES)
        if descriptor[1:6] != b"CD001" or descriptor[0] == 255:
            break
        if descriptor[0] == 1:
            blocks, block_bytes = (
                struct.unpack_from("<I", descriptor, 80)[0],
                struct.unpack_from("<H", descriptor, 128)[0],
            )
            yield blocks * block_bytes
    yield from _udf_ends(file)


def _udf_ends(file: IO[bytes]) -> Iterator[int]:
    anchor = bytes_at(file, _UDF_ANCHOR_SECTOR * ISO_SECTOR_BYTES, ISO_SECTOR_BYTES)
    if not _is_udf(anchor, _UDF_ANCHOR):
        return
    length, first = struct.unpack_from("<II", anchor, 16)
    for number in range(first, first + min(length // ISO_SECTOR_BYTES, 64)):
        descriptor = bytes_at(file, number * ISO_SECTOR_BYTES, ISO_SECTOR_BYTES)
        if _is_udf(descriptor, _UDF_PARTITION):
            start, sectors = struct.unpack_from("<II", descriptor, 188)
            yield (start + sectors) * ISO_SECTOR_BYTES
        if _is_udf(descriptor, _UDF_END):
            return


def _is_udf(descriptor: bytes, kind: int) -> bool:
    """Whether the tag of a UDF descriptor is of this kind, and its checksum right."""
    tag = descriptor[:16]
    return struct.unpack_from("<H", tag)[0] == kind and (sum(tag) - tag[4]) % 256 == tag[4]
