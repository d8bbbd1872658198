"""Outgoing webhooks and what became of each event they carried."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import JSON, Boolean, ForeignKey, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from parcela.models.base import Base, Id, one_of, pk
from parcela.models.derived import Written, sort_key_of


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class Webhook(Base):
    """Somebody's wish to be told by HTTP.

    ``salt`` and the server's key make the secret, which is never stored; ``previous_salt`` made the one before, which
    signs too until ``previous_until``. ``cursor`` is the number of the last event that was looked at. ``scopes`` limits
    what it sees to those of the personal token that made it; null for a session.
    """

    __tablename__ = "webhooks"
    __table_args__ = (
        Index("ix_webhooks_owner_id", "owner_id"),
        Index("ix_webhooks_name_sort_id", "name_sort", "id"),
    )

    id: Mapped[int] = pk()
    owner_id: Mapped[int] = mapped_column(Id, ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(Written(100))
    name_sort: Mapped[str] = sort_key_of("name")
    url: Mapped[str] = mapped_column(String(2000))
    event_types: Mapped[list[str]]
    scopes: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    salt: Mapped[str] = mapped_column(String(64))
    previous_salt: Mapped[str | None] = mapped_column(String(64))
    previous_until: Mapped[datetime | None]
    is_active: Mapped[bool] = mapped_column(Boolean, default=True)
    disabled_reason: Mapped[str] = mapped_column(String(255), default="")
    failing_since: Mapped[datetime | None]
    cursor: Mapped[int] = mapped_column(Id)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class WebhookDelivery(Base):
    """One event for one webhook; the facts of the last attempt."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        UniqueConstraint("webhook_id", "event_id"),
        one_of("state", DeliveryState),
        Index("ix_webhook_deliveries_state_next_attempt_at", "state", "next_attempt_at"),
        Index("ix_webhook_deliveries_created_at", "created_at"),
    )

    id: Mapped[int] = pk()
    webhook_id: Mapped[int] = mapped_column(Id, ForeignKey("webhooks.id", ondelete="CASCADE"))
    event_id: Mapped[int] = mapped_column(Id)
    event_type: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16), default=DeliveryState.PENDING.value)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    response_status: Mapped[int | None] = mapped_column(Integer)
    error: Mapped[str] = mapped_column(String(255), default="")
    duration_ms: Mapped[int | None] = mapped_column(Integer)
    next_attempt_at: Mapped[datetime | None]
    last_attempt_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
