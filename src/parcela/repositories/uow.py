"""The unit of work: one session, all repositories, one commit.

Only edges and workers commit (DESIGN 11.2). Events are collected and written last, so that their numbers follow the
order of commits; after the commit they go to the streams, and hooks (wake the engine) run.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, tzinfo
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from parcela.core.clock import Clock, utc_now
from parcela.core.errors import ErrorKind, ParcelaError
from parcela.core.origin import Origin, current_origin
from parcela.db.constraints import is_lost, is_transient, translation
from parcela.db.database import Database
from parcela.db.storage import StorageWatch, storage_trouble
from parcela.models import Installation
from parcela.repositories.attachments import AttachmentRepository
from parcela.repositories.audit import AuditRepository
from parcela.repositories.audit_trail import Changes, entries_of
from parcela.repositories.catalogue import FlavourRepository, ImageRepository, ZoneRepository
from parcela.repositories.consoles import ConsoleTicketRepository
from parcela.repositories.events import EventRecord, EventRepository
from parcela.repositories.hosts import HostRepository
from parcela.repositories.idempotency import IdempotencyRepository
from parcela.repositories.identity import (
    ExternalIdentityRepository,
    KnownAddressRepository,
    PasswordResetRepository,
    SecondFactorRepository,
)
from parcela.repositories.image_space import ImageSpaceRepository
from parcela.repositories.invitations import InvitationRepository
from parcela.repositories.machine_hosts import MachineHostRepository, OpenMaintenanceRepository
from parcela.repositories.machines import MachineRepository
from parcela.repositories.mail import OutboxRepository
from parcela.repositories.maintenance.external_sync import (
    ChangeRepository,
    Outside,
    OutsideActivity,
    OutsideMaintenance,
)
from parcela.repositories.maintenance.location import PlaceRepository
from parcela.repositories.maintenance.sql import SqlActivityStore, SqlMaintenanceStore
from parcela.repositories.maintenance.store import ActivityStore, MaintenanceStore
from parcela.repositories.maintenance_plans import MaintenancePlanRepository
from parcela.repositories.operations import OperationRepository
from parcela.repositories.projects import ProjectRepository
from parcela.repositories.quotas import QuotaRepository
from parcela.repositories.refusals import RefusalRepository
from parcela.repositories.retention import RetentionRepository
from parcela.repositories.roles import RoleRepository
from parcela.repositories.segments import SegmentRepository
from parcela.repositories.slices import SliceRepository
from parcela.repositories.statistics import StatisticsRepository
from parcela.repositories.template_references import TemplateReferenceRepository
from parcela.repositories.templates import TemplateRepository
from parcela.repositories.token_counts import TokenCounts
from parcela.repositories.tokens import TokenRepository
from parcela.repositories.users import UserRepository
from parcela.repositories.vms import VmRepository
from parcela.repositories.webhooks import WebhookDeliveryRepository, WebhookRepository


class ReadUnitOfWork:
    """Repositories for reading."""

    maintenance: MaintenanceStore
    activity: ActivityStore

    def __init__(
        self, session: AsyncSession, clock: Clock, outside: Outside | None = None, zone: tzinfo | None = UTC
    ) -> None:
        """Make the repositories of a session.

        Args:
            session: an open one.
            clock: gives the time.
            outside: where maintenance records are, when not in the database.
            zone: the zone whose days count; None: the machine's.
        """
        self._session = session
        self.clock = clock
        self.zone = zone
        self.users = UserRepository(session, clock)
        self.roles = RoleRepository(session, clock)
        self.tokens = TokenRepository(session, clock)
        self.token_counts = TokenCounts(session, clock)
        self.flavours = FlavourRepository(session, clock)
        self.images = ImageRepository(session, clock)
        self.image_space = ImageSpaceRepository(session, clock)
        self.zones = ZoneRepository(session, clock)
        self.hosts = HostRepository(session, clock)
        self.templates = TemplateRepository(session, clock)
        self.template_references = TemplateReferenceRepository(session, clock)
        self.projects = ProjectRepository(session, clock)
        self.invitations = InvitationRepository(session, clock)
        self.quotas = QuotaRepository(session, clock)
        self.slices = SliceRepository(session, clock)
        self.segments = SegmentRepository(session, clock)
        self.vms = VmRepository(session, clock)
        self.operations = OperationRepository(session, clock)
        self.events = EventRepository(session)
        self.audit = AuditRepository(session)
        self.refusals = RefusalRepository(session)
        self.retention = RetentionRepository(session)
        self.webhooks = WebhookRepository(session, clock)
        self.webhook_deliveries = WebhookDeliveryRepository(session, clock)
        self.statistics = StatisticsRepository(session, clock)
        self.idempotency = IdempotencyRepository(session, clock)
        self.console_tickets = ConsoleTicketRepository(session, clock)
        self.machines = MachineRepository(session, clock)
        self.machine_hosts = MachineHostRepository(session, clock)
        self.open_maintenance = OpenMaintenanceRepository(session, clock)
        self.maintenance_plans = MaintenancePlanRepository(session, clock)
        self.attachments = AttachmentRepository(session, clock)
        self.maintenance_changes = ChangeRepository(session, clock)
        self.maintenance_place = PlaceRepository(session)
        self.waiting_activity = SqlActivityStore(session)
        self.maintenance = outside.records if outside else SqlMaintenanceStore(session)
        self.activity = OutsideActivity(outside.activity, self.waiting_activity) if outside else self.waiting_activity
        self.second_factors = SecondFactorRepository(session, clock)
        self.external_identities = ExternalIdentityRepository(session, clock)
        self.known_addresses = KnownAddressRepository(session, clock)
        self.password_resets = PasswordResetRepository(session, clock)
        self.outbox = OutboxRepository(session, clock)

    def today(self) -> date:
        """The day in the zone whose days count."""
        return self.clock().astimezone(self.zone).date()

    async def installation(self) -> str:
        """The id that marks what is ours on hypervisors; written by the migrations."""
        return (await self._session.execute(select(Installation.uuid).order_by(Installation.id).limit(1))).scalar_one()


class UnitOfWork(ReadUnitOfWork):
    """One transaction: all of it happens, or nothing."""

    def __init__(
        self,
        session: AsyncSession,
        clock: Clock,
        publish: Callable[[Sequence[EventRecord]], None] | None,
        outside: Outside | None = None,
        origin: Callable[[], Origin | None] = current_origin,
        share: Callable[[Sequence[EventRecord]], Awaitable[None]] | None = None,
        zone: tzinfo | None = UTC,
    ) -> None:
        """Begin with an open write session; ``origin`` says on whose behalf, when it is committed."""
        super().__init__(session, clock, outside, zone)
        self._publish = publish
        self._share = share
        self._outside = OutsideMaintenance(outside.records, self.maintenance_changes) if outside else None
        if self._outside:
            self.maintenance = self._outside
        self._origin = origin
        self._changes = Changes(session)
        self._notes: list[dict[str, Any]] = []
        self._events: list[EventRecord] = []
        self._hooks: list[Callable[[], None]] = []
        self.committed = False

    def add_event(self, event_type: str, **facts: Any) -> None:
        """Note an event of this unit of work; the keywords are fields of EventRecord."""
        self._events.append(EventRecord(type=event_type, at=self.clock(), **facts))

    def note(self, action: str, **columns: Any) -> None:
        """Add an entry to the audit trail that no event stands for; the keywords are columns of AuditEntry."""
        self._notes.append({"action": action, **columns})

    def after_commit(self, hook: Callable[[], None]) -> None:
        """Run something once the commit is done. Losing it must be harmless (DESIGN 4.3)."""
        self._hooks.append(hook)

    async def flush(self) -> None:
        """Send pending changes; the reason belongs into a comment at the call."""
        with _translated():
            await self._session.flush()

    async def commit(self) -> None:
        """Write the audit trail and the events, commit, then publish and run the hooks."""
        numbered: list[EventRecord] = []
        with _translated():
            await self._session.flush()  # constraint errors first: the event counter's lock is taken last
            await self._audit()
            if self._events:
                numbered = await self.events.append(self._events)
            if self._outside:
                await self._outside.agree()
            await self._session.commit()
        self.committed = True
        self._events.clear()
        self._notes.clear()
        self._changes.clear()
        if self._outside:
            await self._outside.committed()
        if self._publish and numbered:
            self._publish(numbered)
        hooks, self._hooks = self._hooks, []
        for hook in hooks:
            hook()
        if self._share and numbered:
            await self._share(numbered)

    async def _audit(self) -> None:
        origin = self._origin()
        entries = entries_of(self._events, self._notes, self._changes, origin, self.clock())
        if not entries:
            return
        for entry in entries:
            if entry["actor_id"] and not entry["actor_name"]:
                entry["actor_name"] = await self.audit.username(entry["actor_id"])
        await self.audit.append(entries)

    async def rollback(self) -> None:
        """Forget everything."""
        self._events.clear()
        self._notes.clear()
        self._changes.clear()
        self._hooks.clear()
        await self._session.rollback()
        await self.aclose()

    async def aclose(self) -> None:
        """Forget what was noted outside the database and never committed."""
        if self._outside:
            await self._outside.abandoned()


class _translated:  # noqa: N801 (used like a function)
    """Database errors -> ours. Transient ones pass, so that workers can repeat the whole unit of work."""

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, exc_type: object, exc: BaseException | None, traceback: object) -> None:
        """Translate."""
        translated = None if exc is None else translation(exc)
        if translated is not None:
            raise translated from exc


class UnitOfWorkFactory:
    """Opens units of work on a database."""

    def __init__(
        self,
        database: Database,
        clock: Clock = utc_now,
        outside: Outside | None = None,
        zone: tzinfo | None = UTC,
    ) -> None:
        """Take the database, the stores outside it, and the zone whose days count (None: the machine's).

        Streams are attached with ``publish_to``.
        """
        self.database = database
        self.zone = zone
        self.outside = outside
        self.clock = clock
        self.storage = StorageWatch()
        self._publish: Callable[[Sequence[EventRecord]], None] | None = None
        self._share: Callable[[Sequence[EventRecord]], Awaitable[None]] | None = None

    def publish_to(self, publish: Callable[[Sequence[EventRecord]], None]) -> None:
        """Hand committed events to the streams of this process."""
        self._publish = publish

    def share_with(self, share: Callable[[Sequence[EventRecord]], Awaitable[None]]) -> None:
        """Tell other processes of committed events, before the writer gets its answer; it must not raise."""
        self._share = share

    @asynccontextmanager
    async def read(self) -> AsyncIterator[ReadUnitOfWork]:
        """For reading: statements stand alone, nothing is locked."""
        with _connected(self.storage):
            async with self.database.read_session() as session:
                yield ReadUnitOfWork(session, self.clock, self.outside, self.zone)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[UnitOfWork]:
        """For writing: rolled back unless ``commit`` was called."""
        with _connected(self.storage):
            async with self.database.write_session() as session:
                uow = UnitOfWork(session, self.clock, self._publish, self.outside, share=self._share, zone=self.zone)
                try:
                    with _translated():
                        yield uow
                finally:
                    await uow.aclose()
                    if uow.committed:
                        self.storage.written()


class _connected:  # noqa: N801 (used like a function)
    """A lost database, or one that asks for a repeat -> ``unavailable``; ``is_transient`` knows the second again.

    One that cannot write (its disk is full) -> ``no_capacity``, whose sentence says what is full.
    """

    def __init__(self, storage: StorageWatch) -> None:
        """Take who notes that the database cannot write."""
        self._storage = storage

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, exc_type: object, exc: BaseException | None, traceback: object) -> None:
        """Translate."""
        trouble = storage_trouble(exc)
        if trouble is not None:
            self._storage.failed(trouble)
            raise trouble from exc
        if is_lost(exc):
            raise ParcelaError(
                ErrorKind.UNAVAILABLE,
                "database_unavailable",
                "The database does not answer; try again in a moment.",
                internal=str(exc),
                retry_after_s=2,
            ) from exc
        if exc is not None and not isinstance(exc, ParcelaError) and is_transient(exc):
            raise ParcelaError(
                ErrorKind.UNAVAILABLE,
                "database_conflict",
                "Others changed the same at the same moment, and nothing was changed by this request; try again.",
                internal=str(exc),
                retry_after_s=1,
            ) from exc
