"""Small file systems of their own for tests of full disks; they need the private mounts of the test lab."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MIB = 1024**2


class SmallDisk:
    """A file system in memory that can be filled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, *, leave_bytes: int = 0) -> None:
        """Write until nothing more fits (but ``leave_bytes``)."""
        found = os.statvfs(self.folder)
        size = found.f_bavail * found.f_frsize - leave_bytes
        with self._ballast.open("ab", buffering=0) as file:
            zeros = bytes(MIB)
            while size > 0:
                size -= file.write(zeros[: min(size, MIB)])

    def free(self) -> None:
        """Throw away what ``fill`` wrote."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, *options: str, size_mib: int = 32) -> Iterator[SmallDisk]:
    """Mount an empty file system at a folder (made when missing); skipped where this process may not mount."""
    folder.mkdir(parents=True, exist_ok=True)
    told = ",".join((f"size={size_mib}m", "mode=711", *options))
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", told, "none", str(folder)], check=False, capture_output=True, text=True
    )
    if done.returncode:
        reason = f"cannot mount a file system: {done.stderr.strip()}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
