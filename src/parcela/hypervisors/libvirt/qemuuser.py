"""The user under whom libvirtd runs QEMU."""

from dataclasses import dataclass
from xml.etree import ElementTree as ET

import libvirt


@dataclass(frozen=True, slots=True)
class QemuUser:
    """User and group, as numbers."""

    uid: int
    gid: int

    @property
    def label(self) -> str:
        """In libvirt's notation: numbers carry a plus sign."""
        return f"+{self.uid}:+{self.gid}"


def read_qemu_user(connection: libvirt.virConnect) -> QemuUser | None:
    """QEMU's user as libvirtd is configured; None when libvirtd does not switch users. Blocks."""
    capabilities = ET.fromstring(connection.getCapabilities())  # noqa: S314 - written by libvirtd
    for model in capabilities.iterfind("host/secmodel"):
        if model.findtext("model") == "dac":
            uid, _, gid = (model.findtext("baselabel") or "").partition(":")
            try:
                return QemuUser(int(uid), int(gid))
            except ValueError:
                return None
    return None
