"""Making, changing and removing VMs."""

from uuid import UUID

import libvirt

from parcela.hypervisors.errors import FatalDriverError
from parcela.hypervisors.libvirt.context import HostContext, find_domain, look_up, require_domain
from parcela.hypervisors.libvirt.cpulimits import cpu_limits_work
from parcela.hypervisors.libvirt.failures import is_code
from parcela.hypervisors.libvirt.names import bridge_name, domain_name, nat_bridge_name, tap_name
from parcela.hypervisors.libvirt.power import OFF, current_power, pull_plug
from parcela.hypervisors.libvirt.qemuuser import QemuUser
from parcela.hypervisors.libvirt.xml.disk import Disk
from parcela.hypervisors.libvirt.xml.domain import DirectKernel, Domain
from parcela.hypervisors.libvirt.xml.interface import Interface, Plug
from parcela.hypervisors.libvirt.xml.metadata import Metadata, to_text
from parcela.hypervisors.spec import Acceleration, ImageFormat, NicSpec, SegmentKind, SegmentSpec, VmSpec

# Below the range from which the kernel takes ports for outgoing connections (32768).
UDP_FIRST_PORT = 20_000
UDP_PORTS = 12_768


def udp_ports(segment: SegmentSpec, end: int) -> tuple[int, int]:
    """(local, remote) UDP ports of one end of an edge; tags 6384 apart collide."""
    base = UDP_FIRST_PORT + 2 * segment.tag % UDP_PORTS
    return base + end, base + 1 - end


def make_interface(host: HostContext, vm_uuid: UUID, index: int, nic: NicSpec) -> Interface:
    """How a NIC is plugged in on this host."""
    tap = "" if host.is_session else tap_name(vm_uuid, index)
    alias = f"ua-nic{index}"
    segment = nic.segment
    if segment is None:
        plug = Plug.USER if host.is_session else Plug.ETHERNET
        return Interface(nic.mac, plug, tap=tap, mtu=nic.mtu, link_up=False, alias=alias)
    if host.is_session:
        if segment.kind is SegmentKind.NAT:
            return Interface(nic.mac, Plug.USER, mtu=nic.mtu, alias=alias)
        return Interface(nic.mac, Plug.UDP, mtu=nic.mtu, ports=udp_ports(segment, nic.end), alias=alias)
    is_nat = segment.kind is SegmentKind.NAT
    bridge = nat_bridge_name(host.installation) if is_nat else bridge_name(host.installation, segment.uuid)
    return Interface(nic.mac, Plug.ETHERNET, bridge, tap=tap, mtu=nic.mtu, isolated=is_nat, alias=alias)


def make_disks(host: HostContext, spec: VmSpec) -> tuple[Disk, ...]:
    """Overlay, seed, and for an ISO the CD it boots from until the disk has something to boot."""
    layout = host.layout
    overlay, seed = str(layout.disk(spec.uuid)), str(layout.seed(spec.uuid))
    direct = spec.image.kernel_path is not None
    seed_disk = Disk(seed, "raw", "vdb", read_only=True)
    if spec.image.format is ImageFormat.ISO:
        cd = Disk(str(layout.image(spec.image)), "raw", "sda", read_only=True, cdrom=True, boot_order=2)
        return Disk(overlay, "qcow2", "vda", boot_order=1), seed_disk, cd
    base = str(layout.image(spec.image))
    boot_order = None if direct else 1
    disk = Disk(overlay, "qcow2", "vda", boot_order=boot_order, base_path=base, base_format=spec.image.format.value)
    return disk, seed_disk


class VmActions:
    """The methods of the driver that make, change and remove VMs."""

    _host: HostContext

    async def create_vm(self, spec: VmSpec) -> None:
        """See ``Driver.create_vm``."""
        host = self._host

        def exists(connection: libvirt.virConnect) -> bool:
            domain, is_ours = look_up(connection, host.installation, spec.uuid)
            if domain is not None and not is_ours:
                raise FatalDriverError(f"a domain with the id {spec.uuid} exists on this host and is not ours")
            return is_ours

        async with host.alone(spec.uuid):
            defined = await host.calls.run(f"make VM {spec.name}", exists)
            host.known.add(spec.uuid)
            complete = defined and host.layout.disk(spec.uuid).exists()
            if not complete:
                await self._require_way(spec)
            await host.store.make_folder(spec)
            if complete:
                return
            host.store.require_image(spec)
            user = await host.find_qemu_user()
            await host.store.ensure_disk(spec, user)
            await host.store.write_seed(spec, user)
            if not defined:
                await self._define(spec)

    async def update_vm(self, spec: VmSpec) -> None:
        """See ``Driver.update_vm``."""
        host = self._host
        async with host.alone(spec.uuid):
            await self._require_off(spec, "change")
            host.store.require_image(spec)
            await host.store.grow_disk(spec)
            await host.store.make_folder(spec)
            await host.store.write_seed(spec, await host.find_qemu_user())
            await self._define(spec)

    async def reset_disk(self, spec: VmSpec) -> None:
        """See ``Driver.reset_disk``."""
        host = self._host
        async with host.alone(spec.uuid):
            await self._require_off(spec, "reset the disk of")
            host.store.require_image(spec)
            user = await host.find_qemu_user()
            await host.store.replace_disk(spec, user)
            await host.store.write_seed(spec, user)

    async def remove_vm(self, uuid: UUID) -> None:
        """See ``Driver.remove_vm``."""
        host = self._host

        def work(connection: libvirt.virConnect) -> None:
            domain = find_domain(connection, host.installation, uuid)
            if domain is None:
                return
            if domain.isActive():
                pull_plug(domain)
            undefine(domain)

        async with host.alone(uuid):
            await host.calls.run(f"remove VM {uuid}", work)
            owner = await host.store.run(f"remove VM {uuid}", lambda: host.layout.owner(uuid))
            is_ours = owner is not None and owner.installation == host.installation
            taps = [tap_name(uuid, index) for index in range(owner.nics)] if is_ours and owner is not None else []
            if not host.is_session:
                await host.store.run(f"remove the taps of VM {uuid}", lambda: host.taps.remove(uuid, taps))
            if is_ours:
                await host.store.remove(uuid)

    async def _require_way(self, spec: VmSpec) -> None:
        """Refuse what could never start: libvirt would only say so at the start, after all the work."""
        if await self._host.closed_folder() is not None:
            raise FatalDriverError(
                f"could not make VM {spec.name}: on host {self._host.name} QEMU's user may not enter the folder of the "
                f"disks; an administrator finds the reason with 'parcela doctor'"
            )

    async def _require_off(self, spec: VmSpec, verb: str) -> None:
        host = self._host

        def work(connection: libvirt.virConnect) -> None:
            if current_power(require_domain(connection, host.installation, spec.uuid)) not in OFF:
                raise FatalDriverError(f"could not {verb} VM {spec.name}: it is not switched off")

        await host.calls.run(f"{verb} VM {spec.name}", work)

    async def _define(self, spec: VmSpec) -> None:
        host = self._host
        verdict = await host.accelerator.decide()
        user = await host.find_qemu_user()

        def work(connection: libvirt.virConnect) -> None:
            domain = find_domain(connection, host.installation, spec.uuid)
            # libvirt takes another name for the same UUID for a clash, so a renamed VM keeps its first one.
            name = domain_name(spec.name, spec.uuid) if domain is None else domain.name()
            connection.defineXML(to_text(self._domain(spec, name, verdict.acceleration, user).element()))

        await host.calls.run(f"define VM {spec.name}", work)

    def _domain(self, spec: VmSpec, name: str, acceleration: Acceleration, user: QemuUser | None) -> Domain:
        host = self._host
        kernel = None
        if spec.image.kernel_path is not None:
            initrd = None if spec.image.initrd_path is None else str(host.layout.initrd(spec.image))
            kernel = DirectKernel(str(host.layout.kernel(spec.image)), initrd, spec.image.cmdline)
        interfaces = tuple(make_interface(host, spec.uuid, i, nic) for i, nic in enumerate(spec.nics))
        plugged = tuple(port for interface in interfaces if (port := interface.plugged()) is not None)
        return Domain(
            name=name,
            uuid=spec.uuid,
            metadata=Metadata(host.installation, spec.slice_uuid, spec.name, spec.owner, plugged),
            kvm=acceleration is Acceleration.KVM,
            vcpus=spec.vcpus,
            memory_mib=spec.memory_mib,
            limit_cpu=cpu_limits_work(host),
            kernel=kernel,
            disks=make_disks(host, spec),
            interfaces=interfaces,
            qemu_user="" if user is None else user.label,
            serial_log=str(host.layout.serial_log(spec.uuid)),
        )


def undefine(domain: libvirt.virDomain) -> None:
    """Undefine with everything libvirt keeps of a domain; fine when it is gone."""
    flags = (
        libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
        | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
        | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
        | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
    )
    try:
        domain.undefineFlags(flags)
    except libvirt.libvirtError as error:
        if not is_code(error, libvirt.VIR_ERR_NO_DOMAIN):
            raise
