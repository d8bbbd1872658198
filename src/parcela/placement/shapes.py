"""Requests that are equal but for their keys are placed together: a lab has many VMs, but a handful of sizes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from parcela.placement.types import VmRequest


@dataclass(frozen=True, slots=True)
class Shape:
    """Equal requests.

    Attributes:
        vcpus: of each.
        memory_mib: of each.
        disk_gib: of each.
        needs: bits of the capabilities, as numbered by ``group``.
        keys: ascending.
    """

    vcpus: int
    memory_mib: int
    disk_gib: int
    needs: int
    keys: tuple[int, ...]

    def copies(self, vcpus: int, memory_mib: int, disk_gib: int) -> int:
        """How many of them fit into that much room."""
        most = len(self.keys)
        if self.vcpus:
            most = min(most, vcpus // self.vcpus)
        if self.memory_mib:
            most = min(most, memory_mib // self.memory_mib)
        if self.disk_gib:
            most = min(most, disk_gib // self.disk_gib)
        return most


def group(requests: Sequence[VmRequest], bits: Mapping[str, int]) -> list[Shape]:
    """The shapes of the requests, smallest first; ``bits`` numbers the capabilities."""
    groups: dict[tuple[int, int, int, int], list[int]] = {}
    for request in requests:
        needs = sum(bits[name] for name in request.needs)
        groups.setdefault((request.vcpus, request.memory_mib, request.disk_gib, needs), []).append(request.key)
    return [Shape(*size, tuple(sorted(keys))) for size, keys in sorted(groups.items())]
