"""The audit trail: who did what to what, when, from where; and counts of what was refused again and again.

Entries are only ever added. Triggers refuse to change one, and to remove one that is younger than a year (ADR 0034).
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from parcela.models.base import Base, Id, one_of, pk


class AuditOutcome(StrEnum):
    """How it ended."""

    OK = "ok"
    REFUSED = "refused"


class AuditEntry(Base):
    """One action. Names are copies and there are no foreign keys: an entry outlives all it speaks of."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        one_of("outcome", AuditOutcome),
        Index("ix_audit_entries_at", "at"),
        Index("ix_audit_entries_actor_id", "actor_id"),
        Index("ix_audit_entries_noun_noun_id", "noun", "noun_id"),
        Index("ix_audit_entries_action", "action"),
        Index("ix_audit_entries_address", "address"),
    )

    id: Mapped[int] = pk()
    at: Mapped[datetime]
    action: Mapped[str] = mapped_column(String(160))
    outcome: Mapped[str] = mapped_column(String(16))
    actor_id: Mapped[int | None] = mapped_column(Id)
    actor_name: Mapped[str] = mapped_column(String(64))
    actor_role: Mapped[str] = mapped_column(String(64))
    token_id: Mapped[int | None] = mapped_column(Id)
    noun: Mapped[str] = mapped_column(String(32))
    noun_id: Mapped[str] = mapped_column(String(64))
    noun_name: Mapped[str] = mapped_column(String(255))
    address: Mapped[str] = mapped_column(String(64))
    user_agent: Mapped[str] = mapped_column(String(255))
    request_id: Mapped[str] = mapped_column(String(64))
    facts: Mapped[dict[str, Any]]


class AuditRefusal(Base):
    """How often one thing was refused within an hour to one user, or to strangers of one range of addresses.

    ``actor_id`` is 0 for strangers: NULL would not be unique. ``noun_id`` is the account of a failed login, or "".
    """

    __tablename__ = "audit_refusals"
    __table_args__ = (
        UniqueConstraint(
            "hour", "actor_id", "action", "reason", "origin", "noun_id", name="uq_audit_refusals_hour_key"
        ),
    )

    id: Mapped[int] = pk()
    hour: Mapped[datetime]
    actor_id: Mapped[int] = mapped_column(Id)
    action: Mapped[str] = mapped_column(String(160))
    reason: Mapped[str] = mapped_column(String(64))
    origin: Mapped[str] = mapped_column(String(64))
    noun_id: Mapped[str] = mapped_column(String(64))
    count: Mapped[int] = mapped_column(Integer)
    last_at: Mapped[datetime]
