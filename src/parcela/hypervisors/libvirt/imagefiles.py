"""Files of copies of images, and who may remove one.

``images/.lock`` is held while a copy is touched and while one is removed, also between processes: a copy that
``ensure_image`` has just found cannot vanish before ``create_vm`` uses it, because it is young then.
"""

import contextlib
import fcntl
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from parcela.hypervisors.libvirt.layout import TEMPORARY_PREFIX, Layout
from parcela.hypervisors.spec import ImageCopy

_HEADER_BYTES = 20
_QCOW2_MAGIC = b"QFI\xfb"
_MAX_NAME_BYTES = 1023  # of qcow2


@contextlib.contextmanager
def held(layout: Layout) -> Iterator[None]:
    """Hold the folder of copies. Blocking, for the time of some system calls; the kernel lets go when we die."""
    file = os.open(layout.images / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def touch_copy(layout: Layout, target: Path) -> bool:
    """Make a copy young; False when it is not there."""
    if not target.exists():
        return False
    with held(layout), contextlib.suppress(FileNotFoundError):
        os.utime(target)
        return True
    return False


def list_copies(layout: Layout) -> tuple[ImageCopy, ...]:
    """All of them, and what copies that were cut off left."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for entry in sorted(layout.images.iterdir()):
            digest = entry.name.partition(".")[0]
            is_rest = entry.name.startswith(TEMPORARY_PREFIX)
            if not is_rest and len(digest) != 64:
                continue
            with contextlib.suppress(FileNotFoundError):
                facts = entry.stat()
                age_s = max(0.0, time.time() - facts.st_mtime)
                found.append(ImageCopy(entry.name, "" if is_rest else digest, facts.st_size, age_s))
    return tuple(found)


def remove_copy(layout: Layout, path: Path, min_age_s: float) -> bool:
    """Remove a copy that is old and backs no overlay; whether it is gone."""
    with held(layout):
        try:
            if time.time() - path.stat().st_mtime < min_age_s:
                return False
        except FileNotFoundError:
            return True
        if any(backing_file(disk) == str(path) for disk in layout.vms.glob("*/*")):
            return False
        path.unlink(missing_ok=True)
        return True


def backing_file(disk: Path) -> str:
    """Path of the image below an overlay; "" for any other file."""
    try:
        with disk.open("rb") as file:
            head = file.read(_HEADER_BYTES)
            if len(head) < _HEADER_BYTES or head[:4] != _QCOW2_MAGIC:
                return ""
            offset, size = struct.unpack(">QI", head[8:20])
            if not offset or size > _MAX_NAME_BYTES:
                return ""
            file.seek(offset)
            return file.read(size).decode(errors="replace")
    except (FileNotFoundError, IsADirectoryError):
        return ""
