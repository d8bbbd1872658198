"""Names of the things we make on a host, derived from ids so that a repeat finds them again.

Interface names hold at most 15 characters, so they carry eight hex digits of a hash; what really identifies a bridge is
the mark in its ``ifalias``, a domain its UUID and metadata.
"""

import hashlib
import re
from dataclasses import dataclass
from uuid import UUID

from parcela.hypervisors.spec import SegmentKind

BRIDGE_PREFIX = "pcb"
NAT_PREFIX = "pcn"
TAP_PREFIX = "pct"
_UNSAFE = re.compile(r"[^A-Za-z0-9.-]+")


def short_hash(*parts: object) -> str:
    """Eight hex digits that stand for the parts."""
    text = "/".join(str(part) for part in parts)
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:8]


def domain_name(name: str, vm_uuid: UUID) -> str:
    """Name for ``virsh list``: readable, unique, and free of anything a file name or a shell could trip over."""
    safe = _UNSAFE.sub("-", name).strip("-.")[:40] or "vm"
    return f"pcl-{safe}-{vm_uuid.hex[:8]}"


def bridge_name(installation: str, segment_uuid: UUID) -> str:
    """Bridge of a private segment."""
    return BRIDGE_PREFIX + short_hash(installation, segment_uuid)


def nat_bridge_name(installation: str) -> str:
    """Bridge of the NAT segment."""
    return NAT_PREFIX + short_hash(installation)


def nat_network_name(installation: str) -> str:
    """Name of the libvirt network behind the NAT segment."""
    return f"pcl-nat-{short_hash(installation)}"


def firewall_table_name(installation: str) -> str:
    """The nftables tables (families inet and bridge) that are ours alone."""
    return f"parcela_{short_hash(installation)}"


def tap_name(vm_uuid: UUID, index: int) -> str:
    """Host side of the VM's NIC number ``index``."""
    return TAP_PREFIX + short_hash(vm_uuid, index)


@dataclass(frozen=True, slots=True)
class BridgeMark:
    """What a bridge's ``ifalias`` says: ``parcela:<installation>:<kind>:<segment uuid>:<slice uuid or ->``."""

    installation: str
    kind: SegmentKind
    segment_uuid: UUID
    slice_uuid: UUID | None

    def alias(self) -> str:
        """The text for ``ifalias`` (the kernel takes up to 255 bytes)."""
        return f"parcela:{self.installation}:{self.kind.value}:{self.segment_uuid}:{self.slice_uuid or '-'}"

    @classmethod
    def parse(cls, alias: str | None) -> "BridgeMark | None":
        """Read an alias; None when it is a stranger's."""
        parts = (alias or "").split(":")
        if len(parts) != 5 or parts[0] != "parcela":
            return None
        try:
            return cls(parts[1], SegmentKind(parts[2]), UUID(parts[3]), None if parts[4] == "-" else UUID(parts[4]))
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class TapMark:
    """What a tap's ``ifalias`` says: ``parcela:<installation>:tap:<vm uuid>:<twelve digits of the card's MAC>``."""

    installation: str
    vm_uuid: UUID
    mac: str

    def alias(self) -> str:
        """The text for ``ifalias``."""
        return f"parcela:{self.installation}:tap:{self.vm_uuid}:{self.mac.replace(':', '')}"

    @classmethod
    def parse(cls, alias: str | None) -> "TapMark | None":
        """Read an alias; None when it is a stranger's."""
        parts = (alias or "").split(":")
        if len(parts) != 5 or parts[0] != "parcela" or parts[2] != "tap":
            return None
        try:
            mac = bytes.fromhex(parts[4])
            return cls(parts[1], UUID(parts[3]), mac.hex(":"))
        except ValueError:
            return None
