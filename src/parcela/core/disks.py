"""How full a file system is, and which errors of the operating system mean that nothing can be written to it."""

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from parcela.core.errors import ErrorKind, ParcelaError

MIB: Final = 1024**2
GIB_MIB: Final = 1024
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""No block, no inode (both ENOSPC), or a quota that is used up."""
STORAGE_FULL: Final = "storage_full"
STORAGE_READ_ONLY: Final = "storage_read_only"
STORAGE_FAILED: Final = "storage_failed"
STORAGE_CODES: Final = frozenset({STORAGE_FULL, STORAGE_READ_ONLY, STORAGE_FAILED})
RECOVERY_FACTOR: Final = 1.2
"""A file system that was short of space is fine again only with so many times the limit: without the margin a guest
that writes and deletes around the limit would report a change every few seconds."""


@dataclass(frozen=True, slots=True)
class LowLimit:
    """When a file system counts as short of space: free below ``percent`` of its size, or below ``most_gib``.

    The smaller of both counts: 5 % of 10 TB would be a lot to leave unused.
    """

    percent: float = 5.0
    most_gib: float = 20.0

    def mib(self, size_mib: int) -> int:
        """The limit for a file system of a size, in MiB."""
        return int(min(size_mib * self.percent / 100, self.most_gib * GIB_MIB))


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """Space of a file system.

    Attributes:
        size_mib: used and free, in MiB.
        free_mib: what an ordinary user may still write, in MiB.
        inodes: number of files it can hold; 0 when it sets no limit (btrfs).
        inodes_free: how many more.
    """

    size_mib: int
    free_mib: int
    inodes: int = 0
    inodes_free: int = 0

    @classmethod
    def of(cls, folder: Path) -> "DiskSpace":
        """Ask for the file system of a folder, or of the nearest one above it that exists. Blocks; OSError."""
        place = folder.absolute()
        while not place.exists() and place != place.parent:
            place = place.parent
        found = os.statvfs(place)
        blocks_mib = found.f_frsize / MIB
        return cls(
            size_mib=int(found.f_blocks * blocks_mib),
            free_mib=int(found.f_bavail * blocks_mib),
            inodes=found.f_files,
            inodes_free=found.f_favail,
        )

    def shortage(self, limit: LowLimit, *, was_low: bool = False) -> str:
        """Why it counts as short of space, as the end of a sentence; "" when it does not.

        Args:
            limit: see LowLimit; of inodes the same percentage counts.
            was_low: it did before, so more must be free until it does not.
        """
        factor = RECOVERY_FACTOR if was_low else 1.0
        if self.free_mib < (least_mib := limit.mib(self.size_mib) * factor):
            return f"{human(self.free_mib)} of {human(self.size_mib)} are free, fewer than {human(least_mib)}"
        if self.inodes and self.inodes_free < self.inodes * limit.percent / 100 * factor:
            return f"only {self.inodes_free} more files fit on it (inodes)"
        return ""


def human(size_mib: float) -> str:
    """A size for people, e.g. ``1.5 GiB`` or ``120 MiB``."""
    return f"{size_mib / GIB_MIB:.1f} GiB" if size_mib >= GIB_MIB else f"{int(size_mib)} MiB"


def storage_error(error: OSError, what: str = "the server's disk") -> ParcelaError | None:
    """The error for a disk that is full or read-only; None for any other OSError.

    Args:
        error: what the operating system said.
        what: what is full, with an article.
    """
    if error.errno in FULL:
        return storage_full(what, str(error))
    return storage_read_only(what, str(error)) if error.errno == errno.EROFS else None


def is_storage_trouble(error: BaseException) -> bool:
    """Whether it says that a disk cannot be written. Such errors come by the thousand and are logged once."""
    return isinstance(error, ParcelaError) and error.code in STORAGE_CODES


def storage_full(what: str, internal: str) -> ParcelaError:
    """Nothing more can be stored: kind ``no_capacity``, code ``storage_full``."""
    text = (
        f"Nothing was changed: {what} is full. An administrator has to free space there; "
        "then the same request works again."
    )
    return ParcelaError(ErrorKind.NO_CAPACITY, STORAGE_FULL, text, internal=internal, retry_after_s=60)


def storage_read_only(what: str, internal: str) -> ParcelaError:
    """Nothing can be stored: kind ``no_capacity``, code ``storage_read_only``."""
    text = (
        f"Nothing was changed: {what} can only be read (a read-only file system, or no permission to write). "
        "An administrator has to make it writable; then the same request works again."
    )
    return ParcelaError(ErrorKind.NO_CAPACITY, STORAGE_READ_ONLY, text, internal=internal, retry_after_s=60)


def storage_failed(what: str, internal: str) -> ParcelaError:
    """A disk or its quota refuses to store anything: kind ``no_capacity``, code ``storage_failed``."""
    text = (
        f"Nothing was changed: {what} cannot be written (a disk error, or a quota that is used up). "
        "An administrator finds the reason in the log."
    )
    return ParcelaError(ErrorKind.NO_CAPACITY, STORAGE_FAILED, text, internal=internal, retry_after_s=60)
