"""The domain element."""

from dataclasses import dataclass
from uuid import UUID
from xml.etree import ElementTree as ET

from parcela.hypervisors.libvirt.xml.disk import Disk
from parcela.hypervisors.libvirt.xml.interface import Interface, Plug
from parcela.hypervisors.libvirt.xml.metadata import Metadata, leaf, to_text

# q35 leaves one free slot for hot-plug; these are for NICs and disks that come later.
SPARE_PCI_PORTS = 10
QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"
CPU_PERIOD_US = 100_000

ET.register_namespace("qemu", QEMU_NAMESPACE)


@dataclass(frozen=True, slots=True)
class DirectKernel:
    """Kernel boot without firmware and boot loader: paths on the host and the command line."""

    kernel: str
    initrd: str | None
    cmdline: str


@dataclass(frozen=True, slots=True)
class Domain:
    """A virtual machine.

    Attributes:
        name: libvirt's name.
        uuid: our id.
        metadata: whose it is.
        kvm: run guest code on the processor instead of emulating it.
        vcpus: number of virtual processors.
        memory_mib: memory of the guest.
        limit_cpu: hold all threads of the VM together to ``vcpus`` processors.
        kernel: direct boot; None boots from the disks in their order.
        disks: in order.
        interfaces: in guest order.
        serial_log: file that keeps what the guest printed since power-on.
        qemu_user: ``+uid:+gid`` under which QEMU runs and to whom we give the overlay ourselves; "" leaves that to
            libvirt (session mode).
    """

    name: str
    uuid: UUID
    metadata: Metadata
    kvm: bool
    vcpus: int
    memory_mib: int
    limit_cpu: bool
    kernel: DirectKernel | None
    disks: tuple[Disk, ...]
    interfaces: tuple[Interface, ...]
    serial_log: str
    qemu_user: str = ""
    spare_ports: int = SPARE_PCI_PORTS

    def element(self) -> ET.Element:
        """``<domain>``."""
        domain = ET.Element("domain", {"type": "kvm" if self.kvm else "qemu"})
        leaf(domain, "name", self.name)
        leaf(domain, "uuid", str(self.uuid))
        leaf(domain, "title", f"{self.metadata.vm} of {self.metadata.owner}".replace("\n", " "))
        leaf(domain, "metadata").append(self.metadata.element())
        leaf(domain, "memory", str(self.memory_mib), unit="MiB")
        leaf(domain, "vcpu", str(self.vcpus))
        if self.limit_cpu:
            tune = leaf(domain, "cputune")
            leaf(tune, "global_period", str(CPU_PERIOD_US))
            leaf(tune, "global_quota", str(CPU_PERIOD_US * self.vcpus))
        self._boot(domain)
        features = leaf(domain, "features")
        leaf(features, "acpi")
        leaf(features, "apic")
        self._cpu(domain)
        leaf(domain, "clock", offset="utc")
        leaf(domain, "on_poweroff", "destroy")
        leaf(domain, "on_reboot", "restart")
        leaf(domain, "on_crash", "destroy")
        self._devices(leaf(domain, "devices"))
        if self.qemu_user:
            # libvirt would make QEMU's user the owner of shared images and kernels; a guest that breaks out of its
            # QEMU could then rewrite them for everybody.
            label = leaf(domain, "seclabel", type="static", model="dac", relabel="no")
            leaf(label, "label", self.qemu_user)
        self._overrides(domain)
        return domain

    def _boot(self, domain: ET.Element) -> None:
        os = leaf(domain, "os")
        leaf(os, "type", "hvm", arch="x86_64", machine="q35")
        if self.kernel is not None:
            leaf(os, "kernel", self.kernel.kernel)
            if self.kernel.initrd is not None:
                leaf(os, "initrd", self.kernel.initrd)
            leaf(os, "cmdline", self.kernel.cmdline)

    def _cpu(self, domain: ET.Element) -> None:
        if self.kvm:
            leaf(domain, "cpu", mode="host-passthrough", check="none")
        elif self.kernel is None:
            # QEMU's default model lacks what today's distributions are compiled for (x86-64-v2).
            leaf(domain, "cpu", mode="maximum", check="none")

    def _devices(self, devices: ET.Element) -> None:
        leaf(devices, "controller", type="usb", model="none")
        leaf(devices, "controller", type="pci", model="pcie-root")
        for _ in range(self.spare_ports + len(self.interfaces) + len(self.disks)):
            leaf(devices, "controller", type="pci", model="pcie-root-port")
        devices.extend(disk.element() for disk in self.disks)
        devices.extend(interface.element() for interface in self.interfaces)
        serial = leaf(devices, "serial", type="pty")
        leaf(serial, "log", file=self.serial_log, append="off")
        leaf(leaf(devices, "graphics", type="vnc"), "listen", type="socket")
        leaf(leaf(devices, "video"), "model", type="vga", vram="16384")
        leaf(leaf(devices, "rng", model="virtio"), "backend", "/dev/urandom", model="random")
        leaf(devices, "memballoon", model="virtio")

    def _overrides(self, domain: ET.Element) -> None:
        """Give UDP and user cards an MTU, for which libvirt 9 has no element of its own."""
        changed = [i for i in self.interfaces if i.plug in {Plug.UDP, Plug.USER} and i.mtu != 1500]
        if not changed:
            return
        override = leaf(domain, f"{{{QEMU_NAMESPACE}}}override")
        for interface in changed:
            device = leaf(override, f"{{{QEMU_NAMESPACE}}}device", alias=interface.alias)
            frontend = leaf(device, f"{{{QEMU_NAMESPACE}}}frontend")
            leaf(frontend, f"{{{QEMU_NAMESPACE}}}property", name="host_mtu", type="unsigned", value=str(interface.mtu))


def without_cpu_limit(text: str) -> str | None:
    """Remove the CPU limit from a domain's XML as libvirtd wrote it; None when there is none in it."""
    root = ET.fromstring(text)  # noqa: S314 - written by libvirtd
    tune = root.find("cputune")
    if tune is None:
        return None
    root.remove(tune)
    return to_text(root)
