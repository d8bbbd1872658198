"""Webhooks and their deliveries."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, select, update

from parcela.models import DeliveryState, Webhook, WebhookDelivery
from parcela.models.derived import shown
from parcela.repositories.base import Repository
from parcela.repositories.paging import Page, PageRequest, fetch_page

PENDING = DeliveryState.PENDING.value


class WebhookRepository(Repository[Webhook]):
    """Webhooks."""

    model = Webhook
    noun = "webhook"

    async def page(self, request: PageRequest, *, owner_id: int | None = None) -> Page:
        """Webhooks, perhaps only those of an owner."""
        columns = Webhook.__table__.c
        statement = select(*shown(Webhook))
        if owner_id is not None:
            statement = statement.where(Webhook.owner_id == owner_id)
        sortable: dict[str, Any] = {"name": columns["name"], "created_at": columns["created_at"]}
        return await fetch_page(self._session, statement, request, sortable=sortable, id_column=columns["id"])

    async def count_of(self, owner_id: int) -> int:
        """How many somebody has."""
        statement = select(func.count()).select_from(Webhook).where(Webhook.owner_id == owner_id)
        return int((await self._session.execute(statement)).scalar_one())

    async def behind(self, last_event_id: int) -> list[int]:
        """Active webhooks that have not looked at the newest events."""
        statement = select(Webhook.id).where(Webhook.is_active.is_(True), Webhook.cursor < last_event_id)
        return list((await self._session.scalars(statement.order_by(Webhook.id))).all())


class WebhookDeliveryRepository(Repository[WebhookDelivery]):
    """Deliveries."""

    model = WebhookDelivery
    noun = "delivery"

    async def page(self, request: PageRequest, webhook_id: int, *, state: str | None = None) -> Page:
        """Deliveries of a webhook."""
        columns = WebhookDelivery.__table__.c
        statement = select(*columns).where(WebhookDelivery.webhook_id == webhook_id)
        if state is not None:
            statement = statement.where(WebhookDelivery.state == state)
        sortable: dict[str, Any] = {"event_id": columns["event_id"], "created_at": columns["created_at"]}
        return await fetch_page(self._session, statement, request, sortable=sortable, id_column=columns["id"])

    async def add_many(self, webhook_id: int, events: Sequence[tuple[int, str]], at: datetime) -> None:
        """Write down that these events (number, type) are to be delivered, from now on."""
        rows = [
            {
                "webhook_id": webhook_id,
                "event_id": event_id,
                "event_type": event_type,
                "state": PENDING,
                "attempts": 0,
                "error": "",
                "next_attempt_at": at,
                "created_at": at,
            }
            for event_id, event_type in events
        ]
        await self._session.execute(insert(WebhookDelivery), rows)

    async def due_webhooks(self, now: datetime) -> list[int]:
        """Active webhooks with something to deliver now."""
        statement = (
            select(WebhookDelivery.webhook_id)
            .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
            .where(
                WebhookDelivery.state == PENDING, WebhookDelivery.next_attempt_at <= now, Webhook.is_active.is_(True)
            )
            .distinct()
        )
        return list((await self._session.scalars(statement)).all())

    async def next_due(self, webhook_id: int, now: datetime) -> int | None:
        """The delivery of a webhook to try first."""
        statement = (
            select(WebhookDelivery.id)
            .where(
                WebhookDelivery.webhook_id == webhook_id,
                WebhookDelivery.state == PENDING,
                WebhookDelivery.next_attempt_at <= now,
            )
            .order_by(WebhookDelivery.event_id)
            .limit(1)
        )
        found: int | None = await self._session.scalar(statement)
        return found

    async def claim(self, delivery_id: int, now: datetime, until: datetime) -> bool:
        """Take a due delivery, for others until ``until``; False when somebody else has it."""
        statement = update(WebhookDelivery).where(
            WebhookDelivery.id == delivery_id, WebhookDelivery.state == PENDING, WebhookDelivery.next_attempt_at <= now
        )
        values = {"next_attempt_at": until, "last_attempt_at": now, "attempts": WebhookDelivery.attempts + 1}
        return bool(await self._changed(statement.values(**values)))

    async def purge(self, before: datetime) -> int:
        """Remove ended deliveries that were ordered earlier; how many."""
        ended = WebhookDelivery.state != PENDING
        return await self._changed(delete(WebhookDelivery).where(ended, WebhookDelivery.created_at < before))
