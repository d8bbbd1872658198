"""The size of a drawn VM: its flavour, overridden field by field."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from parcela.core.topology.catalogue import Catalogue, FlavourInfo
from parcela.core.topology.document import TemplateVm

SIZE_RANGES: Final = {"vcpus": (1, 128), "memory_mib": (64, 1_048_576), "disk_gib": (1, 16_384)}


@dataclass(frozen=True, slots=True)
class Size:
    """What a VM would get; None where neither the VM nor a known flavour says it.

    Attributes:
        vcpus: 1..128.
        memory_mib: 64..1048576 MiB.
        disk_gib: 1..16384 GiB.
    """

    vcpus: int | None
    memory_mib: int | None
    disk_gib: int | None


def size_of(vm: TemplateVm, catalogue: Catalogue) -> Size:
    """Work out the size of a VM, without judging it."""
    flavour = None if vm.flavour is None else catalogue.flavours.get(vm.flavour)
    if flavour is None:
        return Size(vm.vcpus, vm.memory_mib, vm.disk_gib)
    return Size(
        vcpus=flavour.vcpus if vm.vcpus is None else vm.vcpus,
        memory_mib=flavour.memory_mib if vm.memory_mib is None else vm.memory_mib,
        disk_gib=flavour.disk_gib if vm.disk_gib is None else vm.disk_gib,
    )


@dataclass(frozen=True, slots=True)
class Sums:
    """What all VMs of a template need together: how many they are, virtual processors, MiB of memory, GiB of disk."""

    vms: int
    vcpus: int
    memory_mib: int
    disk_gib: int


def sums_of(document: Mapping[str, Any], flavours: Mapping[str, FlavourInfo]) -> Sums:
    """Add up a stored document without reading the rest of it; a size that nobody says counts as 0."""
    totals = dict.fromkeys(SIZE_RANGES, 0)
    vms = document.get("vms") or ()
    for vm in vms:
        flavour = flavours.get(vm.get("flavour") or "")
        for field in SIZE_RANGES:
            own = vm.get(field)
            totals[field] += getattr(flavour, field, 0) if own is None else own
    return Sums(len(vms), **totals)
