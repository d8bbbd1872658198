"""Files that other users of the machine must not read, whatever the umask is.

A folder that cannot be listed is no protection: the paths of images and disks are in the command lines of QEMU, which
every user of the machine may read.
"""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

log = logging.getLogger(__name__)

FILE_MODE = 0o600
FOLDER_MODE = 0o700
OTHERS = 0o077
"""The bits of group and others."""


def create_private(path: Path) -> BinaryIO:
    """Open a new file for writing, mode 0600 from its first moment; FileExistsError when there is one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    file = os.fdopen(descriptor, "wb")
    # A umask such as 0277 would keep even us from opening it again.
    os.fchmod(descriptor, FILE_MODE)
    return file


def write_private(path: Path, data: bytes) -> None:
    """Write a small file, mode 0600 also when it was there with another mode."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, FILE_MODE)
        file.truncate()
        file.write(data)


def make_private_folder(folder: Path) -> None:
    """Make a folder, mode 0700, unless it is there; missing parents get the mode of the umask."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(FOLDER_MODE)


def close_to_others(path: Path) -> None:
    """Take the bits of group and others from a file or folder; a link, and what is gone, are left alone."""
    with contextlib.suppress(FileNotFoundError):
        mode = path.lstat().st_mode & 0o7777
        if mode & OTHERS and not path.is_symlink():
            try:
                path.chmod(mode & ~OTHERS)
            except OSError as error:
                log.warning("%s can be read by others, and that cannot be changed: %s", path, error)


def close_data_folder(folder: Path) -> None:
    """Correct what an older version or an administrator's copy left readable. Blocks, some microseconds per file.

    Covers the files in the data folder itself (database, keys), ``images`` and ``inventory``. Not ``hypervisor``, whose
    files belong to the driver and are read by QEMU, and not ``import``, which is the administrator's.
    """
    for path in _files(folder):
        close_to_others(path)
    for part in (folder / "images", folder / "inventory"):
        for place, _folders, names in os.walk(part):
            close_to_others(Path(place))
            for name in names:
                close_to_others(Path(place, name))


def _files(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                yield Path(entry.path)
