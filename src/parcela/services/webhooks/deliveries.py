"""From the stored sequence of events to deliveries: what is due, what goes out, and what its outcome means.

Everything that must survive a kill is a row: how far a webhook has looked (its cursor), and each delivery. A delivery
is claimed for a while before it goes out, so one that was cut off is repeated: at least once, never lost. Receivers
know repeats by the event's number.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog
from pydantic_core import to_json

from parcela.core.settings import Settings
from parcela.models import DeliveryState, Webhook
from parcela.repositories.events import EventRecord
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork
from parcela.services.access import Caller
from parcela.services.events.streams import EventService
from parcela.services.standing import standing
from parcela.services.webhooks.http_client import Outcome
from parcela.services.webhooks.rules import WebhookSecrets, fits, retry_delay_s, signature

log = structlog.get_logger(__name__)
BATCH = 500
CLAIM_MARGIN = timedelta(seconds=30)
SHOWN = ("id", "type", "at", "actor_id", "slice_id", "vm_id", "operation_id", "data")
"""The event as the streams write it."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One attempt, ready to go out."""

    delivery_id: int
    webhook_id: int
    url: str
    body: bytes
    headers: dict[str, str]


def document(record: EventRecord) -> bytes:
    """The body of a delivery."""
    return to_json({name: getattr(record, name) for name in SHOWN})


class WebhookDeliveries:
    """Every method works in a unit of work of the caller, who commits."""

    def __init__(
        self,
        settings: Settings,
        key: WebhookSecrets,
        events: EventService,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """``chance`` gives numbers from 0 to 1 that spread the delays."""
        self._settings = settings
        self._key = key
        self._events = events
        self._chance = chance

    async def enqueue(self, uow: UnitOfWork, webhook_id: int) -> bool:
        """Order the deliveries of the next events; whether there are more."""
        webhook = await uow.webhooks.lock(webhook_id)
        last_id = await uow.events.last_id()
        if not webhook.is_active or webhook.cursor >= last_id:
            return False
        owner = await self._owner(uow, webhook)
        if owner is None:
            webhook.cursor = last_id  # whoever may not log in is told nothing, and not later either
            return False
        records = await self._events.since(uow, owner, webhook.cursor, limit=BATCH)
        wanted = [(record.id, record.type) for record in records if fits(record.type, webhook.event_types)]
        if wanted:
            await uow.webhook_deliveries.add_many(webhook.id, wanted, uow.clock())
        full = len(records) == BATCH
        webhook.cursor = records[-1].id if full else max(last_id, *(record.id for record in records), 0)
        return full

    async def claim(self, uow: UnitOfWork, delivery_id: int) -> Letter | None:
        """Take a due delivery; None when it is not to be sent (any more)."""
        now = uow.clock()
        until = now + timedelta(seconds=self._settings.webhook_timeout_s) + CLAIM_MARGIN
        if not await uow.webhook_deliveries.claim(delivery_id, now, until):
            return None
        delivery = await uow.webhook_deliveries.lock(delivery_id)
        webhook = await uow.webhooks.get(delivery.webhook_id)
        record = await self._visible(uow, webhook, delivery.event_id) if webhook.is_active else None
        if record is None:
            delivery.state, delivery.next_attempt_at = DeliveryState.FAILED.value, None
            delivery.error = "its owner may not see this event any more"
            return None
        body = document(record)
        salts = [webhook.salt]
        if webhook.previous_salt and webhook.previous_until and webhook.previous_until > now:
            salts.append(webhook.previous_salt)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Parcela-Webhook/1",
            "X-Parcela-Event": record.type,
            "X-Parcela-Event-Id": str(record.id),
            "X-Parcela-Delivery": str(delivery.id),
            "X-Parcela-Attempt": str(delivery.attempts),
            "X-Parcela-Signature": signature([self._key.secret(salt) for salt in salts], now, body),
        }
        return Letter(delivery.id, webhook.id, webhook.url, body, headers)

    async def settle(self, uow: UnitOfWork, letter: Letter, outcome: Outcome) -> None:
        """Write down what came of an attempt; a webhook that has failed for days is switched off."""
        delivery = await uow.webhook_deliveries.get_or_none(letter.delivery_id)
        if delivery is None:
            return  # its webhook was deleted meanwhile
        webhook = await uow.webhooks.lock(letter.webhook_id)
        delivery = await uow.webhook_deliveries.lock(letter.delivery_id)
        delivery.response_status, delivery.error = outcome.status, outcome.error
        delivery.duration_ms = outcome.duration_ms
        if outcome.is_good:
            delivery.state, delivery.next_attempt_at = DeliveryState.DELIVERED.value, None
            webhook.failing_since = None
            return
        now = uow.clock()
        if delivery.attempts >= self._settings.webhook_attempts:
            delivery.state, delivery.next_attempt_at = DeliveryState.FAILED.value, None
        else:
            delivery.next_attempt_at = now + timedelta(seconds=retry_delay_s(delivery.attempts, self._chance()))
        webhook.failing_since = webhook.failing_since or now
        if webhook.is_active and now - webhook.failing_since >= self._patience:
            self._switch_off(uow, webhook)

    @property
    def _patience(self) -> timedelta:
        return timedelta(days=self._settings.webhook_disable_after_days)

    def _switch_off(self, uow: UnitOfWork, webhook: Webhook) -> None:
        days = self._settings.webhook_disable_after_days
        webhook.is_active = False
        webhook.disabled_reason = f"Nothing was delivered for {days} days."
        log.warning("webhook.disabled", webhook_id=webhook.id, days=days)
        facts = {"id": webhook.id, "name": webhook.name, "reason": webhook.disabled_reason}
        uow.add_event("webhook.disabled", owner_id=webhook.owner_id, data=facts)

    async def _visible(self, uow: ReadUnitOfWork, webhook: Webhook, event_id: int) -> EventRecord | None:
        """The event, if the owner may still see it."""
        owner = await self._owner(uow, webhook)
        if owner is None:
            return None
        found = await self._events.since(uow, owner, event_id - 1, limit=1)
        return found[0] if found and found[0].id == event_id else None

    @staticmethod
    async def _owner(uow: ReadUnitOfWork, webhook: Webhook) -> Caller | None:
        """The owner with the rights of this moment; None when they may not log in."""
        user = await uow.users.get_or_none(webhook.owner_id)
        caller = await standing(uow, user) if user is not None else None
        scopes = None if webhook.scopes is None else frozenset(webhook.scopes)
        return None if caller is None else replace(caller, scopes=scopes)
