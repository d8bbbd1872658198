"""Bodies and answers of ``cloud``. Unknown fields are ignored, as they were."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from parcela.api.schemas.common import Schema
from parcela.core.lifecycle import SliceState, VmState
from parcela.services.catalogue_rules import TEXT_PATTERN

Id = Annotated[int, Field(ge=1, le=2**63 - 1)]
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=TEXT_PATTERN)]
EXAMPLE: dict[str, Any] = {
    "nombre": "Two servers",
    "topologia": {
        "nodes": [
            {"id": "1", "label": "web", "x": 100, "y": 100},
            {"id": "2", "label": "db", "x": 300, "y": 100},
        ],
        "edges": [{"id": "e1", "from": "1", "to": "2"}],
    },
    "recursos": {
        "1": {"name": "web", "vcpu": 1, "ram_gb": 0.125, "disk_gb": 1, "os": "tiny", "flavour": None},
        "2": {"name": "db", "vcpu": None, "ram_gb": None, "disk_gb": None, "os": "tiny", "flavour": "tiny"},
    },
    "subred": {"public_access": ["1"]},
}


class Input(BaseModel):
    """Base of bodies."""

    model_config = ConfigDict(extra="ignore")


class TemplateBody(Input):
    """A template in the older document; what is wrong inside it is told by the place in the document."""

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE})

    nombre: Name | None = Field(default=None, description="Without: the name it has, or `plantilla`")
    descripcion: Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$")] | None = None
    topologia: dict[str, Any]
    recursos: dict[str, Any]
    subred: dict[str, Any] | None = None

    def document(self) -> dict[str, Any]:
        """The older document alone."""
        return {"topologia": self.topologia, "recursos": self.recursos, "subred": self.subred}


class TemplateRead(BaseModel):
    """A template with its older document."""

    id: int = Field(examples=[3])
    nombre: str = Field(examples=["Two servers"])
    descripcion: str
    version: int = Field(examples=[1])
    topologia: dict[str, Any] = Field(examples=[EXAMPLE["topologia"]])
    recursos: dict[str, Any] = Field(examples=[EXAMPLE["recursos"]])
    subred: dict[str, Any] = Field(examples=[EXAMPLE["subred"]])
    perdido: list[str] = Field(description="Places of the template that this document cannot hold")


class TemplateItem(BaseModel):
    """A template in a list."""

    id: int
    nombre: str
    descripcion: str
    version: int
    propietario: str = Field(description="Username of the owner")
    actualizado: datetime


class SliceOrder(Input):
    """Which template to copy."""

    model_config = ConfigDict(json_schema_extra={"example": {"template_id": 3, "name": "lab 1"}})

    template_id: Id
    name: Name | None = None


class Trigger(Input):
    """A slice that is to be built, or a template of which one is to be made and built."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"slice_id": 5},
            "anyOf": [{"required": ["slice_id"]}, {"required": ["template_id"]}],
        }
    )

    slice_id: Id | None = None
    template_id: Id | None = None
    name: Name | None = Field(default=None, description="Of the slice that is made of `template_id`")

    @model_validator(mode="after")
    def _one_of_both(self) -> "Trigger":
        if (self.slice_id is None) == (self.template_id is None):
            raise ValueError("give one of 'slice_id' and 'template_id'")
        return self


class Deployment(BaseModel):
    """Work that was begun; it goes on after this answer."""

    deployment_id: int = Field(description="Also `/api/v1/operations/{id}`", examples=[17])
    slice_id: int = Field(examples=[5])
    status: str = Field(examples=["queued"])


class SliceRead(Schema):
    """A slice."""

    id: int = Field(examples=[5])
    name: str
    status: SliceState = Field(validation_alias="state")
    template_id: int | None
    owner: str
    vm_count: int
    created_at: datetime
    expires_at: datetime | None
    error: str


class SliceVm(BaseModel):
    """A VM of a slice."""

    id: int
    name: str
    status: VmState
    vcpu: int
    ram_gb: float
    disk_gb: int
    os: str
    flavour: str | None
    host: str | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "SliceVm":
        """From a row of the list of VMs."""
        return cls(
            id=row["id"],
            name=row["name"],
            status=row["state"],
            vcpu=row["cores"],
            ram_gb=row["memory_mib"] / 1024,
            disk_gb=row["disk_gib"],
            os=row["os"],
            flavour=row["flavour"],
            host=row["host"],
        )


class SliceDetails(SliceRead):
    """A slice with its VMs."""

    vms: list[SliceVm]


class FlavourRead(BaseModel):
    """A named size."""

    id: int
    name: str = Field(examples=["nano"])
    vcpu: int = Field(examples=[1])
    ram_gb: float = Field(examples=[1])
    disk_gb: int = Field(examples=[2])


class Account(BaseModel):
    """Who somebody is."""

    id: int = Field(examples=[7])
    email: str = Field(examples=["ana@lab.example"])
    full_name: str = Field(examples=["Ana Quispe"])
    role: str = Field(examples=["client"])


class Entered(BaseModel):
    """The answer to a login or registration; the token is in the cookie only."""

    message: str
    user: Account | None


class Left(BaseModel):
    """The answer to a logout."""

    message: str
