"""The audit trail: who did what to what, when, from where. Rows are only ever added; triggers refuse the rest."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, String
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
