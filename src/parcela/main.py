"""Composition root of the API: settings -> FastAPI application. Every object is built here, none at import."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.middleware.gzip import GZipMiddleware
from starlette.middleware.cors import CORSMiddleware

from parcela.api.app import QUICK_LISTS, Application, include_api
from parcela.api.compat.cloud.caller import get_cloud_caller
from parcela.api.compat.siglab.caller import get_siglab_caller
from parcela.api.dependencies.caller import get_current_user
from parcela.api.fast_lists.cache import CACHED_LISTS, CachedLists, ListCache
from parcela.api.fast_lists.direct import QuickLists
from parcela.api.middleware.answers import AnswerRules
from parcela.api.middleware.forwarded import Forwarded
from parcela.api.middleware.request_context import EXPOSED_HEADERS, BodyLimit, EntityTags, RequestContext
from parcela.api.middleware.unfinished_bodies import UnfinishedBodies
from parcela.api.rate_limits import RateLimits
from parcela.api.traffic import TRAFFIC, watching
from parcela.api.turns import TURNS, UNFINISHED_AT_ONCE, UNFINISHED_MOST, HandshakeTurns, Turns
from parcela.core.clock import Clock, utc_now
from parcela.core.collector import keep_what_is_there
from parcela.core.disks import is_storage_trouble
from parcela.core.errors import ParcelaError
from parcela.core.logs import configure_logging
from parcela.core.passwords import PasswordHasher
from parcela.core.private_files import close_data_folder, write_private
from parcela.core.settings import Hypervisor, Settings, load_settings
from parcela.core.sites import listening_site
from parcela.db.database import Database, ProcessLock
from parcela.repositories.uow import UnitOfWorkFactory
from parcela.services.bootstrap import Bootstrap, FirstAdmin
from parcela.services.compute.drivers import HostDrivers
from parcela.services.container import Services
from parcela.services.events.relay import Relay, sharing
from parcela.services.identity.presence import Presence
from parcela.services.observability.metrics import Metrics
from parcela.services.signals import Signal
from parcela.services.stores import Stores
from parcela.web.app import include_web
from parcela.web.dependencies.caller import get_reader
from parcela.wiring.drivers import RegistryFactory, default_registry
from parcela.wiring.process_gauges import watch_process
from parcela.wiring.services import Listener, build_services, nobody, to_all
from parcela.wiring.workers import Workers, build_workers

log = structlog.get_logger(__name__)
API_VERSION = "1"


def _make_data_folder(folder: Path) -> None:
    """Tokens' hashes, disks and consoles' logs are nobody else's business; QEMU's user has to pass through."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711)
    close_data_folder(folder)


async def _drop_leases(uows: UnitOfWorkFactory) -> None:
    """We hold the lock of the only process, so whoever held them is dead. On a full disk they run out by themselves."""
    try:
        async with uows.write() as uow:
            await uow.operations.drop_all_leases()
            await uow.commit()
    except ParcelaError as exc:
        if not is_storage_trouble(exc):
            raise


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
    listen: Listener = nobody,
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
        uows = UnitOfWorkFactory(database, clock, stores.outside, settings.day_zone)
        async with uows.read() as uow:
            installation = await uow.installation()
        if database.is_sqlite:
            await _drop_leases(uows)
        await stores.open(installation)
        drivers = HostDrivers(registry_factory(settings, installation))
        stack.push_async_callback(drivers.aclose)
        hasher = PasswordHasher(strangers_waiting=settings.strangers_waiting)
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
        stack.push_async_callback(services.observing.audit.aclose)
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


def add_middleware(app: FastAPI, settings: Settings, metrics: Metrics) -> None:
    """Put the middleware around the routes: the last one is the outermost."""
    app.add_middleware(HandshakeTurns)
    app.add_middleware(QuickLists, lists=QUICK_LISTS)
    app.add_middleware(BodyLimit, max_body_bytes=settings.max_body_bytes)
    callers: frozenset[Callable[..., Any]]
    callers = frozenset({get_current_user, get_cloud_caller, get_siglab_caller, get_reader})
    app.add_middleware(UnfinishedBodies, callers=callers)
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
    app.add_middleware(AnswerRules, settings=settings)
    app.add_middleware(RequestContext, server_id=settings.public_server_id, metrics=metrics)
    if settings.trusted_proxies:
        app.add_middleware(Forwarded, trusted=settings.trusted_proxies)


def create_app(
    settings: Settings,
    registry_factory: RegistryFactory = default_registry,
    *,
    clock: Clock = utc_now,
    on_ready: Callable[[FirstAdmin | None], None] = lambda _admin: None,
) -> FastAPI:
    """The application; its lifespan opens and closes everything else."""
    metrics = Metrics(settings.server_name)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
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
            async with watching(services.traffic.connections):
                yield {TRAFFIC: services.traffic, TURNS: Turns(UNFINISHED_AT_ONCE, UNFINISHED_MOST)}

    app = Application(
        title="Parcela",
        summary="A self-hosted lab cloud",
        version=API_VERSION,  # of the document; strangers read it, and ours names the holes that are known
        lifespan=lifespan,
        docs_url=None,  # both ask other hosts for scripts; the pages have their own
        redoc_url=None,
    )
    include_api(app)
    include_web(app)
    add_middleware(app, settings, metrics)
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
        write_private(kept, f"{admin.email}\n{admin.password}\n".encode())
    lines = [f"Parcela answers on {listening_site(settings.listen_host, settings.listen_port)}"]
    if kept.exists():
        email, password = kept.read_text().splitlines()[:2]
        lines += [f"  administrator  {email}", f"  password       {password}   (the first one, kept in {kept})"]
    if settings.hypervisor is Hypervisor.SIMULATED:
        lines.append("  hypervisor     SIMULATED: nothing real runs")
    print("\n" + "\n".join(lines) + "\n", flush=True)  # noqa: T201 (for the person at the terminal, never a log)
