"""Disk elements."""

from dataclasses import dataclass
from xml.etree import ElementTree as ET

from parcela.hypervisors.libvirt.xml.metadata import leaf


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk or CD drive backed by a file.

    Attributes:
        path: absolute path on the host.
        format: ``qcow2`` or ``raw``.
        target: device name, e.g. ``vda`` (virtio) or ``sda`` (SATA CD drive).
        read_only: the guest cannot write.
        cdrom: a CD drive instead of a disk.
        boot_order: position among the boot devices, from 1; None when it is not booted from.
        base_path: backing file of an overlay; None without one.
        base_format: its format.
    """

    path: str
    format: str
    target: str
    read_only: bool = False
    cdrom: bool = False
    boot_order: int | None = None
    base_path: str | None = None
    base_format: str = "qcow2"

    def element(self) -> ET.Element:
        """``<disk>``."""
        disk = ET.Element("disk", {"type": "file", "device": "cdrom" if self.cdrom else "disk"})
        driver = leaf(disk, "driver", name="qemu", type=self.format)
        if not self.read_only:
            driver.set("discard", "unmap")
            # QEMU's own choice pauses the guest for ENOSPC only: a quota that is used up (EDQUOT) would reach the guest
            # as a broken disk, which its file system answers by going read-only. Of reads the guest decides itself.
            driver.set("error_policy", "stop")
            driver.set("rerror_policy", "report")
        leaf(disk, "source", file=self.path)
        if self.base_path is not None:
            base = leaf(disk, "backingStore", type="file")
            leaf(base, "format", type=self.base_format)
            leaf(base, "source", file=self.base_path)
            # Says that the chain ends here: libvirt need not open the files to find out.
            leaf(base, "backingStore")
        leaf(disk, "target", dev=self.target, bus="sata" if self.cdrom else "virtio")
        if self.read_only:
            leaf(disk, "readonly")
        if self.boot_order is not None:
            leaf(disk, "boot", order=str(self.boot_order))
        return disk
