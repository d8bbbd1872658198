"""What watches a process and tells others of it: the audit trail, metrics and webhooks."""

from dataclasses import dataclass
from typing import Self

from parcela.core.settings import Settings
from parcela.repositories.uow import UnitOfWorkFactory
from parcela.services.events.streams import EventService
from parcela.services.observability.audit import AuditService
from parcela.services.observability.metrics import Metrics, MetricsService
from parcela.services.webhooks.deliveries import WebhookDeliveries
from parcela.services.webhooks.rules import WebhookSecrets
from parcela.services.webhooks.webhooks import WebhookService


@dataclass(frozen=True)
class Observing:
    """Built once by a composition root."""

    audit: AuditService
    metrics: Metrics
    scrapes: MetricsService
    webhooks: WebhookService
    deliveries: WebhookDeliveries

    @classmethod
    def build(
        cls, uows: UnitOfWorkFactory, settings: Settings, key: str, events: EventService, metrics: Metrics | None
    ) -> Self:
        """Wire it. ``key`` is that of the server; without ``metrics`` new ones are counted."""
        counted, secrets = metrics or Metrics(), WebhookSecrets(key)
        return cls(
            audit=AuditService(uows),
            metrics=counted,
            scrapes=MetricsService(uows, counted),
            webhooks=WebhookService(settings, secrets),
            deliveries=WebhookDeliveries(settings, secrets, events),
        )
