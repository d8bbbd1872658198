"""Bodies and answers of ``cloud``: answers hold the original's names of fields and ours, bodies may use either.

Unknown fields are ignored, as they were: the drawing library sends its own.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from parcela.api.schemas.common import Written
from parcela.core.errors import Problem, invalid
from parcela.core.labels import MAX_LABEL, label_fault, tidy
from parcela.core.topology.sizes import Sums

EXAMPLE: dict[str, Any] = {
    "slice_name": "Two servers",
    "description": "",
    "topologia": {
        "nodes": [
            {"id": "vm-1", "label": "VM-001", "x": 100, "y": 100},
            {"id": "vm-2", "label": "VM-002", "x": 300, "y": 100},
        ],
        "edges": [{"id": "edge-vm-1-vm-2", "from": "vm-1", "to": "vm-2"}],
    },
    "recursos": {
        "vm-1": {
            "name": "VM-001",
            "cpu": 1,
            "ram": 0.125,
            "disk": 1,
            "image": "tiny",
            "flavour": "tiny",
            "internet": True,
        },
        "vm-2": {"name": "VM-002", "cpu": 1, "ram": 0.125, "disk": 1, "image": "tiny", "flavour": "tiny"},
    },
}
STORED: dict[str, Any] = {
    "topologia": EXAMPLE["topologia"],
    "recursos": {
        "vm-1": {"name": "VM-001", "vcpu": 1, "ram_gb": 0.125, "disk_gb": 1, "os": "tiny", "flavour": "tiny"},
        "vm-2": {"name": "VM-002", "vcpu": 1, "ram_gb": 0.125, "disk_gb": 1, "os": "tiny", "flavour": "tiny"},
    },
    "subred": {"public_access": ["vm-1"]},
}


def _name_fault(tidied: str) -> str:
    return label_fault(tidied) if tidied else f"A name has 1 to {MAX_LABEL} characters."


def tidy_name(text: str) -> str:
    """A name as it is stored."""
    tidied = tidy(text)
    fault = _name_fault(tidied)
    if fault:
        raise PydanticCustomError("bad_label", "{fault}", {"fault": fault})
    return tidied


Id = Annotated[int, Field(ge=1, le=2**63 - 1)]
SentName = Annotated[str, Field(max_length=1000)]
Name = Annotated[SentName, AfterValidator(tidy_name)]
Text = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$")]


class Input(Written):
    """Base of bodies."""

    model_config = ConfigDict(extra="ignore")


class TemplateBody(Input):
    """A template in the older document; what is wrong inside it is told by the place in the document.

    The document is ``json_template``, or stands in ``topologia``, ``recursos`` and ``subred``, or is bare ``nodes`` and
    ``edges``.
    """

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE})

    slice_name: Name | None = Field(default=None, description="Without: the name it has, or `plantilla`")
    nombre: Name | None = Field(default=None, description="The same")
    name: Name | None = Field(default=None, description="The same")
    description: Text | None = None
    descripcion: Text | None = Field(default=None, description="The same")
    json_template: Any = None
    topologia: Any = None
    recursos: Any = None
    subred: Any = None
    nodes: Any = None
    edges: Any = None

    @property
    def title(self) -> str | None:
        """The name, however it was spelt."""
        return self.slice_name or self.nombre or self.name

    @property
    def text(self) -> str | None:
        """The description, however it was spelt."""
        return self.descripcion if self.description is None else self.description

    @property
    def document(self) -> object:
        """The older document alone; None without one."""
        if self.json_template is not None:
            return self.json_template
        parts = {"recursos": self.recursos, "subred": self.subred}
        if self.topologia is None and self.nodes is not None:
            return {**parts, "nodes": self.nodes, "edges": self.edges}
        is_given = self.topologia is not None or any(value is not None for value in parts.values())
        return {**parts, "topologia": self.topologia} if is_given else None


class TemplateChange(TemplateBody):
    """What to change; the name that the template has may come back, also where this family would not have taken it."""

    slice_name: SentName | None = None
    nombre: SentName | None = None
    name: SentName | None = None

    def new_name(self, present: str) -> str | None:
        """The name it is to get, as it is stored; None for none, and for the one that it has.

        Raises:
            ParcelaError: kind ``invalid``, code ``request_invalid``.
        """
        sent = {"slice_name": self.slice_name, "nombre": self.nombre, "name": self.name}
        new = {key: tidy(text) for key, text in sent.items() if text is not None and text != present}
        faults = [
            Problem(f"body.{key}", fault, "bad_label") for key, text in new.items() if (fault := _name_fault(text))
        ]
        if faults:
            raise invalid("request_invalid", "The name is not allowed.", *faults)
        return next(iter(new.values()), None)


class Needs(BaseModel):
    """What the VMs of a template need together."""

    vm_count: int = Field(examples=[2])
    sum_vcpu: int = Field(examples=[2])
    sum_ram_gb: float = Field(examples=[0.25])
    sum_disk_gb: float = Field(examples=[2])

    @staticmethod
    def of(sums: Sums) -> dict[str, Any]:
        """The fields."""
        return {
            "vm_count": sums.vms,
            "sum_vcpu": sums.vcpus,
            "sum_ram_gb": sums.memory_mib / 1024,
            "sum_disk_gb": sums.disk_gib,
        }


class TemplateItem(Needs):
    """A template in a list."""

    template_id: int = Field(examples=[3])
    id: int = Field(examples=[3])
    name: str = Field(examples=["Two servers"])
    nombre: str = Field(examples=["Two servers"])
    description: str
    descripcion: str
    version: int = Field(examples=[1])
    propietario: str = Field(description="Username of the owner")
    created_at: datetime
    updated_last_at: datetime | None = Field(description="Null for one that was never changed")
    actualizado: datetime = Field(description="The same; when it was made, for one that was never changed")

    @classmethod
    def facts(cls, row: Mapping[str, Any], sums: Sums) -> dict[str, Any]:
        """The fields of a row."""
        return Needs.of(sums) | {
            "template_id": row["id"],
            "id": row["id"],
            "name": row["name"],
            "nombre": row["name"],
            "description": row["description"],
            "descripcion": row["description"],
            "version": row["version"],
            "propietario": row["owner"],
            "created_at": row["created_at"],
            "updated_last_at": None if row["updated_at"] == row["created_at"] else row["updated_at"],
            "actualizado": row["updated_at"],
        }


class TemplateRead(TemplateItem):
    """A template with its older document, once as `json_template` and once in its parts."""

    json_template: dict[str, Any] = Field(examples=[STORED])
    topologia: dict[str, Any] = Field(examples=[STORED["topologia"]])
    recursos: dict[str, Any] = Field(examples=[STORED["recursos"]])
    subred: dict[str, Any] = Field(examples=[STORED["subred"]])
    perdido: list[str] = Field(description="Places of the template that this document cannot hold")


class TemplateSaved(TemplateRead):
    """A template that was saved."""

    success: bool = True
    message: str = Field(examples=["The template is saved."])


class TemplateGone(BaseModel):
    """A template that was removed."""

    success: bool = True
    template_id: int
    id: int
    message: str = "The template is removed; slices that were made from it go on."


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
