"""Everything an edge may call, built once by a composition root."""

from dataclasses import dataclass

from parcela.core.clock import Clock
from parcela.core.settings import Settings
from parcela.repositories.uow import UnitOfWorkFactory
from parcela.services.catalogue.flavours import FlavourService
from parcela.services.catalogue.images import ImageService
from parcela.services.catalogue.zones import ZoneService
from parcela.services.compute.consoles.consoles import ConsoleService
from parcela.services.compute.drivers import HostDrivers
from parcela.services.compute.hosts import HostService
from parcela.services.compute.retries import RetryService
from parcela.services.compute.slices import SliceService
from parcela.services.compute.templates import TemplateService
from parcela.services.compute.vms import VmService
from parcela.services.events.hub import EventHub
from parcela.services.events.streams import EventService
from parcela.services.idempotency import IdempotencyService
from parcela.services.identity.services import IdentityServices
from parcela.services.inventory.services import Inventory
from parcela.services.observability.data_folder import DataFolder
from parcela.services.observability.health import HealthService
from parcela.services.observing import Observing
from parcela.services.operations.operations import OperationService
from parcela.services.projects.invitations import InvitationService
from parcela.services.projects.projects import ProjectService
from parcela.services.rate_limits import RateLimiter
from parcela.services.reports.service import ReportService
from parcela.services.stores import Stores
from parcela.services.traffic.traffic import Traffic


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
