"""Composition root of the API: settings -> FastAPI application. Every object is built here, none at import."""

import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path

import structlog
from fastapi import FastAPI
from fastapi.middleware.gzip import GZipMiddleware
from starlette.middleware.cors import CORSMiddleware

from parcela.api.app import QUICK_LISTS, Application, include_api
from parcela.api.list_cache import CACHED_LISTS, CachedLists, ListCache
from parcela.api.middleware import EXPOSED_HEADERS, BodyLimit, EntityTags, RequestContext
from parcela.api.quick_lists import QuickLists
from parcela.api.rate_limits import RateLimits
from parcela.core.clock import Clock, utc_now
from parcela.core.collector import keep_what_is_there
from parcela.core.logs import configure_logging
from parcela.core.passwords import PasswordHasher
from parcela.core.settings import Hypervisor, Settings, load_settings
from parcela.db.database import Database, ProcessLock
from parcela.hypervisors.registry import DriverFactory, DriverRegistry
from parcela.hypervisors.simulated import SimulatedDriver, SimulatedWorld
from parcela.hypervisors.spec import DriverEvent
from parcela.repositories.events import EventRecord
from parcela.repositories.uow import UnitOfWorkFactory
from parcela.services.bootstrap import Bootstrap, FirstAdmin
from parcela.services.consoles import ConsoleService
from parcela.services.container import Services
from parcela.services.drivers import HostDrivers
from parcela.services.event_hub import EventHub
from parcela.services.events import EventService
from parcela.services.fanout import Relay, sharing
from parcela.services.flavours import FlavourService
from parcela.services.health import HealthService
from parcela.services.hosts import HostService
from parcela.services.idempotency import IdempotencyService
from parcela.services.identity import IdentityServices, build_identity
from parcela.services.image_store import ImageStore
from parcela.services.images import ImageService
from parcela.services.inventory import Inventory
from parcela.services.maintenance_place import MaintenancePlace
from parcela.services.measured import watch_process
from parcela.services.metrics import Metrics
from parcela.services.observing import Observing
from parcela.services.operations.journal import Journal
from parcela.services.operations.requests import OperationService
from parcela.services.presence import Presence
from parcela.services.projects import ProjectService
from parcela.services.rate_limits import RateLimiter
from parcela.services.reports.renderer import ReportRenderer
from parcela.services.reports.service import ReportService
from parcela.services.retries import RetryService
from parcela.services.signals import Signal
from parcela.services.slices import SliceService
from parcela.services.stores import Stores
from parcela.services.templates import TemplateService
from parcela.services.vms import VmService
from parcela.services.webhook_http import WebhookHttp
from parcela.services.zones import ZoneService
from parcela.web.app import include_web
from parcela.workers.embedded import EmbeddedEngine
from parcela.workers.executor import OperationExecutor
from parcela.workers.limits import HostLimits
from parcela.workers.reconcilers.base import DrivenHosts, Reconciler, ReconcilerLoop
from parcela.workers.reconcilers.host_liveness import HostLiveness
from parcela.workers.reconcilers.identity_provider import IdentityProvider
from parcela.workers.reconcilers.inventory import inventory_reconcilers
from parcela.workers.reconcilers.leftovers import Housekeeping, QuotaSums, ReservationLeaks, StuckOperations
from parcela.workers.reconcilers.mail_outbox import MailOutbox
from parcela.workers.reconcilers.orphan_sweep import OrphanSweep
from parcela.workers.reconcilers.slice_expiry import SliceExpiry
from parcela.workers.reconcilers.vm_drift import VmDrift
from parcela.workers.webhooks import WebhookPump

log = structlog.get_logger(__name__)
Listener = Callable[[Sequence[EventRecord]], None]
RegistryFactory = Callable[[Settings, str], DriverRegistry]
"""(settings, installation id) -> drivers; tests give one whose drivers they can break."""


@dataclass(frozen=True)
class Workers:
    """The background half of the process."""

    engine: EmbeddedEngine
    reconcilers: ReconcilerLoop
    webhooks: WebhookPump


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


def _bundled_kernel(settings: Settings) -> tuple[str, str] | None:
    kernel, initrd = settings.guest_dir / "vmlinuz", settings.guest_dir / "initrd.gz"
    return (str(kernel.resolve()), str(initrd.resolve())) if kernel.exists() and initrd.exists() else None


def default_registry(settings: Settings, installation: str) -> DriverRegistry:
    """The drivers of this process: libvirt when it is what the settings say, simulated only when they say so."""
    factories: dict[str, DriverFactory] = {}
    if settings.hypervisor is Hypervisor.SIMULATED:
        world = SimulatedWorld()
        factories["simulated"] = lambda name: SimulatedDriver(world, name, installation)
    else:
        # An optional dependency: an API on a machine without libvirt-python can still serve simulated hosts.
        from parcela.hypervisors.libvirt.driver import LibvirtDriver

        factories["libvirt"] = lambda name: LibvirtDriver(
            name,
            installation,
            settings.resolved_libvirt_uri,
            settings.data_dir / "hypervisor",
            acceleration=settings.acceleration.value,
            probe_kernel=_bundled_kernel(settings),
            nat_prefixes=settings.nat_prefixes,
            nat_blocked=settings.nat_blocked,
        )
    return DriverRegistry(factories)


def _nobody(_records: Sequence[EventRecord]) -> None:
    """Listen to nothing."""


def to_all(*listeners: Listener) -> Listener:
    """A listener that hands committed events to others, in this order."""

    def publish(records: Sequence[EventRecord]) -> None:
        for listener in listeners:
            listener(records)

    return publish


def build_health(uows: UnitOfWorkFactory, identity: IdentityServices, stores: Stores) -> HealthService:
    """Wire what is asked for health."""
    place = MaintenancePlace(uses_mongodb=uows.outside is not None)
    return HealthService(uows, [identity.mail.check, identity.single_sign_on.check, place.check], stores.links)


def build_services(
    settings: Settings,
    uows: UnitOfWorkFactory,
    drivers: HostDrivers,
    engine: Signal,
    hasher: PasswordHasher,
    *,
    listen: Listener = _nobody,
    metrics: Metrics | None = None,
    stores: Stores | None = None,
) -> Services:
    """Wire the services; ``listen`` gets every committed event before the streams do."""
    hub, key, stores = EventHub(), signing_secret(settings), stores or Stores()
    events = EventService(uows, hub)
    observing = Observing.build(uows, settings, key, events, metrics)
    identity = build_identity(uows, hasher, key, settings)
    uows.publish_to(to_all(identity.auth.on_events, listen, observing.metrics.on_events, hub.publish))
    operations = OperationService(engine)
    templates = TemplateService()
    slices = SliceService(settings, operations, templates)
    vms = VmService(settings, operations)
    return Services(
        **vars(identity),
        settings=settings,
        clock=uows.clock,
        uows=uows,
        drivers=drivers,
        hub=hub,
        flavours=FlavourService(),
        images=ImageService(uows, settings, ImageStore(settings.data_dir)),
        zones=ZoneService(),
        hosts=HostService(),
        templates=templates,
        projects=ProjectService(settings),
        slices=slices,
        vms=vms,
        operations=operations,
        reports=ReportService(ReportRenderer(settings.data_dir / "report-cache", timeout_s=settings.report_timeout_s)),
        retries=RetryService(operations, slices, vms),
        consoles=ConsoleService(uows, drivers, events),
        events=events,
        idempotency=IdempotencyService(),
        rate_limits=RateLimiter(settings, stores.shared),
        inventory=Inventory.build(settings),
        health=build_health(uows, identity, stores),
        observing=observing,
        stores=stores,
    )


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
        HostLiveness(uows, hosts),
        VmDrift(uows, hosts, services.vms),
        OrphanSweep(uows, hosts),
        SliceExpiry(uows, services.slices),
        ReservationLeaks(uows),
        QuotaSums(uows),
        StuckOperations(uows, services.operations),
        Housekeeping(uows),
        MailOutbox(services.mail, uows.clock),
        *inventory_reconcilers(uows, services.inventory.files),
        IdentityProvider(services.single_sign_on),
    ]
    loop = ReconcilerLoop(reconcilers, settings.sweep_interval_s, services.observing.metrics.on_round)

    def on_driver_event(host_name: str, event: DriverEvent) -> None:
        log.debug("driver.event", host=host_name, kind=event.kind.value, vm=str(event.vm_uuid))
        loop.signal()

    services.drivers.listen(on_driver_event)
    http = WebhookHttp(settings)
    webhooks = WebhookPump(uows, services.observing.deliveries, http, settings.sweep_interval_s)
    services.hub.connect(webhooks.signal)
    return Workers(engine, loop, webhooks)


def _make_data_folder(folder: Path) -> None:
    """Tokens' hashes, disks and consoles' logs are nobody else's business; QEMU's user has to pass through."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711)


async def join_replicas(services: Services, listen: Listener, stack: AsyncExitStack) -> None:
    """Where other processes work on the same database: follow their events, and tell them of ours."""
    uows, auth, shared = services.uows, services.auth, services.stores.shared
    presence = services.sessions.presence = Presence(uows.clock, shared)
    stack.push_async_callback(presence.aclose)
    if uows.database.is_sqlite:
        return
    relay = Relay(uows, services.hub.publish, to_all(auth.on_events, listen), shared)
    uows.publish_to(to_all(auth.on_events, listen, services.observing.metrics.on_events, relay.committed))
    if shared is not None:
        uows.share_with(sharing(shared))
    await relay.start()
    stack.push_async_callback(relay.aclose)


@asynccontextmanager
async def running(
    settings: Settings,
    registry_factory: RegistryFactory = default_registry,
    *,
    clock: Clock = utc_now,
    listen: Listener = _nobody,
    metrics: Metrics | None = None,
) -> AsyncIterator[tuple[Services, Workers, FirstAdmin | None]]:
    """Everything but HTTP: opened in order, closed in reverse. The schema must be migrated already."""
    async with AsyncExitStack() as stack:
        _make_data_folder(settings.data_dir)
        database = Database(settings.resolved_database_url, pool_size=settings.database_pool_size)
        stack.push_async_callback(database.aclose)
        if database.is_sqlite:
            lock = ProcessLock(settings.data_dir)
            lock.acquire()
            stack.callback(lock.release)
        stores = Stores.named(settings)
        stack.push_async_callback(stores.aclose)
        uows = UnitOfWorkFactory(database, clock, stores.outside)
        async with uows.write() as uow:
            installation = await uow.installation()
            if database.is_sqlite:
                await uow.operations.drop_all_leases()  # we hold the lock, so whoever held them is dead
            await uow.commit()
        await stores.open(installation)
        drivers = HostDrivers(registry_factory(settings, installation))
        stack.push_async_callback(drivers.aclose)
        hasher = PasswordHasher()
        stack.callback(hasher.close)
        signal = Signal()
        services = build_services(
            settings, uows, drivers, signal, hasher, listen=listen, metrics=metrics, stores=stores
        )
        await join_replicas(services, listen, stack)
        watch_process(services)
        stack.push_async_callback(services.observing.scrapes.aclose)
        for service in (services.events, services.auth, services.mail, services.single_sign_on, services.images):
            stack.push_async_callback(service.aclose)
        admin = await Bootstrap(uows, settings, hasher, services.users, services.images).run()
        workers = build_workers(services, signal)
        await workers.reconcilers.round()
        workers.reconcilers.start()
        stack.push_async_callback(workers.reconcilers.aclose)
        await workers.engine.start()
        stack.push_async_callback(workers.engine.aclose)
        workers.webhooks.start()
        stack.push_async_callback(workers.webhooks.aclose)
        yield services, workers, admin


def create_app(
    settings: Settings,
    registry_factory: RegistryFactory = default_registry,
    *,
    clock: Clock = utc_now,
    on_ready: Callable[[FirstAdmin | None], None] = lambda _admin: None,
) -> FastAPI:
    """The application; its lifespan opens and closes everything else."""
    server_id = settings.server_name
    metrics = Metrics(server_id)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        lists = ListCache()
        everything = running(settings, registry_factory, clock=clock, listen=lists.on_events, metrics=metrics)
        async with everything as (services, workers, admin):
            metrics.add_cache("lists", lists.counts)
            app.state.services = services
            # Other processes on a database server write too: with Redis they tell us, without it nothing is kept.
            alone, lists.shared = services.uows.database.is_sqlite, services.stores.shared
            if alone:
                lists.shared = None
            app.state.lists = lists if alone or lists.shared else None
            app.state.workers = workers
            on_ready(admin)
            yield

    app = Application(
        title="Parcela",
        summary="A self-hosted lab cloud",
        version=version(),
        lifespan=lifespan,
    )
    include_api(app)
    include_web(app)
    app.add_middleware(QuickLists, lists=QUICK_LISTS)
    app.add_middleware(BodyLimit, max_body_bytes=settings.max_body_bytes)
    app.add_middleware(EntityTags)
    app.add_middleware(GZipMiddleware, minimum_size=1024)
    app.add_middleware(CachedLists, lists=CACHED_LISTS)
    app.add_middleware(RateLimits)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=list(EXPOSED_HEADERS),
        )
    app.add_middleware(RequestContext, server_id=server_id, metrics=metrics)
    return app


def app_from_environment() -> FastAPI:
    """The application for ``uvicorn --factory``; what a person needs to know is printed once it answers."""
    settings = load_settings()
    configure_logging(level=settings.log_level, as_json=settings.log_json)

    def on_ready(admin: FirstAdmin | None) -> None:
        keep_what_is_there()
        _greet(settings, admin)

    return create_app(settings, on_ready=on_ready)


def _greet(settings: Settings, admin: FirstAdmin | None) -> None:
    kept = settings.data_dir / "first-password"
    if admin and admin.password:
        handle = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as password_file:
            password_file.write(f"{admin.email}\n{admin.password}\n")
    lines = [f"Parcela answers on http://{settings.listen_host}:{settings.listen_port}"]
    if kept.exists():
        email, password = kept.read_text().splitlines()[:2]
        lines += [f"  administrator  {email}", f"  password       {password}   (the first one, kept in {kept})"]
    if settings.hypervisor is Hypervisor.SIMULATED:
        lines.append("  hypervisor     SIMULATED: nothing real runs")
    print("\n" + "\n".join(lines) + "\n", flush=True)  # noqa: T201 (for the person at the terminal, never a log)


def version() -> str:
    """Version of the installed package."""
    return installed_version("parcela")
