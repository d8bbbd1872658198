"""The background half of a process: engine, reconcilers, webhooks."""

import os
import secrets
import socket
from dataclasses import dataclass
from datetime import timedelta

import structlog

from parcela.hypervisors.spec import DriverEvent
from parcela.services.container import Services
from parcela.services.operations.journal import Journal
from parcela.services.signals import Signal
from parcela.services.webhooks.http_client import WebhookHttp
from parcela.workers.embedded import EmbeddedEngine
from parcela.workers.executor import OperationExecutor
from parcela.workers.limits import HostLimits
from parcela.workers.reconcilers.base import DrivenHosts, Reconciler, ReconcilerLoop
from parcela.workers.reconcilers.data_space import DataSpace
from parcela.workers.reconcilers.expiry_notice import ExpiryNotice
from parcela.workers.reconcilers.failed_destructions import FailedDestructions
from parcela.workers.reconcilers.host_liveness import HostLiveness
from parcela.workers.reconcilers.identity_provider import IdentityProvider
from parcela.workers.reconcilers.image_copies import ImageCopySweep
from parcela.workers.reconcilers.inventory import inventory_reconcilers
from parcela.workers.reconcilers.invitations import EndedInvitations
from parcela.workers.reconcilers.leftovers import Housekeeping, QuotaSums, ReservationLeaks, StuckOperations
from parcela.workers.reconcilers.mail_outbox import MailOutbox
from parcela.workers.reconcilers.orphan_sweep import OrphanSweep
from parcela.workers.reconcilers.refusal_counts import RefusalCounts
from parcela.workers.reconcilers.registrations import UnfinishedRegistrations
from parcela.workers.reconcilers.retention import Retention
from parcela.workers.reconcilers.silent_uploads import SilentUploads
from parcela.workers.reconcilers.slice_expiry import SliceExpiry
from parcela.workers.reconcilers.vm_drift import VmDrift
from parcela.workers.webhooks import WebhookPump

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Workers:
    """The background half of the process."""

    engine: EmbeddedEngine
    reconcilers: ReconcilerLoop
    webhooks: WebhookPump


def build_workers(services: Services, engine_signal: Signal) -> Workers:
    """Wire engine and reconcilers."""
    settings, uows = services.settings, services.uows
    journal = Journal(uows, settings, engine_signal, f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}")
    limits = HostLimits(settings.boots_per_host)
    executor = OperationExecutor(journal, services.drivers, limits, heartbeat_s=settings.lease_ttl_s / 3)
    engine = EmbeddedEngine(journal, executor, settings.sweep_interval_s)
    engine_signal.connect(engine.notify)
    hosts = DrivenHosts(uows, services.drivers)
    reconcilers: list[Reconciler] = [
        DataSpace(services.data_folder),
        HostLiveness(uows, hosts, settings.disk_low),
        VmDrift(uows, hosts, services.vms),
        OrphanSweep(uows, hosts),
        ExpiryNotice(uows, settings.slice_notice_s),
        SliceExpiry(uows, services.slices),
        FailedDestructions(uows, services.slices, services.vms),
        ReservationLeaks(uows),
        QuotaSums(uows),
        StuckOperations(uows, services.operations),
        Housekeeping(uows),
        MailOutbox(services.mail, uows.clock),
        EndedInvitations(uows),
        *inventory_reconcilers(uows, services.inventory.files),
        IdentityProvider(services.single_sign_on),
        UnfinishedRegistrations(services.registration, uows.clock),
        ImageCopySweep(uows, hosts, settings),
        SilentUploads(uows, services.images),
        RefusalCounts(services.observing.audit.refusals),
        Retention(uows, settings, [services.auth.purge]),
    ]
    loop = ReconcilerLoop(reconcilers, settings.sweep_interval_s, services.observing.metrics.on_round)

    def on_driver_event(host_name: str, event: DriverEvent) -> None:
        log.debug("driver.event", host=host_name, kind=event.kind.value, vm=str(event.vm_uuid))
        loop.signal()

    services.drivers.listen(on_driver_event)
    http, kept_for = WebhookHttp(settings), timedelta(days=settings.retention_deliveries_days)
    webhooks = WebhookPump(uows, services.observing.deliveries, http, settings.sweep_interval_s, kept_for)
    services.hub.connect(webhooks.signal)
    return Workers(engine, loop, webhooks)
