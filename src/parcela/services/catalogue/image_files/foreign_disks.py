"""Disks of other hypervisors: what must be known of them before ``qemu-img`` opens them to convert them.

A VMDK file can be a description of other files, and all of them can be differences to a parent: ``qemu-img`` would
open whatever file of the server they name. So the headers are read here, and only disks in one file go on. The lengths
come from their tables. Sources: Virtual Disk Format 5.0 (VMware), the VHD and VHDX specifications (Microsoft),
block/vdi.c of QEMU.
"""

import os
import re
import struct
import sys
from array import array
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Final
from uuid import UUID

from parcela.core.errors import ParcelaError
from parcela.services.catalogue.image_files.image_files import MAX_VIRTUAL_BYTES, SECTOR_BYTES, damaged, refusal
from parcela.services.catalogue.image_files.image_kinds import FOOTER_BYTES, VHD_COOKIE, SourceKind
from parcela.services.catalogue.image_files.image_lengths import bytes_at, require_bytes

MAX_TABLE_BYTES: Final = 256 * 1024**2
TABLES_SAY_SO: Final = "its tables point so far"
MIB: Final = 1024**2
_VMDK: Final = struct.Struct("<4sIIQQQQIQQQ")
_VMDK_AT_END: Final = 2**64 - 1
_VMDK_MARKERS: Final = 1 << 17
_VMDK_ZEROS: Final = 1
_VMDK_EXTENT: Final = re.compile(r"^\s*(?:RW|RDONLY|NOACCESS)\s+\d+\s+(\w+)", re.MULTILINE | re.IGNORECASE)
_VMDK_PARENT: Final = re.compile(rb"parentfilenamehint|parentcid\s*=\s*(?!f{8}\b)", re.IGNORECASE)
_VMDK_QEMU_PARENT: Final = (512, 20 * 512)  # where QEMU looks for the parent, whatever the header says
_VMDK_MAX_DESCRIPTION: Final = 1024 * 1024
_VDI_FREE: Final = 0xFFFF_FFFE
_VHD_FREE: Final = 0xFFFF_FFFF
_VHDX_REGIONS: Final = (192 * 1024, 256 * 1024)
_VHDX_BAT: Final = UUID("2dc27766-f623-4200-9d64-115e9bfd4a08").bytes_le
_VHDX_METADATA: Final = UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e").bytes_le
_VHDX_FILE: Final = UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b").bytes_le
_VHDX_SIZE: Final = UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8").bytes_le
_VHDX_SECTOR: Final = UUID("8141bf1d-a96f-4709-ba47-f233a8faab5f").bytes_le
_VHDX_HAS_PARENT: Final = 2


def examine_foreign(path: Path, kind: SourceKind) -> int:
    """Check a disk before it is converted; the bytes of the disk that a guest sees. Blocking.

    Raises:
        ParcelaError: kind ``invalid``: ``image_has_other_files``, ``image_has_backing_file``, ``image_cut_off``,
            ``image_damaged``, ``image_header_damaged``, ``image_disk_size``.
    """
    with path.open("rb") as file:
        size_bytes = os.fstat(file.fileno()).st_size
        virtual = _READERS[kind](file, size_bytes)
    _check_size(virtual)
    return virtual


def _check_size(virtual_bytes: int) -> None:
    if not SECTOR_BYTES <= virtual_bytes <= MAX_VIRTUAL_BYTES:
        raise refusal("image_disk_size", "The disk in the image must have 512 bytes to 16384 GiB.")


def _header(what: str) -> ParcelaError:
    return refusal("image_header_damaged", f"The header of the {what} file is damaged or cut off.")


def _parent(what: str) -> ParcelaError:
    text = (
        f"The {what} disk holds differences to another one (its parent), which is not in this file; merge them first."
    )
    return refusal("image_has_backing_file", text)


def _table(file: IO[bytes], offset: int, count: int, size_bytes: int, code: str, order: str = "little") -> "array[int]":
    """Numbers of a table, which must lie in the file."""
    numbers = array(code)
    length = count * numbers.itemsize
    if length > MAX_TABLE_BYTES:
        raise damaged(f"a table of {length} bytes is larger than any disk needs.")
    require_bytes(offset + length, size_bytes, "its tables end there")
    file.seek(offset)
    numbers.frombytes(file.read(length))
    if sys.byteorder != order:
        numbers.byteswap()
    return numbers


# ---- VMDK


def _vmdk(file: IO[bytes], size_bytes: int) -> int:
    _, _, flags, capacity, grain, text_at, text_sectors, per_table, _, directory, _ = _vmdk_header(file, 0)
    if not capacity or not text_at or not text_sectors:
        text = "This is one part of a VMDK disk whose others are missing. Make one file of all of them: "
        raise refusal("image_has_other_files", text + "qemu-img convert -O qcow2 FILE.vmdk OUT.qcow2.")
    length = min(text_sectors * SECTOR_BYTES, _VMDK_MAX_DESCRIPTION)
    require_bytes(text_at * SECTOR_BYTES + length, size_bytes, "its description ends there")
    _check_description(bytes_at(file, text_at * SECTOR_BYTES, length), bytes_at(file, *_VMDK_QEMU_PARENT))
    if directory == _VMDK_AT_END:
        if size_bytes < 4 * SECTOR_BYTES or bytes_at(file, size_bytes - 1024, 4) != b"KDMV":
            text = f"The file is cut off: the end of a VMDK file (its footer) is missing after {size_bytes} bytes."
            raise refusal("image_cut_off", f"{text} Upload the whole file.")
        _, _, flags, capacity, grain, _, _, per_table, _, directory, _ = _vmdk_header(file, size_bytes - 1024)
    if not 1 <= per_table <= 512 or not 1 <= grain <= 2**21 or directory >= 2**48 or capacity >= 2**48:
        raise _header("VMDK")
    tables = _table(file, directory * SECTOR_BYTES, -(-capacity // (per_table * grain)), size_bytes, "I")
    marked = bool(flags & _VMDK_MARKERS)
    left = MAX_TABLE_BYTES
    for number, table in enumerate(tables):
        if table <= _VMDK_ZEROS:
            continue
        if (left := left - per_table * 4) < 0:
            raise damaged(f"its tables take more than {MAX_TABLE_BYTES >> 20} MiB.")
        entries = _table(file, table * SECTOR_BYTES, per_table, size_bytes, "I")
        if (last := max(entries)) > _VMDK_ZEROS:
            rest = capacity - (number * per_table + entries.index(last)) * grain
            length = _marked_bytes(file, last) if marked else min(grain, max(rest, 0)) * SECTOR_BYTES
            require_bytes(last * SECTOR_BYTES + length, size_bytes, TABLES_SAY_SO)
    return int(capacity) * SECTOR_BYTES


def _vmdk_header(file: IO[bytes], offset: int) -> tuple[int, ...]:
    header: tuple[int, ...] = _VMDK.unpack(bytes_at(file, offset, _VMDK.size))
    return header


def _marked_bytes(file: IO[bytes], sector: int) -> int:
    """Length of a compressed grain with the marker before it, in whole sectors."""
    length = 12 + int(struct.unpack("<I", bytes_at(file, sector * SECTOR_BYTES + 8, 4))[0])
    return -(-length // SECTOR_BYTES) * SECTOR_BYTES


def _check_description(*texts: bytes) -> None:
    if any(_VMDK_PARENT.search(text) for text in texts):
        raise _parent("VMDK")
    extents = _VMDK_EXTENT.findall(texts[0].split(b"\0")[0].decode("latin-1"))
    if [extent.upper() for extent in extents] != ["SPARSE"]:
        text = (
            "The VMDK disk lies in other files. Make one file of them: qemu-img convert -O qcow2 FILE.vmdk OUT.qcow2."
        )
        raise refusal("image_has_other_files", text)


# ---- VDI


def _vdi(file: IO[bytes], size_bytes: int) -> int:
    require_bytes(512, size_bytes, "its header ends there")
    header = bytes_at(file, 0, 512)
    kind = struct.unpack_from("<I", header, 76)[0]
    map_at, data_at = struct.unpack_from("<II", header, 340)
    virtual, block, _, blocks = struct.unpack_from("<QIII", header, 368)
    if kind not in {1, 2} or any(header[424:456]):
        raise _parent("VDI")
    if not block or blocks * block < virtual:
        raise _header("VDI")
    used = [(place, number) for number, place in enumerate(_table(file, map_at, blocks, size_bytes, "I"))]
    place, number = max((pair for pair in used if pair[0] < _VDI_FREE), default=(-1, 0))
    if place >= 0:
        require_bytes(data_at + place * block + min(block, virtual - number * block), size_bytes, TABLES_SAY_SO)
    return int(virtual)


# ---- VHD


def _vhd(file: IO[bytes], size_bytes: int) -> int:
    at_end = bytes_at(file, max(0, size_bytes - FOOTER_BYTES), FOOTER_BYTES)
    whole = at_end.startswith(VHD_COOKIE)
    footer = at_end if whole else bytes_at(file, 0, FOOTER_BYTES)
    header_at = struct.unpack_from(">Q", footer, 16)[0]
    virtual = struct.unpack_from(">Q", footer, 48)[0]
    kind = struct.unpack_from(">I", footer, 60)[0]
    if kind == 4:
        raise _parent("VHD")
    if kind not in {2, 3}:
        raise _header("VHD")
    if kind == 2:
        require_bytes(virtual + FOOTER_BYTES, size_bytes, "its footer says so")
        return int(virtual)
    require_bytes(header_at + 1024, size_bytes, "its header ends there")
    header = bytes_at(file, header_at, 1024)
    table_at, _, count, block = struct.unpack_from(">QIII", header, 16)
    if not header.startswith(b"cxsparse") or block < SECTOR_BYTES or count * block < virtual:
        raise _header("VHD")
    entries = _table(file, table_at, count, size_bytes, "I", "big")
    last = max((entry for entry in entries if entry != _VHD_FREE), default=None)
    if last is not None:
        bitmap = -(-block // SECTOR_BYTES // 8 // SECTOR_BYTES) * SECTOR_BYTES
        require_bytes(last * SECTOR_BYTES + bitmap + block + FOOTER_BYTES, size_bytes, TABLES_SAY_SO)
    if not whole:
        text = f"The file is cut off: the end of a VHD file (its footer) is missing after {size_bytes} bytes."
        raise refusal("image_cut_off", f"{text} Upload the whole file.")
    return int(virtual)


# ---- VHDX


def _vhdx(file: IO[bytes], size_bytes: int) -> int:
    require_bytes(MIB, size_bytes, "a VHDX file has no less")
    regions = next(filter(None, (_vhdx_regions(file, offset) for offset in _VHDX_REGIONS)), {})
    if not {_VHDX_BAT, _VHDX_METADATA} <= regions.keys():
        raise _header("VHDX")
    for offset, length in regions.values():
        require_bytes(offset + length, size_bytes, "its regions end there")
    items = _vhdx_items(file, regions[_VHDX_METADATA][0])
    block, flags = struct.unpack("<II", items.get(_VHDX_FILE, bytes(8))[:8])
    virtual = struct.unpack("<Q", items.get(_VHDX_SIZE, bytes(8))[:8])[0]
    sector = struct.unpack("<I", items.get(_VHDX_SECTOR, bytes(4))[:4])[0]
    if flags & _VHDX_HAS_PARENT:
        raise _parent("VHDX")
    if not MIB <= block <= 256 * MIB or sector not in {512, 4096}:
        raise _header("VHDX")
    _check_size(virtual)  # before it is used to count blocks
    per_chunk = (sector << 23) // block
    blocks = -(-virtual // block)
    table = _table(file, regions[_VHDX_BAT][0], blocks + (blocks - 1) // per_chunk, size_bytes, "Q")
    for number, entry in enumerate(table):
        if entry & 7 in {6, 7} and (number + 1) % (per_chunk + 1):
            require_bytes((entry >> 20) * MIB + block, size_bytes, TABLES_SAY_SO)
    return int(virtual)


def _vhdx_regions(file: IO[bytes], offset: int) -> dict[bytes, tuple[int, int]]:
    table = bytes_at(file, offset, 64 * 1024)
    count = struct.unpack_from("<I", table, 8)[0]
    if not table.startswith(b"regi") or count > 2047:
        return {}
    entries = (struct.unpack_from("<16sQI", table, 16 + 32 * number) for number in range(count))
    return {kind: (place, length) for kind, place, length in entries}


def _vhdx_items(file: IO[bytes], offset: int) -> dict[bytes, bytes]:
    table = bytes_at(file, offset, 64 * 1024)
    count = struct.unpack_from("<H", table, 10)[0]
    if not table.startswith(b"metadata") or count > 2047:
        raise _header("VHDX")
    entries = (struct.unpack_from("<16sI", table, 32 + 32 * number) for number in range(count))
    return {kind: bytes_at(file, offset + place, 16) for kind, place in entries}


_READERS: Final[Mapping[SourceKind, Callable[[IO[bytes], int], int]]] = {
    SourceKind.VMDK: _vmdk,
    SourceKind.VDI: _vdi,
    SourceKind.VHD: _vhd,
    SourceKind.VHDX: _vhdx,
}
