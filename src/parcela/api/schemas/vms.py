"""Shapes of virtual machines."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field

from parcela.api.schemas.common import AllowedActions, Body, Schema
from parcela.core.labels import LABEL_PATTERN, MAX_LABEL
from parcela.core.lifecycle import CrashPolicy, DesiredState, VmState
from parcela.core.power import PowerReason
from parcela.core.topology.document import MAX_USER_DATA_BYTES
from parcela.services.catalogue.rules import TEXT_PATTERN
from parcela.services.compute.consoles.consoles import ConsoleKind

Cores = Annotated[int, Field(ge=1, le=128, description="Virtual processors", examples=[1])]
Ram = Annotated[int, Field(ge=64, le=1_048_576, description="Memory in MiB", examples=[128])]
Disk = Annotated[int, Field(ge=1, le=16_384, description="Disk in GiB", examples=[1])]
VmName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=63,
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$",
        description="A host name: letters, digits and inner hyphens",
        examples=["web"],
    ),
]
Label = Annotated[
    str,
    Field(
        max_length=MAX_LABEL,
        json_schema_extra={"pattern": LABEL_PATTERN},
        description="What you call it: any printable characters but `<` and `>`; empty shows the name",
        examples=["Servidor web (2)"],
    ),
]


SshKey = Annotated[str, Field(max_length=8192, pattern=TEXT_PATTERN)]


def _short_enough(text: str) -> str:
    if len(text.encode()) > MAX_USER_DATA_BYTES:
        raise ValueError(f"user_data has at most {MAX_USER_DATA_BYTES} bytes of UTF-8")
    return text


UserData = Annotated[str, Field(max_length=MAX_USER_DATA_BYTES, pattern=TEXT_PATTERN), AfterValidator(_short_enough)]


class VmCreate(Body):
    """A stand-alone VM to be made; without a name it gets one made of the label."""

    name: VmName | None = None
    label: Label = ""
    os: Annotated[
        str,
        Field(min_length=1, max_length=100, pattern=TEXT_PATTERN, description="Name of the image", examples=["tiny"]),
    ]
    flavour: Annotated[str, Field(max_length=64, pattern=TEXT_PATTERN)] | None = Field(
        default=None, description="Named size; needed unless cores, ram and disk are all given", examples=["tiny"]
    )
    cores: Cores | None = None
    ram: Ram | None = None
    disk: Disk | None = None
    public_access: bool = Field(default=True, description="A network card with DHCP and NAT to the outside")
    ssh_keys: Annotated[list[SshKey], Field(max_length=32)] = Field(default_factory=list)
    user_data: UserData | None = Field(
        default=None, description="A script (`#!`) or a `#cloud-config` document for the first boot, 64 KiB at most"
    )
    zone: Annotated[str, Field(max_length=64, pattern=TEXT_PATTERN)] | None = None
    project_id: Annotated[int, Field(ge=1, le=2**63 - 1)] | None = Field(
        default=None, description="Project it is made in, and counted by"
    )
    crash_policy: CrashPolicy = CrashPolicy.ERROR


class VmUpdate(Body):
    """What to change; what is left out stays. Name and sizes need the VM to be stopped, the label does not."""

    name: VmName | None = None
    label: Label | None = None
    cores: Cores | None = None
    ram: Ram | None = None
    disk: Disk | None = Field(default=None, description="GiB; can only grow")
    crash_policy: CrashPolicy | None = None
    os: Annotated[str, Field(max_length=100, pattern=TEXT_PATTERN)] | None = Field(
        default=None, description="Only what it is already"
    )
    owner_id: Annotated[int, Field(ge=1, le=2**63 - 1)] | None = Field(
        default=None, description="Only who it is already"
    )
    status: VmState | None = Field(
        default=None, description="What it is already, or `running` or `stopped`: starts or stops it"
    )


class VmRead(Schema):
    """A virtual machine."""

    id: int = Field(examples=[12])
    uuid: UUID
    name: str = Field(description="Its host name", examples=["servidor-web-2"])
    label: str = Field(description="What its owner calls it; empty: as the name", examples=["Servidor web (2)"])
    status: VmState = Field(validation_alias="state", description="What it was last seen doing")
    desired: DesiredState = Field(description="What its owner wants")
    cores: int
    ram: int = Field(validation_alias="memory_mib", description="MiB")
    disk: int = Field(validation_alias="disk_gib", description="GiB")
    os: str
    flavour: str | None
    owner_id: int
    owner: str
    project_id: int | None
    slice_id: int | None
    slice: str | None
    host: str | None
    error: str
    status_reason: str = Field(
        description="Why it is paused or off, where the hypervisor tells: "
        + ", ".join(f"`{reason}`" for reason in PowerReason)
        + "; or empty",
        examples=["no_space"],
    )
    crash_policy: CrashPolicy
    operation_id: int | None = Field(description="The operation that works on it now")
    ready_at: datetime | None = Field(description="When the guest said that it is ready")
    created_at: datetime
    updated_at: datetime


class VmDetail(VmRead):
    """A virtual machine, with what you may do with it."""

    allowed_actions: AllowedActions


class NicRead(Schema):
    """A network card."""

    position: int = Field(description="0 is the guest's eth0")
    mac: str
    segment: str | None
    kind: str | None = Field(description="edge, lan or nat")
    address: str | None = Field(description="Address the template gives it")
    leased_address: str | None = Field(description="Address it got by DHCP")
    is_public: bool


class ConsoleRequest(Body):
    """Which console."""

    kind: ConsoleKind = ConsoleKind.SERIAL


class ConsoleTicketRead(Schema):
    """A ticket for one opening."""

    ticket: str = Field(description="Good for one opening within 30 seconds")
    url: str = Field(description="WebSocket to open with it", examples=["/api/v1/virtual-machines/3/console/serial"])
    expires_at: datetime
