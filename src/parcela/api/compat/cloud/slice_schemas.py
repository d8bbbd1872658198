"""Bodies and answers about slices of ``cloud``; see ``schemas``."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from parcela.api.compat.cloud.schemas import Id, Input, tidy_name
from parcela.core.labels import MAX_LABEL, tidy
from parcela.core.lifecycle import SliceState, VmState

MAX_SLICE_NAME = 150
"""Characters that clients may send: the name of a template and fourteen digits."""
KEPT_END = 15


def _slice_words(text: str) -> str:
    """A name as it is stored; longer ones than we store lose their middle, because the end tells them apart."""
    tidied = tidy(text)
    if len(tidied) > MAX_LABEL:
        tidied = f"{tidied[: MAX_LABEL - KEPT_END - 1].rstrip()}…{tidied[-KEPT_END:]}"
    return tidy_name(tidied)


SliceName = Annotated[str, Field(max_length=MAX_SLICE_NAME), AfterValidator(_slice_words)]
Hint = Annotated[int | str, Field(union_mode="left_to_right")]


def capitals(state: str) -> str:
    """A state as the older pages colour it; what they call PENDING was never built."""
    return "PENDING" if state == SliceState.DRAFT else state.upper()


class SliceWish(Input):
    """What a new slice is to be."""

    name: SliceName | None = Field(default=None, description="Without: that of the template")
    az_hint: Hint | None = Field(default=None, description="Name or id of a zone, or `zone<id>`; unknown: no zone")
    zone_hint: Hint | None = Field(default=None, description="The same")

    @property
    def zone(self) -> str | None:
        """The hint, however it was spelt."""
        hint = self.zone_hint if self.az_hint is None else self.az_hint
        return None if hint is None else str(hint)


class SliceOrder(SliceWish):
    """Which template to copy."""

    model_config = ConfigDict(json_schema_extra={"example": {"template_id": 3, "name": "lab 1"}})

    template_id: Id


class Trigger(SliceWish):
    """A slice that is to be built, or a template of which one is to be made and built."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"slice_id": 5},
            "anyOf": [{"required": ["slice_id"]}, {"required": ["template_id"]}],
        }
    )

    slice_id: Id | None = None
    template_id: Id | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "Trigger":
        if (self.slice_id is None) == (self.template_id is None):
            raise ValueError("give one of 'slice_id' and 'template_id'")
        return self


class Work(BaseModel):
    """Work that was begun; it goes on after this answer."""

    success: bool = True
    deployment_id: int = Field(description="Also `/api/v1/operations/{id}`", examples=[17])
    slice_id: int = Field(examples=[5])
    status: str = Field(examples=["QUEUED"])
    message: str = Field(examples=["The slice is being built."])


class Deployment(Work):
    """A slice that is being built."""

    worker_job_id: int = Field(description="`deployment_id` again", examples=[17])
    details: dict[str, Any] = Field(examples=[{"name": "lab 1", "zone": "default", "vm_count": 2}])


class Released(BaseModel):
    """How many of each go back."""

    vlans: int = Field(examples=[1])
    vnc_ports: int = Field(examples=[0])


class Destruction(Work):
    """A slice that is being destroyed; the list does not show it any more."""

    note: str = Field(examples=["The slice is being removed from its hosts; this takes a moment."])
    deployment_response: dict[str, Any] = Field(examples=[{"operation_id": 17, "status": "QUEUED"}])
    resources_released: Released


class SliceRead(BaseModel):
    """A slice."""

    slice_id: int = Field(examples=[5])
    id: int = Field(examples=[5])
    name: str
    status: str = Field(description="In capitals; PENDING for one that was never built", examples=["RUNNING"])
    state: SliceState
    description: str | None = Field(description="That of the template, and the zone")
    template_id: int | None
    owner: str
    vm_count: int
    created_at: datetime
    expires_at: datetime | None
    error: str

    @classmethod
    def facts(cls, row: Mapping[str, Any], texts: Mapping[int, str]) -> dict[str, Any]:
        """The fields of a row; ``texts``: descriptions of templates by id."""
        names = ("id", "name", "state", "template_id", "owner", "vm_count", "created_at", "expires_at", "error")
        text = texts.get(row["template_id"] or 0, "")
        zone = f"Zone: {row['zone']}"
        return {name: row[name] for name in names} | {
            "slice_id": row["id"],
            "status": capitals(row["state"]),
            "description": f"{text} ({zone})" if text else zone,
        }


class SliceVm(BaseModel):
    """A VM of a slice."""

    vm_id: int
    id: int
    name: str = Field(description="`recursos[id].name` of the document, by which pages find it; else the label")
    label: str = Field(description="What it is called now")
    hostname: str
    status: str = Field(description="In capitals", examples=["RUNNING"])
    state: VmState
    worker_ip: str | None = Field(description="Name of the host; its address is nobody's business")
    host: str | None
    vcpu: int
    ram_gb: float
    disk_gb: int
    os: str
    flavour: str | None

    @classmethod
    def of(cls, row: Mapping[str, Any], names: Mapping[str, str]) -> "SliceVm":
        """From a row of the list of VMs; ``names``: what the document calls them, by host names in lower case."""
        label = row["label"] or row["name"]
        return cls(
            vm_id=row["id"],
            id=row["id"],
            name=names.get(row["name"].casefold(), label),
            label=label,
            hostname=row["name"],
            status=row["state"].upper(),
            state=row["state"],
            worker_ip=row["host"],
            host=row["host"],
            vcpu=row["cores"],
            ram_gb=row["memory_mib"] / 1024,
            disk_gb=row["disk_gib"],
            os=row["os"],
            flavour=row["flavour"],
        )


class Vlan(BaseModel):
    """A segment of a slice."""

    vlan_id: int
    vlan_number: int | None = Field(description="The tag that keeps it apart from all others")
    name: str


class VncPort(BaseModel):
    """A port of a host. There are none: screens are reached through the console page, with a ticket."""

    vm_id: int
    port_number: int


class SliceDetails(SliceRead):
    """A slice with its VMs."""

    vms: list[SliceVm]
    vlans: list[Vlan]
    vnc_ports: list[VncPort] = Field(description="Always empty")


class FlavourRead(BaseModel):
    """A named size."""

    flavour_id: int
    id: int
    name: str = Field(examples=["nano"])
    vcpu: int = Field(examples=[1])
    ram_gb: float = Field(examples=[1])
    disk_gb: int = Field(examples=[2])
