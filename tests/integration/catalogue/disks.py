"""Image files, good and bad, made byte by byte."""

import struct
import subprocess
from pathlib import Path

KIB, GIB = 1024, 1024**3


def qcow2_header(
    *,
    version: int = 3,
    virtual_size: int = 64 * 1024 * KIB,
    backing: bytes = b"",
    encryption: int = 0,
    incompatible: int = 0,
    cluster_bits: int = 16,
    extensions: bytes = b"",
    length: int = 104,
) -> bytes:
    """A first cluster as the specification describes it; QEMU would not boot it."""
    backing_offset = length + len(extensions) if backing else 0
    header = struct.pack(
        ">4sIQIIQIIQQIIQ",
        b"QFI\xfb",
        version,
        backing_offset,
        len(backing),
        cluster_bits,
        virtual_size,
        encryption,
        1,
        0x30000,
        0x10000,
        1,
        0,
        0,
    )
    if version == 3:
        header += struct.pack(">QQQII", incompatible, 0, 0, 4, length)
    header += extensions + backing
    return header.ljust(1 << 16, b"\0")


def extension(kind: int, data: bytes) -> bytes:
    """A header extension."""
    return struct.pack(">II", kind, len(data)) + data.ljust(-(-len(data) // 8) * 8, b"\0")


def qcow2(path: Path, size: str = "64M", *options: str) -> bytes:
    """A real qcow2 file."""
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options, str(path), size], check=True)
    return path.read_bytes()


def raw_disk(size_bytes: int = 64 * KIB) -> bytes:
    """A raw disk with the signature of an MBR."""
    return (b"\0" * 510 + b"\x55\xaa").ljust(size_bytes, b"\0")


def iso(size_bytes: int = 64 * KIB) -> bytes:
    """An ISO 9660 file that could also boot from a USB stick."""
    content = bytearray(raw_disk(size_bytes))
    content[32769:32774] = b"CD001"
    return bytes(content)
