"""Rows -> the frozen specs drivers take."""

from typing import Any
from uuid import UUID

from parcela.core.settings import Settings
from parcela.hypervisors.spec import GuestConfig, ImageFormat, ImageSpec, NicSpec, SegmentKind, SegmentSpec, VmSpec
from parcela.models import Image, Nic, OperationStep, Segment, VirtualMachine
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


async def vm_spec(uow: ReadUnitOfWork, vm: VirtualMachine) -> VmSpec:
    """Spec of a VM with its image, NICs and owner."""
    slice_uuid = (await uow.slices.get(vm.slice_id)).uuid if vm.slice_id is not None else None
    nics = await uow.segments.nics_of([vm.id])
    owner = await uow.users.get(vm.owner_id)
    return VmSpec(
        uuid=vm.uuid,
        name=vm.name,
        slice_uuid=slice_uuid,
        owner=owner.username,
        vcpus=vm.cores,
        memory_mib=vm.memory_mib,
        disk_gib=vm.disk_gib,
        image=image_spec(await uow.images.get(vm.image_id)),
        nics=tuple(_nic_spec(nic, segment, slice_uuid) for nic, segment in nics),
        guest=guest_config(vm),
    )


async def step_inputs(uow: ReadUnitOfWork, step: OperationStep, settings: Settings) -> StepInputs:
    """Everything a step needs."""
    if step.host_id is None:
        raise ValueError(f"step {step.key} has no host")
    host = await uow.hosts.get(step.host_id)
    provider, _ = await uow.hosts.provider_of(host.id)
    vm = await uow.vms.get(step.vm_id) if step.vm_id is not None else None
    segment = await uow.segments.get(step.segment_id) if step.segment_id is not None else None
    slice_uuid = None
    if segment is not None and segment.slice_id is not None:
        slice_uuid = (await uow.slices.get(segment.slice_id)).uuid
    skip_reason = ""
    if segment is not None and segment.kind == SegmentKind.NAT:
        users = await uow.segments.nat_users(segment.id, host.id, undone_by=step.operation_id)
        skip_reason = "other VMs on the host still use it" if users else ""
    return StepInputs(
        provider=provider,
        host_id=host.id,
        host_name=host.name,
        host_vcpus=host.vcpus,
        vm=await vm_spec(uow, vm) if vm is not None else None,
        segment=segment_spec(segment, slice_uuid) if segment is not None else None,
        image=image_spec(await uow.images.get(step.image_id)) if step.image_id is not None else None,
        boot_timeout_s=settings.boot_timeout_s,
        shutdown_timeout_s=settings.shutdown_timeout_s,
        skip_reason=skip_reason,
        args=step.args,
    )
