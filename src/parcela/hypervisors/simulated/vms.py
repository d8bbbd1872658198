"""Making, changing and removing VMs and what they need."""

from uuid import UUID

from parcela.hypervisors.errors import FatalDriverError, NoSpaceError, RetryableDriverError, UnsupportedError
from parcela.hypervisors.simulated.calls import HostCalls, digest_fits
from parcela.hypervisors.simulated.machine import Effect, SimVm
from parcela.hypervisors.spec import Capability, ImageSpec, SegmentKind, SegmentSpec, VmSpec

_NEEDED = {SegmentKind.LAN: Capability.LAN_SEGMENTS, SegmentKind.NAT: Capability.NAT}


class SimulatedVms(HostCalls):
    """Images, segments, definitions and disks. See the contract in ``hypervisors.driver``."""

    async def ensure_image(self, image: ImageSpec) -> None:
        """See Driver."""
        if image.sha256 in self._host.images:
            self._host.images_used_at[image.sha256] = self._world.timing.clock()
            async with self._call("ensure_image", 0.0):
                return
        async with self._call("ensure_image", self._world.timing.delays.image_s):
            files = [(image.source_path, image.sha256)]
            files += [(image.kernel_path, image.kernel_sha256)] if image.kernel_path else []
            files += [(image.initrd_path, image.initrd_sha256)] if image.initrd_path else []
            for path, sha256 in files:
                if not await digest_fits(path, sha256):
                    raise FatalDriverError(f"the image file {path} does not have the digest {sha256}")
            if image.sha256 not in self._host.images:
                self._require_space("copy an image")
                self._host.images.add(image.sha256)
                self._host.images_used_at[image.sha256] = self._world.timing.clock()
                self._world.effects[Effect.IMAGE_COPIED, image.sha256] += 1

    async def ensure_segment(self, segment: SegmentSpec) -> None:
        """See Driver. Two segments of one tag would be one wire: RetryableDriverError until the other is gone."""
        async with self._call("ensure_segment", self._world.timing.delays.segment_s, segment.uuid):
            needed = _NEEDED.get(segment.kind)
            if needed is not None and needed not in self._host.size.capabilities:
                raise UnsupportedError(
                    f"host {self._host.name} has no {segment.kind} segments; point-to-point edges work"
                )
            for other in tuple(self._host.segments.values()):
                if other.installation == self._installation and _clash(other.spec, segment):
                    raise RetryableDriverError(f"tag {segment.tag} is still used by segment {other.spec.uuid}")
            self._host.put_segment(self._installation, segment)

    async def remove_segment(self, uuid: UUID) -> None:
        """See Driver."""
        async with self._call("remove_segment", self._world.timing.delays.segment_s, uuid):
            if (self._installation, uuid) not in self._host.segments:
                return
            plugged = self._host.plugged(self._installation, uuid)
            if plugged:
                raise RetryableDriverError(f"segment {uuid} is still used by VM {plugged[0].spec.name}")
            self._host.drop_segment(self._installation, uuid)

    async def create_vm(self, spec: VmSpec) -> None:
        """See Driver. First the overlay, then the definition; a kill between the two leaves ``defined=False``."""
        async with self._call("create_vm", self._world.timing.delays.create_s, spec.uuid, name=spec.name) as midpoint:
            vm = self._host.vms.get(spec.uuid)
            if vm is not None and vm.installation != self._installation:
                raise FatalDriverError(f"VM {spec.name} cannot be made: a stranger's domain has its UUID")
            if vm is not None and vm.defined and vm.files is not None:
                return
            self._check_parts(spec)
            if vm is None or vm.files is None:
                self._require_space(f"make VM {spec.name}")
            if vm is None:
                vm = SimVm(self._host.name, self._installation, spec)
                self._host.vms[spec.uuid] = vm
            if vm.files is None:
                self._host.make_overlay(vm)
            await midpoint()
            if self._host.vms.get(spec.uuid) is not vm:
                raise RetryableDriverError(f"VM {spec.name} was removed while it was being made")
            if not vm.defined:
                self._host.define(vm, spec)

    async def update_vm(self, spec: VmSpec) -> None:
        """See Driver."""
        async with self._call("update_vm", self._world.timing.delays.update_s, spec.uuid, name=spec.name):
            vm = self._switched_off(spec.uuid, "change")
            if spec.disk_gib < vm.spec.disk_gib:
                raise FatalDriverError(f"the disk of VM {spec.name} cannot shrink below {vm.spec.disk_gib} GiB")
            self._check_parts(spec)
            if spec != vm.spec:
                self._host.define(vm, spec)

    async def reset_disk(self, spec: VmSpec) -> None:
        """See Driver. The new overlay takes the old one's place in one step."""
        async with self._call("reset_disk", self._world.timing.delays.reset_s, spec.uuid, name=spec.name):
            vm = self._switched_off(spec.uuid, "reset the disk of")
            self._host.drop_overlay(vm)
            self._host.make_overlay(vm)

    async def remove_vm(self, uuid: UUID) -> None:
        """See Driver. First the domain, then the files; a kill between the two leaves ``defined=False``."""
        async with self._call("remove_vm", self._world.timing.delays.remove_s, uuid) as midpoint:
            vm = self._ours(uuid)
            if vm is None:
                return
            self._host.undefine(vm)
            await midpoint()
            if self._host.vms.get(uuid) is vm:
                self._host.forget(vm)

    def _require_space(self, doing: str) -> None:
        if self._host.is_full:
            raise NoSpaceError(doing, self._host.name)

    def _check_parts(self, spec: VmSpec) -> None:
        """FatalDriverError when the image or a segment is missing, or an end of an edge is taken by another VM."""
        if spec.image.sha256 not in self._host.images:
            raise FatalDriverError(f"VM {spec.name} cannot be made: its image is not on host {self._host.name}")
        for nic in spec.nics:
            segment = nic.segment
            if segment is None:
                continue
            if (self._installation, segment.uuid) not in self._host.segments:
                raise FatalDriverError(f"VM {spec.name} cannot be made: segment {segment.uuid} is not on this host")
            if segment.kind is SegmentKind.EDGE:
                self._check_end(spec, segment.uuid, nic.end)

    def _check_end(self, spec: VmSpec, segment: UUID, end: int) -> None:
        if end not in {0, 1}:
            raise FatalDriverError(f"VM {spec.name} cannot be made: an edge has the ends 0 and 1, not {end}")
        for vm in self._world.plugged(self._installation, segment):
            taken = any(n.segment and n.segment.uuid == segment and n.end == end for n in vm.spec.nics)
            if taken and vm.spec.uuid != spec.uuid:
                raise FatalDriverError(f"VM {spec.name} cannot be made: its end of an edge is VM {vm.spec.name}'s")


def _clash(one: SegmentSpec, other: SegmentSpec) -> bool:
    return one.tag == other.tag and one.uuid != other.uuid
