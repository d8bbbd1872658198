"""Shapes of webhooks."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from parcela.api.schemas.common import Body, Printable, Schema
from parcela.api.schemas.flavours import left_out
from parcela.models import DeliveryState
from parcela.services.webhooks.http_client import MAX_URL_CHARS

WebhookName = Annotated[str, Field(min_length=1, max_length=100), Printable]
Url = Annotated[str, Field(min_length=8, max_length=MAX_URL_CHARS, pattern=r"^[!-~]+$")]
EventType = Annotated[str, Field(max_length=64, pattern=r"^(\*|[a-z_]+\.(\*|[a-z_]+))$")]
EventTypes = Annotated[
    list[EventType], Field(max_length=50, description="`vm.state`, or all of a noun: `vm.*`. Empty: everything")
]


class WebhookCreate(Body):
    """A new webhook."""

    name: Annotated[WebhookName, Field(examples=["grading"])]
    url: Annotated[Url, Field(examples=["https://grader.example/parcela"])]
    event_types: Annotated[EventTypes, Field(default_factory=list, examples=[["slice.*", "vm.state"]])]


class WebhookUpdate(Body):
    """What to change of a webhook."""

    name: WebhookName = left_out()
    url: Url = left_out()
    event_types: EventTypes = left_out()
    is_active: bool = left_out()


class WebhookRead(Schema):
    """A webhook."""

    id: int = Field(examples=[3])
    owner_id: int
    name: str = Field(examples=["grading"])
    url: str = Field(examples=["https://grader.example/parcela"])
    event_types: list[str]
    is_active: bool
    disabled_reason: str = Field(description="Why Parcela switched it off; empty when it did not")
    failing_since: datetime | None = Field(description="The first failure since the last delivery that worked")
    created_at: datetime
    updated_at: datetime


class WebhookSecretRead(WebhookRead):
    """A webhook with its secret, which is told this once."""

    secret: str = Field(examples=["whsec_..."])


class DeliveryRead(Schema):
    """What became of an event."""

    id: int
    event_id: int = Field(description="Number of the event, as in the streams")
    event_type: str = Field(examples=["vm.state"])
    state: DeliveryState
    attempts: int
    response_status: int | None
    error: str
    duration_ms: int | None
    next_attempt_at: datetime | None
    last_attempt_at: datetime | None
    created_at: datetime
