"""Hosts on the wire."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AliasPath, Field

from parcela.api.schemas.common import Body, Schema
from parcela.api.schemas.flavours import MAX_ROW_ID, Name, left_out
from parcela.core.lifecycle import HostState
from parcela.models import Host
from parcela.services.catalogue.rules import RANGES

_LIMITS = RANGES[Host]


def _between(field: str, description: str) -> Any:
    least, most = _LIMITS[field]
    return Field(ge=least, le=most, description=description)


HostVcpus = Annotated[int, _between("vcpus", "Logical processors the host gives to VMs")]
HostMemoryMib = Annotated[int, _between("memory_mib", "Memory in MiB the host gives to VMs")]
HostDiskGib = Annotated[int, _between("disk_gib", "Disk in GiB the host gives to VMs")]
Ratio = Annotated[float, _between("cpu_overcommit", "How often the capacity may be promised"), Field(strict=False)]


MachineId = Annotated[
    int | None, Field(ge=1, le=MAX_ROW_ID, description="The machine of the inventory that it is; null: none")
]


class HostCreate(Body):
    """A new host. What may be reserved is the capacity times its ratio, rounded down."""

    name: Annotated[Name, Field(examples=["rack1-node3"])]
    zone_id: int = Field(ge=1, le=MAX_ROW_ID, examples=[1])
    vcpus: Annotated[HostVcpus, Field(examples=[32])]
    memory_mib: Annotated[HostMemoryMib, Field(examples=[131072])]
    disk_gib: Annotated[HostDiskGib, Field(examples=[1800])]
    cpu_overcommit: Ratio = 8.0
    memory_overcommit: Ratio = 1.0
    disk_overcommit: Ratio = 4.0
    state: HostState = HostState.UP
    machine_id: MachineId = None


class HostUpdate(Body):
    """What to change of a host: its state, what it has, or the machine that it is."""

    state: HostState = left_out()
    vcpus: HostVcpus = left_out()
    memory_mib: HostMemoryMib = left_out()
    disk_gib: HostDiskGib = left_out()
    cpu_overcommit: Ratio = left_out()
    memory_overcommit: Ratio = left_out()
    disk_overcommit: Ratio = left_out()
    machine_id: MachineId = None


class HostRead(Schema):
    """A host; ``used_*`` is reserved for VMs and never more than the limit."""

    id: int = Field(examples=[1])
    name: str = Field(examples=["rack1-node3"])
    zone_id: int
    zone: str = Field(description="Name of the zone", examples=["lab-1"])
    provider: str = Field(examples=["libvirt"])
    state: HostState
    vcpus: int
    memory_mib: int
    disk_gib: int
    cpu_overcommit: float
    memory_overcommit: float
    disk_overcommit: float
    vcpus_limit: int
    memory_limit_mib: int
    disk_limit_gib: int
    used_vcpus: int
    used_memory_mib: int
    used_disk_gib: int
    disk_free_mib: int | None = Field(
        default=None,
        validation_alias=AliasPath("facts", "disk_free_mib"),
        description="Space in MiB that is really free where VM disks are, as last seen",
    )
    disk_shortage: str = Field(
        default="",
        validation_alias=AliasPath("facts", "disk_shortage"),
        description="Why it takes no new VM though it has room to give away: its disk is short of space; or empty",
    )
    facts: dict[str, Any] = Field(description="What the hypervisor said of itself")
    reachable: bool = Field(description="Whether the last liveness check reached it")
    last_seen_at: datetime | None
    last_error: str
    machine_id: int | None = Field(description="The machine of the inventory that it is")
    machine_code: str | None
    created_at: datetime
