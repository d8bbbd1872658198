"""Rows -> the frozen specs drivers take."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from parcela.core.settings import Settings
from parcela.hypervisors.spec import GuestConfig, ImageFormat, ImageSpec, NicSpec, SegmentKind, SegmentSpec, VmSpec
from parcela.models import Host, Image, Nic, OperationStep, Segment, VirtualMachine
from parcela.repositories.uow import ReadUnitOfWork
from parcela.services.operations.steps import StepInputs


def image_spec(image: Image) -> ImageSpec:
    """Spec of an image."""
    return ImageSpec(
        sha256=image.sha256,
        format=ImageFormat(image.format),
        source_path=image.path,
        virtual_size_bytes=image.virtual_size_bytes,
        kernel_path=image.kernel_path,
        kernel_sha256=image.kernel_sha256,
        initrd_path=image.initrd_path,
        initrd_sha256=image.initrd_sha256,
        cmdline=image.cmdline,
        ready_marker=image.ready_marker,
    )


def segment_spec(segment: Segment, slice_uuid: UUID | None) -> SegmentSpec:
    """Spec of a segment; one that is removed has no tag any more and needs none."""
    return SegmentSpec(
        uuid=segment.uuid,
        slice_uuid=slice_uuid,
        kind=SegmentKind(segment.kind),
        tag=segment.tag or 0,
        mtu=segment.mtu,
    )


def _nic_spec(nic: Nic, segment: Segment | None, slice_uuid: UUID | None) -> NicSpec:
    spec = None
    if segment is not None:
        spec = segment_spec(segment, None if segment.kind == SegmentKind.NAT else slice_uuid)
    return NicSpec(
        mac=nic.mac,
        segment=spec,
        end=nic.end,
        address=nic.address,
        dhcp=nic.is_public,
        mtu=segment.mtu if segment is not None else 1500,
    )


def guest_config(vm: VirtualMachine) -> GuestConfig:
    """Boot-time configuration of a VM."""
    guest: dict[str, Any] = vm.guest
    return GuestConfig(
        hostname=vm.name.lower(),
        ssh_keys=tuple(guest.get("ssh_keys", ())),
        user_data=vm.user_data,
        gateway=guest.get("gateway"),
        routes=tuple((to, via) for to, via in guest.get("routes", ())),
        dns=tuple(guest.get("dns", ())),
        forward=bool(guest.get("forward", False)),
    )


@dataclass(frozen=True, slots=True)
class _Things:
    """Rows that the inputs of some steps are made of, each loaded once, by id."""

    hosts: dict[int, tuple[Host, str]]
    vms: dict[int, VirtualMachine]
    segments: dict[int, Segment]
    images: dict[int, Image]
    slice_uuids: dict[int, UUID]
    owner_names: dict[int, str]
    nics: dict[int, list[tuple[Nic, Segment | None]]]

    @classmethod
    async def of(cls, uow: ReadUnitOfWork, steps: Sequence[OperationStep]) -> "_Things":
        """Load them: as many questions for one step as for fifty."""
        vms = await uow.vms.get_many({step.vm_id for step in steps if step.vm_id is not None})
        segments = await uow.segments.get_many({step.segment_id for step in steps if step.segment_id is not None})
        asked_for = {step.image_id for step in steps if step.image_id is not None}
        owned = [vm.slice_id for vm in vms.values()] + [segment.slice_id for segment in segments.values()]
        slices = await uow.slices.get_many({slice_id for slice_id in owned if slice_id is not None})
        owners = await uow.users.get_many({vm.owner_id for vm in vms.values()})
        nics: dict[int, list[tuple[Nic, Segment | None]]] = {vm_id: [] for vm_id in vms}
        for nic, segment in await uow.segments.nics_of(list(vms)) if vms else []:
            nics[nic.vm_id].append((nic, segment))
        return cls(
            hosts=await uow.hosts.providers_of({_host_id(step) for step in steps}),
            vms=vms,
            segments=segments,
            images=await uow.images.get_many({vm.image_id for vm in vms.values()} | asked_for),
            slice_uuids={row.id: row.uuid for row in slices.values()},
            owner_names={owner.id: owner.username for owner in owners.values()},
            nics=nics,
        )

    def vm_spec(self, vm_id: int) -> VmSpec:
        """Spec of a VM with its image, NICs and owner."""
        vm = self.vms[vm_id]
        slice_uuid = None if vm.slice_id is None else self.slice_uuids[vm.slice_id]
        return VmSpec(
            uuid=vm.uuid,
            name=vm.name,
            slice_uuid=slice_uuid,
            owner=self.owner_names[vm.owner_id],
            vcpus=vm.cores,
            memory_mib=vm.memory_mib,
            disk_gib=vm.disk_gib,
            image=image_spec(self.images[vm.image_id]),
            nics=tuple(_nic_spec(nic, segment, slice_uuid) for nic, segment in self.nics[vm_id]),
            guest=guest_config(vm),
        )

    def segment_spec(self, segment_id: int) -> SegmentSpec:
        """Spec of a segment with its slice."""
        segment = self.segments[segment_id]
        return segment_spec(segment, None if segment.slice_id is None else self.slice_uuids[segment.slice_id])


def _host_id(step: OperationStep) -> int:
    if step.host_id is None:
        raise ValueError(f"step {step.key} has no host")
    return step.host_id


async def step_inputs(uow: ReadUnitOfWork, steps: Sequence[OperationStep], settings: Settings) -> dict[int, StepInputs]:
    """Everything that steps of one operation need, by the id of the step."""
    if not steps:
        return {}
    things = await _Things.of(uow, steps)
    inputs = {}
    for step in steps:
        host, provider = things.hosts[_host_id(step)]
        inputs[step.id] = StepInputs(
            provider=provider,
            host_id=host.id,
            host_name=host.name,
            host_vcpus=host.vcpus,
            vm=None if step.vm_id is None else things.vm_spec(step.vm_id),
            segment=None if step.segment_id is None else things.segment_spec(step.segment_id),
            image=None if step.image_id is None else image_spec(things.images[step.image_id]),
            boot_timeout_s=settings.boot_timeout_s,
            shutdown_timeout_s=settings.shutdown_timeout_s,
            skip_reason=await _skip_reason(uow, step, things, host.id),
            args=step.args,
        )
    return inputs


async def _skip_reason(uow: ReadUnitOfWork, step: OperationStep, things: _Things, host_id: int) -> str:
    """Why a NAT segment is left where it is."""
    if step.segment_id is None or things.segments[step.segment_id].kind != SegmentKind.NAT:
        return ""
    users = await uow.segments.nat_users(step.segment_id, host_id, undone_by=step.operation_id)
    return "other VMs on the host still use it" if users else ""
