"""The services of a process."""

import os
import secrets
from collections.abc import Callable, Sequence

from parcela.core.passwords import PasswordHasher
from parcela.core.settings import Settings
from parcela.repositories.events import EventRecord
from parcela.repositories.uow import UnitOfWorkFactory
from parcela.services.catalogue.flavours import FlavourService
from parcela.services.catalogue.image_files.image_store import ImageStore
from parcela.services.catalogue.images import ImageService
from parcela.services.catalogue.zones import ZoneService
from parcela.services.compute.consoles.consoles import ConsoleService
from parcela.services.compute.drivers import HostDrivers
from parcela.services.compute.hosts import HostService
from parcela.services.compute.retries import RetryService
from parcela.services.compute.slices import SliceService
from parcela.services.compute.template_drafts import TemplateLimits
from parcela.services.compute.templates import TemplateService
from parcela.services.compute.vms import VmService
from parcela.services.container import Services
from parcela.services.events.hub import EventHub
from parcela.services.events.streams import EventService
from parcela.services.idempotency import IdempotencyService
from parcela.services.identity.services import IdentityServices, build_identity
from parcela.services.inventory.record_store_check import MaintenancePlace
from parcela.services.inventory.services import Inventory
from parcela.services.observability.data_folder import DataFolder
from parcela.services.observability.health import HealthService
from parcela.services.observability.metrics import Metrics
from parcela.services.observing import Observing
from parcela.services.operations.operations import OperationService
from parcela.services.projects.invitations import InvitationService
from parcela.services.projects.projects import ProjectService
from parcela.services.rate_limits import RateLimiter
from parcela.services.reports.renderer import ReportRenderer
from parcela.services.reports.service import ReportService
from parcela.services.signals import Signal
from parcela.services.stores import Stores
from parcela.services.traffic.traffic import Traffic

Listener = Callable[[Sequence[EventRecord]], None]


def signing_secret(settings: Settings) -> str:
    """The configured key, or one generated into the data folder at the first start (readable by us only)."""
    if settings.secret_key:
        return settings.secret_key.get_secret_value()
    path = settings.data_dir / "secret.key"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as key_file:
            key_file.write(secrets.token_urlsafe(48))
    return path.read_text().strip()


def nobody(_records: Sequence[EventRecord]) -> None:
    """Listen to nothing."""


def to_all(*listeners: Listener) -> Listener:
    """A listener that hands committed events to others, in this order."""

    def publish(records: Sequence[EventRecord]) -> None:
        for listener in listeners:
            listener(records)

    return publish


def build_health(
    uows: UnitOfWorkFactory, identity: IdentityServices, stores: Stores, folder: DataFolder, traffic: Traffic
) -> HealthService:
    """Wire what is asked for health."""
    place = MaintenancePlace(uses_mongodb=uows.outside is not None)
    probes = [identity.mail.check, identity.single_sign_on.check, place.check, traffic.connections.health]
    return HealthService(uows, probes, stores.links, folder)


def build_services(
    settings: Settings,
    uows: UnitOfWorkFactory,
    drivers: HostDrivers,
    engine: Signal,
    hasher: PasswordHasher,
    *,
    listen: Listener = nobody,
    metrics: Metrics | None = None,
    stores: Stores | None = None,
) -> Services:
    """Wire the services; ``listen`` gets every committed event before the streams do."""
    hub, key, stores = EventHub(), signing_secret(settings), stores or Stores()
    operations = OperationService(engine)
    events = EventService(uows, hub, reads_at_once=max(1, uows.database.readers // 2))
    observing = Observing.build(uows, settings, key, events, metrics)
    identity = build_identity(uows, hasher, key, settings, observing.audit.refusals)
    uows.publish_to(to_all(identity.auth.on_events, listen, observing.metrics.on_events, hub.publish))
    folder, traffic, projects = DataFolder(settings), Traffic.build(settings), ProjectService(settings)
    templates = TemplateService(TemplateLimits.of(settings), settings.nat_networks)
    slices, vms = SliceService(settings, operations, templates), VmService(settings, operations)
    return Services(
        **vars(identity),
        settings=settings,
        clock=uows.clock,
        uows=uows,
        drivers=drivers,
        hub=hub,
        flavours=FlavourService(),
        images=ImageService(uows, settings, ImageStore(settings.data_dir, keep_free=settings.disk_low)),
        zones=ZoneService(),
        hosts=HostService(),
        templates=templates,
        projects=projects,
        invitations=InvitationService(settings, projects, identity.mail),
        slices=slices,
        vms=vms,
        operations=operations,
        reports=ReportService(ReportRenderer(settings.data_dir / "report-cache", timeout_s=settings.report_timeout_s)),
        retries=RetryService(operations, slices, vms),
        consoles=ConsoleService(uows, drivers, events),
        events=events,
        idempotency=IdempotencyService.of(settings),
        rate_limits=RateLimiter(settings, stores.shared),
        inventory=Inventory.build(settings),
        data_folder=folder,
        health=build_health(uows, identity, stores, folder, traffic),
        observing=observing,
        stores=stores,
        traffic=traffic,
    )
