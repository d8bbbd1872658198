"""What watches a process and tells others of it: the audit trail and metrics."""

from dataclasses import dataclass
from typing import Self

from parcela.repositories.uow import UnitOfWorkFactory
from parcela.services.audit import AuditService
from parcela.services.metrics import Metrics, MetricsService


@dataclass(frozen=True)
class Observing:
    """Built once by a composition root."""

    audit: AuditService
    metrics: Metrics
    scrapes: MetricsService

    @classmethod
    def build(cls, uows: UnitOfWorkFactory, metrics: Metrics | None) -> Self:
        """Wire it; without ``metrics`` new ones are counted."""
        counted = metrics or Metrics()
        return cls(audit=AuditService(uows), metrics=counted, scrapes=MetricsService(uows, counted))
