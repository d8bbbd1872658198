"""Templates on the wire."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import Field

from parcela.api.schemas.common import AllowedActions, Body, Schema
from parcela.api.schemas.flavours import Description
from parcela.api.schemas.images import Visibility
from parcela.core.topology.document import TopologyDocument, dump_document
from parcela.core.topology.sample import one_vm_topology
from parcela.services.catalogue.rules import TEXT_PATTERN
from parcela.services.compute.template_drafts import TemplateDraft

TemplateName = Annotated[str, Field(min_length=1, max_length=100, pattern=TEXT_PATTERN)]
TemplateFormat = Annotated[
    Literal["native", "cloud"],
    Query(description="`native`: name, description and document; `cloud`: the older topologia/recursos/subred"),
]
EXAMPLE_DOCUMENT = dump_document(one_vm_topology())
# Any JSON: the document has its own reader, which counts before it looks and reports every problem with its place.
Document = Annotated[
    Any,
    Field(
        description="A topology: `vms`, `networks` and `edges`",
        examples=[EXAMPLE_DOCUMENT],
        json_schema_extra={"type": "object"},
    ),
]


GONE_TEXT = "Images and flavours of it that were removed: it cannot be launched until it is saved with others"


class TemplateCreate(Body):
    """A template to be saved."""

    name: Annotated[TemplateName, Field(examples=["Two routers"])]
    description: Description = ""
    visibility: Visibility = "private"
    document: Document
    project_id: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = Field(
        default=None, description="Project whose members see it; 0 for none; left out, it stays where it is"
    )

    def to_draft(self) -> TemplateDraft:
        """As the service takes it."""
        return TemplateDraft(self.name, self.document, self.description, self.visibility, self.project_id)


class TemplateUpdate(TemplateCreate):
    """A template that replaces the saved one; a changed document makes a new version."""


class TemplateProblem(Schema):
    """One thing that is wrong with a document."""

    where: str = Field(examples=["vms[0].flavour"])
    what: str
    code: str = Field(examples=["unknown_flavour"])


class TemplateItem(Schema):
    """A template in a list."""

    id: int = Field(examples=[7])
    name: str = Field(examples=["Two routers"])
    description: str
    owner_id: int
    owner: str = Field(description="Username of the owner", examples=["maria"])
    project_id: int | None
    project: str | None = Field(description="Name of the project whose members see it")
    visibility: Visibility
    version: int = Field(description="Newest version", examples=[1])
    created_at: datetime
    updated_at: datetime


class TemplateRead(TemplateItem):
    """A template with its newest document."""

    document: TopologyDocument
    gone: list[TemplateProblem] = Field(default=[], description=GONE_TEXT)
    allowed_actions: AllowedActions


class TemplateVersionItem(Schema):
    """A version in a list."""

    template_id: int
    version: int
    created_by: int | None = Field(description="User who saved it; null when they are gone")
    created_at: datetime


class TemplateVersionRead(TemplateVersionItem):
    """A version with its document."""

    document: TopologyDocument
    gone: list[TemplateProblem] = Field(default=[], description=GONE_TEXT)


class TemplateCheck(Body):
    """A document to be checked."""

    document: Document


class TemplateVerdict(Schema):
    """Whether a document can be saved and launched."""

    valid: bool
    problems: list[TemplateProblem]
