"""Seed disks for the guest self-test, written by hand with the standard library only."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SECTOR_BYTES = 2048


def _both_endian(value: int, width_bytes: int) -> bytes:
    """ISO 9660 stores most numbers twice: little-endian, then big-endian."""
    return value.to_bytes(width_bytes, "little") + value.to_bytes(width_bytes, "big")


def _directory_record(name: bytes, sector: int, size_bytes: int, *, is_directory: bool) -> bytes:
    padding = b"" if len(name) % 2 else b"\0"
    length = 33 + len(name) + len(padding)
    record = struct.pack("<BB", length, 0) + _both_endian(sector, 4) + _both_endian(size_bytes, 4)
    record += bytes((100, 1, 1, 0, 0, 0, 0))  # 2000-01-01 UTC: equal files give equal bytes
    record += bytes((2 if is_directory else 0, 0, 0)) + _both_endian(1, 2) + bytes((len(name),))
    return record + name + padding


def _directory(own_sector: int, entries: Sequence[tuple[bytes, int, int]]) -> bytes:
    """One directory extent of one sector; `entries` are (name, first sector, size in bytes)."""
    extent = _directory_record(b"\0", own_sector, SECTOR_BYTES, is_directory=True)
    extent += _directory_record(b"\1", own_sector, SECTOR_BYTES, is_directory=True)
    for name, sector, size_bytes in sorted(entries):
        extent += _directory_record(name, sector, size_bytes, is_directory=False)
    if len(extent) > SECTOR_BYTES:
        raise ValueError("too many files for a one-sector directory")
    return extent.ljust(SECTOR_BYTES, b"\0")


@dataclass(frozen=True)
class _Names:
    """One of the two name spaces of the image: where its parts lie and how it spells text."""

    kind: int
    encoding: str
    escape: bytes
    path_table: int
    root: int


_PLAIN = _Names(kind=1, encoding="ascii", escape=b"", path_table=19, root=23)
_JOLIET = _Names(kind=2, encoding="utf-16-be", escape=b"%/E", path_table=21, root=24)


def _volume_descriptor(names: _Names, total_sectors: int) -> bytes:
    space = " ".encode(names.encoding)

    def text(width_bytes: int, value: str = "") -> bytes:
        return (value.encode(names.encoding) + space * width_bytes)[:width_bytes]

    body = bytes((names.kind,)) + b"CD001" + b"\1\0" + text(32) + text(32, "cidata") + bytes(8)
    body += _both_endian(total_sectors, 4) + names.escape.ljust(32, b"\0")
    body += _both_endian(1, 2) + _both_endian(1, 2) + _both_endian(SECTOR_BYTES, 2) + _both_endian(10, 4)
    body += struct.pack("<II", names.path_table, 0) + struct.pack(">II", names.path_table + 1, 0)
    body += _directory_record(b"\0", names.root, SECTOR_BYTES, is_directory=True)
    body += text(128 * 4 + 37 * 3) + (b"0" * 16 + b"\0") * 4 + b"\1"
    return body.ljust(SECTOR_BYTES, b"\0")


def seed_iso(files: Mapping[str, str]) -> bytes:
    """A NoCloud seed: an ISO 9660 image with Joliet names and the volume id `cidata`.

    The product makes its seeds with pycdlib; this one is written by hand so that the two check each other and the
    self-test needs no packages.
    """
    # 0-15 system area, 16 primary, 17 Joliet, 18 end, 19-22 path tables, 23 and 24 root directories, 25.. data
    sector = 25
    plain: list[tuple[bytes, int, int]] = []
    joliet: list[tuple[bytes, int, int]] = []
    data = b""
    for number, (name, text) in enumerate(files.items()):
        content = text.encode()
        plain.append((f"F{number}.;1".encode(), sector, len(content)))
        joliet.append((name.encode("utf-16-be"), sector, len(content)))
        data += content + bytes(-len(content) % SECTOR_BYTES)
        sector = 25 + len(data) // SECTOR_BYTES

    def path_tables(root: int) -> bytes:
        little = struct.pack("<BBIHBB", 1, 0, root, 1, 0, 0).ljust(SECTOR_BYTES, b"\0")
        return little + struct.pack(">BBIHBB", 1, 0, root, 1, 0, 0).ljust(SECTOR_BYTES, b"\0")

    image = bytes(16 * SECTOR_BYTES)
    image += _volume_descriptor(_PLAIN, sector) + _volume_descriptor(_JOLIET, sector)
    image += (b"\xffCD001\1").ljust(SECTOR_BYTES, b"\0")
    image += path_tables(_PLAIN.root) + path_tables(_JOLIET.root)
    return image + _directory(_PLAIN.root, plain) + _directory(_JOLIET.root, joliet) + data
