"""VMDK and OVA files, made byte by byte."""

import io
import struct
import tarfile
import zlib


def vmdk_header(capacity: int, *, directory: int, text_at: int = 1, flags: int = 0x30001) -> bytes:
    """A sparse header; sizes and places in sectors."""
    values = (b"KDMV", 3, flags, capacity, 128, text_at, 20, 512, 0, directory, 128)
    return (struct.pack("<4sIIQQQQIQQQ", *values) + b"\0\n \r\n" + struct.pack("<H", 1)).ljust(512, b"\0")


def description(*lines: str, parent: str = "ffffffff") -> bytes:
    """The text in a VMDK file."""
    first = [
        "# Disk DescriptorFile",
        "version=1",
        "CID=12345678",
        f"parentCID={parent}",
        'createType="streamOptimized"',
    ]
    return "\n".join([*first, *lines, ""]).encode()


def stream_optimized(disk: bytes, text: bytes | None = None) -> bytes:
    """A VMDK file as ``ovftool`` writes it: grains one after the other, the directory behind them, then a footer."""
    capacity = len(disk) // 512
    text = text or description(f'RDONLY {capacity} SPARSE "disk.vmdk"')
    file = bytearray(vmdk_header(capacity, directory=2**64 - 1) + text).ljust(128 * 512, b"\0")
    table = []
    for number in range(0, capacity, 128):
        table.append(len(file) // 512)
        data = zlib.compress(disk[number * 512 : (number + 128) * 512])
        file += struct.pack("<QI", number, len(data)) + data
        file += bytes(-len(file) % 512)
    at = len(file) // 512
    file += struct.pack("<512I", *table, *[0] * (512 - len(table)))
    directory = len(file) // 512
    file += struct.pack("<I", at).ljust(512, b"\0")
    file += struct.pack("<QII", 1, 0, 3).ljust(512, b"\0") + vmdk_header(capacity, directory=directory) + bytes(512)
    return bytes(file)


def ova(disk: bytes) -> bytes:
    """What VirtualBox exports."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in (("lab.ovf", b"<?xml version='1.0'?>"), ("lab-disk001.vmdk", disk)):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()
