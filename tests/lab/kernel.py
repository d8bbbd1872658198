"""The few system calls that Python 3.11 does not offer."""

import ctypes
import os
from enum import IntFlag

PR_SET_PDEATHSIG = 1
MNT_DETACH = 2


class Clone(IntFlag):
    """Namespaces for `unshare` (linux/sched.h)."""

    MOUNT = 0x0002_0000
    IPC = 0x0800_0000
    PID = 0x2000_0000
    NETWORK = 0x4000_0000


class MountFlag(IntFlag):
    """Flags of `mount` (linux/mount.h)."""

    NONE = 0
    NOSUID = 0x2
    NODEV = 0x4
    BIND = 0x1000
    RECURSIVE = 0x4000
    PRIVATE = 0x4_0000


_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(namespaces: Clone) -> None:
    """Leave the given namespaces for new ones; for PID only later children do."""
    _check(_libc.unshare(int(namespaces)), f"unshare {namespaces!r}")


def mount(source: str, target: str, kind: str = "", flags: MountFlag = MountFlag.NONE, options: str = "") -> None:
    """Mount `source` on `target`; `kind` is the file system, empty for a bind mount."""
    result = _libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode())
    _check(result, f"mount {source} on {target}")


def unmount_lazily(target: str) -> None:
    """Take `target` out of the tree now and free it when its last user is gone."""
    _check(_libc.umount2(target.encode(), MNT_DETACH), f"unmount {target}")


def die_with_parent(signal_number: int) -> None:
    """Get `signal_number` when the parent process ends, however it ends."""
    _check(_libc.prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "prctl")
