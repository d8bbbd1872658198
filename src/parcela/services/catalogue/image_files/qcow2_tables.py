"""How long a qcow2 file has to be, from the tables it keeps of where its clusters are.

``qemu-img check`` tolerates a file that ends in the middle of its last cluster, and tells of each cluster beyond the
end on its own; people want to know how much is missing. Source of the layout: docs/interop/qcow2.rst of QEMU.
"""

import struct
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Final

OFFSET: Final = 0x00FF_FFFF_FFFF_FE00
COMPRESSED: Final = 1 << 62
READS_AS_ZEROS: Final = 1
MAX_L1_BYTES: Final = 32 * 1024**2  # as QEMU
MAX_REFCOUNT_TABLE_BYTES: Final = 8 * 1024**2  # as QEMU
MAX_L2_BYTES: Final = 512 * 1024**2
"""Of all second-level tables that are read: a minute of processor time, and enough for 4 TiB in clusters of 64 KiB."""
SECTOR_BYTES: Final = 512
_HEADER: Final = struct.Struct(">4sIQIIQIIQQI")
_INCOMPATIBLE_AT: Final = 72
_EXTENDED_L2: Final = 1 << 4
_ALLOCATED: Final = 0xFFFF_FFFF


class TablesError(Exception):
    """The tables are damaged; the text says how."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """The part of the header that says where the tables are."""

    cluster_bits: int
    virtual_bytes: int
    l1_entries: int
    l1_offset: int
    refcount_offset: int
    refcount_clusters: int
    extended: bool

    @property
    def cluster_bytes(self) -> int:
        return 1 << self.cluster_bits

    @classmethod
    def read(cls, file: IO[bytes]) -> "_Layout":
        file.seek(0)
        header = file.read(104)
        _, version, _, _, cluster_bits, virtual, _, l1_entries, l1_offset, refs_offset, refs = _HEADER.unpack_from(
            header
        )
        incompatible = struct.unpack_from(">Q", header, _INCOMPATIBLE_AT)[0] if version > 2 else 0
        extended = bool(incompatible & _EXTENDED_L2)
        return cls(cluster_bits, virtual, l1_entries, l1_offset, refs_offset, refs, extended)


def needed_bytes(file: IO[bytes], size_bytes: int) -> int:
    """Least length of a file whose header was checked. Blocking.

    Args:
        file: open for reading.
        size_bytes: its length; tables behind it are not read, so the answer is then a lower bound.

    Raises:
        TablesError: a table is larger than any image needs.
    """
    layout = _Layout.read(file)
    if (
        layout.l1_entries * 8 > MAX_L1_BYTES
        or layout.refcount_clusters << layout.cluster_bits > MAX_REFCOUNT_TABLE_BYTES
    ):
        raise TablesError("A table of the header is larger than any image needs.")
    ends = [layout.cluster_bytes, *_refcount_ends(file, layout, size_bytes), *_l2_ends(file, layout, size_bytes)]
    return max(ends)


def _refcount_ends(file: IO[bytes], layout: _Layout, size_bytes: int) -> Iterator[int]:
    length = layout.refcount_clusters << layout.cluster_bits
    yield layout.refcount_offset + length
    if layout.refcount_offset + length <= size_bytes:
        blocks = _numbers(file, layout.refcount_offset, length)
        yield from ((block & OFFSET) + layout.cluster_bytes for block in blocks if block & OFFSET)


def _l2_ends(file: IO[bytes], layout: _Layout, size_bytes: int) -> Iterator[int]:
    """Ends of the first-level table, of the second-level ones, and of what those point to."""
    yield layout.l1_offset + layout.l1_entries * 8
    if layout.l1_offset + layout.l1_entries * 8 > size_bytes:
        return
    guest_step = (layout.cluster_bytes // (16 if layout.extended else 8)) << layout.cluster_bits
    left = MAX_L2_BYTES
    seen: set[int] = set()  # a damaged file may name one table a million times
    for number, entry in enumerate(_numbers(file, layout.l1_offset, layout.l1_entries * 8)):
        offset = entry & OFFSET
        if not offset or offset in seen:
            continue
        seen.add(offset)
        yield offset + layout.cluster_bytes
        if offset + layout.cluster_bytes > size_bytes:
            continue
        if (left := left - layout.cluster_bytes) < 0:
            raise TablesError(f"Its tables take more than {MAX_L2_BYTES >> 20} MiB; use clusters of 64 KiB or more.")
        yield _data_end(layout, _numbers(file, offset, layout.cluster_bytes), number * guest_step)


def _data_end(layout: _Layout, table: "array[int]", guest: int) -> int:
    """Where the last of the clusters ends that a second-level table points to; 0 for none.

    Args:
        layout: of the file.
        table: its entries.
        guest: byte of the guest's disk that the first entry stands for.
    """
    size_bits = 62 - (layout.cluster_bits - 8)
    end = 0
    entries = zip(table[::2], table[1::2], strict=True) if layout.extended else ((entry, None) for entry in table)
    for number, (entry, bitmap) in enumerate(entries):
        if not entry:
            continue
        if entry & COMPRESSED:
            sectors = (entry & (COMPRESSED - 1)) >> size_bits
            start = entry & ((1 << size_bits) - 1)
            end = max(end, (start // SECTOR_BYTES + sectors + 1) * SECTOR_BYTES)
            continue
        if not entry & OFFSET:
            continue
        used = layout.cluster_bytes
        if bitmap is not None:
            used = (bitmap & _ALLOCATED).bit_length() * (layout.cluster_bytes // 32)
        elif entry & READS_AS_ZEROS:  # a reserved place, which nothing reads
            continue
        # What lies behind the end of the guest's disk is never read, so it need not be there.
        used = min(used, layout.virtual_bytes - guest - (number << layout.cluster_bits))
        if used > 0:
            end = max(end, (entry & OFFSET) + used)
    return end


def _numbers(file: IO[bytes], offset: int, length: int) -> "array[int]":
    file.seek(offset)
    numbers = array("Q", file.read(length))
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers
