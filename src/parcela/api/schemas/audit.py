"""Shapes of the audit trail."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from parcela.api.schemas.common import Schema
from parcela.models import AuditOutcome


class AuditRead(Schema):
    """One action."""

    id: int = Field(examples=[17])
    at: datetime
    action: str = Field(examples=["flavour.updated"])
    outcome: AuditOutcome
    actor_id: int | None = Field(description="Null for Parcela itself, and for people who are not logged in")
    actor_name: str = Field(examples=["ana"])
    actor_role: str = Field(examples=["admin"])
    token_id: int | None
    noun: str = Field(examples=["flavour"])
    noun_id: str = Field(examples=["5"])
    noun_name: str = Field(examples=["small"])
    address: str = Field(examples=["192.0.2.7"])
    user_agent: str
    request_id: str
    facts: dict[str, Any] = Field(examples=[{"changed": ["flavours.vcpus"]}])


class RefusalRead(Schema):
    """How often one thing was refused within an hour."""

    id: int
    hour: datetime = Field(description="Its beginning")
    actor_id: int = Field(description="The user; 0 for everybody who was not logged in")
    actor_name: str | None
    action: str = Field(examples=["auth.refused"], description="`others` for what came after the first kinds")
    reason: str = Field(examples=["login"])
    origin: str = Field(examples=["192.0.2.0/24"], description="Range of addresses of people who are not logged in")
    noun_id: str = Field(description="The account of a failed login, when there is one")
    count: int
    last_at: datetime


class AuditFormat(StrEnum):
    """Format of an export."""

    NDJSON = "ndjson"
    CSV = "csv"
