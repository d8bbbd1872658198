"""The temporary folder of one lab, and the sweep of folders whose lab was killed."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab import cgroups

PREFIX = "parcela-lab-"


class WorkDir:
    """A folder that everybody may enter, removed by `close`.

    It lies under /var/tmp because QEMU runs as another user (libvirt-qemu) and must reach image files
    in it: root's home and pytest's own `tmp_path` (mode 0700) are closed to it. `TMPDIR` and
    `PARCELA_TEST_TMP` of the command point into it.
    """

    def __init__(self, base: Path) -> None:
        with _alone(base):
            # Else another lab's sweep would take ours for a dead one, between its making and its locking.
            dead = _locked_dead(base)
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
            self._lock = _try_lock(self.path)
        self.path.chmod(0o755)
        _remove(dead)

    @property
    def name(self) -> str:
        """A name that no other living lab has."""
        return self.path.name

    def folder(self, name: str, mode: int = 0o755) -> Path:
        """Return the subfolder `name`, made when it is not there."""
        path = self.path / name
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)
        return path

    def close(self) -> None:
        """Remove the folder and everything in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _try_lock(path: Path) -> int | None:
    """Lock a folder for the life of this process; None when a living lab holds it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


@contextmanager
def _alone(base: Path) -> Iterator[None]:
    """Wait until no other lab is in here."""
    descriptor = os.open(base, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _locked_dead(base: Path) -> dict[Path, int]:
    """What labs left that were killed with SIGKILL: their locks were free, and are ours now."""
    found = {}
    for path in base.glob(PREFIX + "*"):
        try:
            descriptor = _try_lock(path)
        except OSError:  # Another user's, or it went away meanwhile.
            continue
        if descriptor is not None:
            found[path] = descriptor
    return found


def _remove(dead: dict[Path, int]) -> None:
    for path, descriptor in dead.items():
        cgroups.release(cgroups.find(path.name))
        shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)
