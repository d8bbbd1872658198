"""The user under whom libvirtd runs QEMU, and whether that user gets to our files.

Imports no libvirt: the doctor uses it too, on machines that may lack it.
"""

import os
import pwd
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

ACL_ATTRIBUTE = "system.posix_acl_access"
ROOT_UID = 0


@dataclass(frozen=True, slots=True)
class QemuUser:
    """User and group, as numbers."""

    uid: int
    gid: int

    @property
    def label(self) -> str:
        """In libvirt's notation: numbers carry a plus sign."""
        return f"+{self.uid}:+{self.gid}"

    @property
    def name(self) -> str:
        """Name of the user, or the number when it has none."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return str(self.uid)

    def groups(self) -> frozenset[int]:
        """The group and, as libvirtd gives them to QEMU, those the user is in."""
        try:
            return frozenset(os.getgrouplist(pwd.getpwuid(self.uid).pw_name, self.gid))
        except KeyError:
            return frozenset({self.gid})


def parse_qemu_user(capabilities: str) -> QemuUser | None:
    """QEMU's user from libvirt's capabilities (XML); None when libvirtd does not switch users."""
    document = ET.fromstring(capabilities)  # noqa: S314 - written by libvirtd
    for model in document.iterfind("host/secmodel"):
        if model.findtext("model") == "dac":
            # One per domain type, all the same; with the plus sign of numbers since libvirt 1.3.
            uid, _, gid = (model.findtext("baselabel") or "").partition(":")
            try:
                return QemuUser(int(uid), int(gid))
            except ValueError:
                return None
    return None


def may_pass(facts: os.stat_result, user: QemuUser) -> bool:
    """Whether the mode of a folder lets the user pass through; root's privileges are not looked at."""
    if facts.st_uid == user.uid:
        return bool(facts.st_mode & stat.S_IXUSR)
    if facts.st_gid in user.groups():
        return bool(facts.st_mode & stat.S_IXGRP)
    return bool(facts.st_mode & stat.S_IXOTH)


def first_closed(
    folder: Path, user: QemuUser, passes: Callable[[os.stat_result, QemuUser], bool] = may_pass
) -> Path | None:
    """The first folder, from the top, that QEMU's user may not enter on the way to ``folder``. Blocks.

    None when there is none, and also when it cannot be told: QEMU runs as root (with which privileges is libvirtd's
    configuration), we may not look ourselves, or an access control list has more to say than the mode. Folders that are
    not there yet are made by us, and made so that QEMU passes.
    """
    if user.uid == ROOT_UID:
        return None
    try:
        target = folder.resolve()
        for place in (*reversed(target.parents), target):
            if place.exists() and not passes(place.stat(), user) and not _has_acl(place):
                return place
    except OSError:
        return None
    return None


def _has_acl(place: Path) -> bool:
    try:
        return ACL_ATTRIBUTE in os.listxattr(place)
    except OSError:  # a file system without such attributes
        return False
