"""What drivers take and return: frozen dataclasses with units in the names, no models, no settings.

Ids that cross the seam are UUIDs of ours; no platform id (domain name, bridge name, volume path) ever leaves a driver.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from parcela.core.disks import DiskSpace
from parcela.core.power import PowerReason


class ImageFormat(StrEnum):
    """Format of an image file, recognised by content, never by its name."""

    QCOW2 = "qcow2"
    RAW = "raw"
    ISO = "iso"


class SegmentKind(StrEnum):
    """What a layer-2 segment is for."""

    EDGE = "edge"  # point to point: exactly two NICs
    LAN = "lan"  # any number of NICs of one slice
    NAT = "nat"  # the host's shared way out: DHCP and NAT; its ports cannot see each other


class Acceleration(StrEnum):
    """How guest code runs."""

    KVM = "kvm"
    TCG = "tcg"
    SIMULATED = "simulated"


class Capability(StrEnum):
    """What a host can do beyond the core contract."""

    LAN_SEGMENTS = "lan_segments"
    NAT = "nat"
    LIVE_RECABLE = "live_recable"
    RESOURCE_LIMITS = "resource_limits"
    SERIAL_CONSOLE = "serial_console"
    VNC_CONSOLE = "vnc_console"
    TRANSPARENT_EDGES = "transparent_edges"  # an edge passes every frame, LACP and pause frames included
    CROSS_HOST_SEGMENTS = "cross_host_segments"  # one segment may have NICs on several hosts


class PowerState(StrEnum):
    """What the hypervisor says of a domain."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    CRASHED = "crashed"  # it stopped without being asked to by the guest or by us


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What a host is and has.

    Attributes:
        hypervisor: name and version, e.g. ``QEMU 7.2.22 / libvirt 9.0.0``.
        acceleration: what guests really run on.
        acceleration_reason: one sentence saying how that was found out.
        vcpus: logical processors of the host, >= 1.
        memory_mib: memory of the host in MiB.
        disk_gib: free plus used space of the file system that holds VM disks, in GiB.
        capabilities: what it can do beyond the core contract.
        obstacle: what keeps every VM from starting and how to mend it, for administrators; "" when nothing is known.
        space: the same file system, measured now; None when the provider cannot tell.
    """

    hypervisor: str
    acceleration: Acceleration
    acceleration_reason: str
    vcpus: int
    memory_mib: int
    disk_gib: int
    capabilities: frozenset[Capability] = frozenset()
    obstacle: str = ""
    space: DiskSpace | None = None


@dataclass(frozen=True, slots=True)
class ImageCopy:
    """A file of an image (disk, kernel or initrd) on a host.

    Attributes:
        name: of the copy on this host; for ``remove_image_copy``.
        sha256: digest of the file; "" for what a copy that was cut off left.
        size_bytes: its length; 0 where the host does not know.
        age_s: seconds since it was made, or ``ensure_image`` found it there.
    """

    name: str
    sha256: str
    size_bytes: int
    age_s: float


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """A bootable base image, named by its hash.

    Attributes:
        sha256: lower-case hex digest of the file at ``source_path``.
        format: format of that file.
        source_path: absolute path on the machine of the caller from which the driver takes it (once).
        virtual_size_bytes: size of the disk the guest sees, before any overlay makes it larger.
        kernel_path: absolute path of a kernel for direct boot, or None for a boot from disk.
        kernel_sha256: its digest; "" without a kernel.
        initrd_path: absolute path of the initramfs that goes with the kernel, or None.
        initrd_sha256: its digest; "" without an initrd.
        cmdline: kernel command line for direct boot.
        ready_marker: text the guest prints on its serial line when it is ready, or None when it gives no signal.
    """

    sha256: str
    format: ImageFormat
    source_path: str
    virtual_size_bytes: int
    kernel_path: str | None = None
    kernel_sha256: str = ""
    initrd_path: str | None = None
    initrd_sha256: str = ""
    cmdline: str = ""
    ready_marker: str | None = None


@dataclass(frozen=True, slots=True)
class SegmentSpec:
    """A layer-2 segment of one slice, or the host's shared NAT segment.

    Attributes:
        uuid: our id. The NAT segment of an installation always has the same one on every host.
        slice_uuid: slice it belongs to; None for NAT and for segments of stand-alone VMs.
        kind: see SegmentKind.
        tag: number unique among the living segments of the installation, 1..16000000; VNI, and source of UDP ports.
        mtu: largest packet in bytes, 576..9000.
    """

    uuid: UUID
    slice_uuid: UUID | None
    kind: SegmentKind
    tag: int
    mtu: int = 1500


@dataclass(frozen=True, slots=True)
class NicSpec:
    """One network card of a VM, in the order the guest sees them.

    Attributes:
        mac: lower-case, colon-separated.
        segment: what it is plugged into; None leaves it unplugged.
        end: 0 or 1, which end of an EDGE this is; the index of the port otherwise.
        address: IPv4 address with prefix for the guest, e.g. ``10.0.1.2/24``; None for none.
        dhcp: the guest asks for its address (NAT segments).
        mtu: told to the guest, in bytes.
    """

    mac: str
    segment: SegmentSpec | None
    end: int = 0
    address: str | None = None
    dhcp: bool = False
    mtu: int = 1500


@dataclass(frozen=True, slots=True)
class GuestConfig:
    """What the guest is told at boot (NoCloud seed and our own ``parcela.conf``).

    Attributes:
        hostname: RFC 1123 label.
        ssh_keys: authorised keys of root (bundled guest) or of the image's default user.
        user_data: script (``#!``) or ``#cloud-config`` document, at most 64 KiB; None for none.
        gateway: IPv4 address of the default route; None leaves it to DHCP.
        routes: pairs (destination prefix, next hop).
        dns: resolver addresses.
        forward: the guest forwards IPv4 packets (a router).
    """

    hostname: str
    ssh_keys: tuple[str, ...] = ()
    user_data: str | None = None
    gateway: str | None = None
    routes: tuple[tuple[str, str], ...] = ()
    dns: tuple[str, ...] = ()
    forward: bool = False


@dataclass(frozen=True, slots=True)
class VmSpec:
    """Everything a driver needs to make a VM.

    Attributes:
        uuid: our id; also the domain's UUID.
        name: for people (``virsh list``); an RFC 1123 label.
        slice_uuid: slice it belongs to, or None when it stands alone.
        owner: username of the owner, for the metadata.
        vcpus: 1..128.
        memory_mib: 64..1048576.
        disk_gib: size of the overlay, at least the image's virtual size rounded up.
        image: what it boots.
        nics: in guest order.
        guest: boot-time configuration.
    """

    uuid: UUID
    name: str
    slice_uuid: UUID | None
    owner: str
    vcpus: int
    memory_mib: int
    disk_gib: int
    image: ImageSpec
    nics: tuple[NicSpec, ...]
    guest: GuestConfig


@dataclass(frozen=True, slots=True)
class VmObservation:
    """What the hypervisor has of one VM of ours.

    Attributes:
        uuid: our id.
        slice_uuid: from the metadata.
        power: what it does now.
        defined: False when only files (disk, seed, log) are left of it.
        addresses: pairs (mac, IPv4 address) learnt from DHCP leases on NAT segments.
        reason: why it is paused or off, as far as the hypervisor tells; None when it runs.
    """

    uuid: UUID
    slice_uuid: UUID | None
    power: PowerState
    defined: bool = True
    addresses: tuple[tuple[str, str], ...] = ()
    reason: PowerReason | None = None


@dataclass(frozen=True, slots=True)
class SegmentObservation:
    """A segment of ours that exists on the host."""

    uuid: UUID
    slice_uuid: UUID | None
    kind: SegmentKind


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything on the host that carries *this installation's* mark; strangers' things are never in it."""

    vms: tuple[VmObservation, ...] = ()
    segments: tuple[SegmentObservation, ...] = ()


class VmEventKind(StrEnum):
    """What an event hints at; the truth is the inventory."""

    STARTED = "started"
    STOPPED = "stopped"
    CRASHED = "crashed"
    PAUSED = "paused"
    RESUMED = "resumed"
    REBOOTED = "rebooted"
    REMOVED = "removed"
    HOST_LOST = "host_lost"  # connection to the hypervisor broke
    HOST_BACK = "host_back"  # and came back: sweep now


@dataclass(frozen=True, slots=True)
class DriverEvent:
    """A hint from the hypervisor; ``vm_uuid`` is None for HOST_LOST and HOST_BACK."""

    kind: VmEventKind
    vm_uuid: UUID | None
    at: datetime = field(compare=False)
