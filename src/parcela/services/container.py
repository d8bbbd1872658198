"""Everything an edge may call, built once by a composition root."""

from dataclasses import dataclass

from parcela.core.clock import Clock
from parcela.core.settings import Settings
from parcela.repositories.uow import UnitOfWorkFactory
from parcela.services.consoles import ConsoleService
from parcela.services.data_folder import DataFolder
from parcela.services.drivers import HostDrivers
from parcela.services.event_hub import EventHub
from parcela.services.events import EventService
from parcela.services.flavours import FlavourService
from parcela.services.health import HealthService
from parcela.services.hosts import HostService
from parcela.services.idempotency import IdempotencyService
from parcela.services.identity.services import IdentityServices
from parcela.services.images import ImageService
from parcela.services.inventory import Inventory
from parcela.services.invitations import InvitationService
from parcela.services.observing import Observing
from parcela.services.operations.requests import OperationService
from parcela.services.projects import ProjectService
from parcela.services.rate_limits import RateLimiter
from parcela.services.reports.service import ReportService
from parcela.services.retries import RetryService
from parcela.services.slices import SliceService
from parcela.services.stores import Stores
from parcela.services.templates import TemplateService
from parcela.services.traffic import Traffic
from parcela.services.vms import VmService
from parcela.services.zones import ZoneService


@dataclass(frozen=True)
class Services(IdentityServices):
    """The services of a process; all of them are safe for concurrent use and hold no truth."""

    settings: Settings
    clock: Clock
    uows: UnitOfWorkFactory
    drivers: HostDrivers
    hub: EventHub
    flavours: FlavourService
    images: ImageService
    zones: ZoneService
    hosts: HostService
    templates: TemplateService
    projects: ProjectService
    invitations: InvitationService
    slices: SliceService
    vms: VmService
    operations: OperationService
    retries: RetryService
    reports: ReportService
    consoles: ConsoleService
    events: EventService
    idempotency: IdempotencyService
    data_folder: DataFolder
    health: HealthService
    observing: Observing
    inventory: Inventory
    stores: Stores
    rate_limits: RateLimiter
    traffic: Traffic
