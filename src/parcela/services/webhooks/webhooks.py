"""Webhooks: who is told what by HTTP. A webhook sees what its owner may see at the moment of each delivery."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from parcela.core.errors import conflict, not_found
from parcela.core.permissions import Permission, grants
from parcela.core.scopes import Scope
from parcela.core.settings import Settings
from parcela.models import DeliveryState, Webhook, WebhookDelivery
from parcela.repositories.paging import Page, PageRequest
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork
from parcela.services.access import Caller, check_visible, check_writable
from parcela.services.changes import assign
from parcela.services.webhooks.http_client import check_url
from parcela.services.webhooks.rules import OVERLAP, WebhookSecrets

READ_ALL, WRITE_ALL = Permission.WEBHOOK_READ_ALL, Permission.WEBHOOK_WRITE_ALL
SALT_BYTES = 24


@dataclass(frozen=True, slots=True)
class WebhookWithSecret:
    """A webhook at one of the two moments at which its secret is told: when it is made, and when it is rotated."""

    webhook: Webhook
    secret: str


class WebhookService:
    """Owners (with ``webhook:create``) and administrators."""

    def __init__(self, settings: Settings, key: WebhookSecrets) -> None:
        """Take the limits, and what makes secrets."""
        self._settings = settings
        self._key = key

    async def page(self, uow: ReadUnitOfWork, caller: Caller, request: PageRequest) -> Page:
        """The caller's webhooks; everybody's with ``webhook:read_all``."""
        return await uow.webhooks.page(request, owner_id=caller.list_filter(READ_ALL))

    async def get(self, uow: ReadUnitOfWork, caller: Caller, webhook_id: int) -> Webhook:
        """One webhook."""
        webhook = await uow.webhooks.get_or_none(webhook_id)
        if webhook is None:
            raise not_found("webhook", webhook_id)
        check_visible(caller, webhook.owner_id, READ_ALL, "webhook", webhook_id)
        return webhook

    async def create(
        self, uow: UnitOfWork, caller: Caller, *, name: str, url: str, event_types: list[str]
    ) -> WebhookWithSecret:
        """Be told of what happens from now on.

        Raises:
            ParcelaError: ``invalid`` for an address that is refused; ``conflict`` ``too_many_webhooks``.
        """
        caller.require(Permission.WEBHOOK_CREATE)
        check_url(url, self._settings)
        most = self._settings.webhooks_per_user
        await uow.users.lock(caller.user_id)  # two at the same time would both be the last one
        if await uow.webhooks.count_of(caller.user_id) >= most:
            raise conflict("too_many_webhooks", f"You have {most} webhooks already, which is the limit.")
        now = uow.clock()
        webhook = await uow.webhooks.add(
            Webhook(
                owner_id=caller.user_id,
                name=name,
                url=url,
                event_types=list(dict.fromkeys(event_types)),
                scopes=None if caller.scopes is None else sorted(caller.scopes),
                salt=secrets.token_urlsafe(SALT_BYTES),
                is_active=True,
                disabled_reason="",
                cursor=await uow.events.last_id(),
                created_at=now,
                updated_at=now,
            )
        )
        self._tell(uow, "webhook.created", caller, webhook)
        return WebhookWithSecret(webhook, self._key.secret(webhook.salt))

    async def update(
        self,
        uow: UnitOfWork,
        caller: Caller,
        webhook_id: int,
        changes: dict[str, Any],
        check: Callable[[Webhook], None] = lambda _: None,
    ) -> Webhook:
        """Change name, url, event_types or is_active. What happened while it was off is not delivered later."""
        webhook = await self._writable(uow, caller, webhook_id, Scope.WEBHOOK_UPDATE)
        check(webhook)
        scopes = _narrowed(webhook.scopes, caller)
        if "url" in changes:
            check_url(changes["url"], self._settings)
        if changes.get("is_active") and not webhook.is_active:
            webhook.cursor = await uow.events.last_id()
            webhook.failing_since, webhook.disabled_reason = None, ""
        if not assign(webhook, {**changes, "scopes": scopes}):
            return webhook
        webhook.updated_at = uow.clock()
        self._tell(uow, "webhook.updated", caller, webhook)
        return webhook

    async def delete(
        self, uow: UnitOfWork, caller: Caller, webhook_id: int, check: Callable[[Webhook], None] = lambda _: None
    ) -> None:
        """Remove a webhook with its deliveries."""
        webhook = await self._writable(uow, caller, webhook_id, Scope.WEBHOOK_DELETE)
        check(webhook)
        self._tell(uow, "webhook.deleted", caller, webhook)
        await uow.webhooks.delete(webhook)

    async def rotate(self, uow: UnitOfWork, caller: Caller, webhook_id: int) -> WebhookWithSecret:
        """Give it a new secret; for a day the old one signs too, so that receivers can change over."""
        webhook = await self._writable(uow, caller, webhook_id, Scope.WEBHOOK_ROTATE)
        now = uow.clock()
        webhook.previous_salt, webhook.previous_until = webhook.salt, now + OVERLAP
        webhook.salt = secrets.token_urlsafe(SALT_BYTES)
        webhook.updated_at = now
        self._tell(uow, "webhook.rotated", caller, webhook)
        return WebhookWithSecret(webhook, self._key.secret(webhook.salt))

    async def deliveries(
        self, uow: ReadUnitOfWork, caller: Caller, webhook_id: int, request: PageRequest, *, state: str | None = None
    ) -> Page:
        """What became of each event; kept for thirty days."""
        webhook = await self.get(uow, caller, webhook_id)
        return await uow.webhook_deliveries.page(request, webhook.id, state=state)

    async def resend(self, uow: UnitOfWork, caller: Caller, webhook_id: int, delivery_id: int) -> WebhookDelivery:
        """Deliver an event once more, now, with all attempts.

        Raises:
            ParcelaError: ``conflict`` ``webhook_inactive`` when the webhook is off.
        """
        webhook = await self._writable(uow, caller, webhook_id, Scope.WEBHOOK_RESEND)
        if not webhook.is_active:
            raise conflict("webhook_inactive", "The webhook is switched off; switch it on first.")
        delivery = await uow.webhook_deliveries.get_or_none(delivery_id)
        if delivery is None or delivery.webhook_id != webhook.id:
            raise not_found("delivery", delivery_id)
        delivery = await uow.webhook_deliveries.lock(delivery_id)
        delivery.state, delivery.attempts, delivery.next_attempt_at = DeliveryState.PENDING.value, 0, uow.clock()
        uow.note("webhook.resent", noun="webhook", noun_id=str(webhook.id), facts={"event_id": delivery.event_id})
        return delivery

    async def _writable(self, uow: UnitOfWork, caller: Caller, webhook_id: int, scope: Scope) -> Webhook:
        found = await uow.webhooks.get_or_none(webhook_id)
        if found is None:
            raise not_found("webhook", webhook_id)
        check_writable(caller, found.owner_id, READ_ALL, WRITE_ALL, "webhook", webhook_id, scope=scope)
        return await uow.webhooks.lock(webhook_id)

    @staticmethod
    def _tell(uow: UnitOfWork, event_type: str, caller: Caller, webhook: Webhook) -> None:
        facts = {"id": webhook.id, "name": webhook.name}
        uow.add_event(event_type, actor_id=caller.user_id, owner_id=webhook.owner_id, data=facts)


def _narrowed(scopes: list[str] | None, caller: Caller) -> list[str] | None:
    """Scopes of a webhook that this caller has changed: a token must not redirect news that it may not read itself."""
    if caller.scopes is None:
        return scopes
    if scopes is None:
        return sorted(caller.scopes)
    both = {scope for scope in scopes if grants(caller.scopes, scope)}
    return sorted(both | {scope for scope in caller.scopes if grants(scopes, scope)})
