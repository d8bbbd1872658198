"""What a fresh installation gets at its first start, and every installation at each start. Idempotent."""

import math
import os
import secrets
from dataclasses import dataclass

import structlog

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.core.passwords import PasswordHasher
from parcela.core.permissions import ADMIN_ROLE
from parcela.core.settings import Hypervisor, Settings
from parcela.core.topology.document import dump_document
from parcela.core.topology.references import resolve
from parcela.core.topology.sample import sample_topology
from parcela.models import Host, Template, TemplateVersion, Zone
from parcela.repositories.uow import UnitOfWork, UnitOfWorkFactory
from parcela.services.access import SYSTEM
from parcela.services.catalogue.images import ImageService
from parcela.services.catalogue.snapshot import load_catalogue
from parcela.services.identity.users import NewUser, UserService

log = structlog.get_logger(__name__)
SAMPLE_NAME = "First lab"
SAMPLE_TEXT = "A client and a server that reach each other through a router, and a machine of its own with internet."
LOCAL_ZONE = "local"
SIMULATED_SIZE = (16, 65536, 1000)


@dataclass(frozen=True, slots=True)
class FirstAdmin:
    """The administrator made by this start; ``password`` is None when it came from the settings."""

    email: str
    password: str | None


class Bootstrap:
    """Fills an empty installation."""

    def __init__(
        self,
        uows: UnitOfWorkFactory,
        settings: Settings,
        hasher: PasswordHasher,
        users: UserService,
        images: ImageService,
    ) -> None:
        """Take the collaborators."""
        self._users = users
        self._uows = uows
        self._settings = settings
        self._hasher = hasher
        self._images = images

    async def run(self) -> FirstAdmin | None:
        """Make what is missing; the administrator, if this start made one."""
        admin = await self._admin()
        try:
            await self._furnish()
        except ParcelaError as exc:
            # A disk that is full: what is there can be looked at, and the next start makes what is missing.
            if exc.kind is not ErrorKind.NO_CAPACITY:
                raise
            log.error("bootstrap.postponed", reason=exc.message, internal=exc.internal)  # noqa: TRY400 (no crash)
        return admin

    async def _furnish(self) -> None:
        async with self._uows.write() as uow:
            zone = await self._zone(uow)
            await self._hosts(uow, zone)
            await uow.commit()
        await self._images.remove_unreferenced()
        async with self._images.publishing(), self._uows.write() as uow:
            if await self._images.register_bundled(uow, self._settings.guest_dir) is not None:
                await self._sample(uow)
            await uow.commit()

    async def _admin(self) -> FirstAdmin | None:
        async with self._uows.read() as uow:
            if await uow.users.count():
                return None
        given = self._settings.admin_password
        password = given.get_secret_value() if given else secrets.token_urlsafe(12)
        hashed = await self._hasher.hash(password)  # slow: outside of the transaction
        email = self._settings.admin_email.lower()
        async with self._uows.write() as uow:
            if await uow.users.count():
                return None  # another replica was faster
            new = NewUser(
                email=email,
                username="admin",
                password_hash=hashed,
                full_name="Administrator",
                role=ADMIN_ROLE,
                is_superuser=True,
            )
            await self._users.create(uow, SYSTEM, new)
            await uow.commit()
        return FirstAdmin(email, None if given else password)

    async def _zone(self, uow: UnitOfWork) -> Zone:
        provider = self._settings.hypervisor.value
        zones = [zone for zone in await uow.zones.all() if zone.name == LOCAL_ZONE or provider == zone.provider]
        if zones:  # perhaps under another name: then it is the first that such a start has made
            return min(zones, key=lambda zone: (zone.name != LOCAL_ZONE, zone.id))
        text = "This machine" if provider == Hypervisor.LIBVIRT.value else "Simulated hosts: nothing real runs here"
        return await uow.zones.add(Zone(name=LOCAL_ZONE, description=text, provider=provider, created_at=uow.clock()))

    async def _hosts(self, uow: UnitOfWork, zone: Zone) -> None:
        if await uow.hosts.in_zone(zone.id):
            return
        if zone.provider == Hypervisor.SIMULATED.value:
            for number in range(1, self._settings.simulated_hosts + 1):
                await uow.hosts.add(_host(f"sim-{number}", zone.id, SIMULATED_SIZE, uow))
        else:
            await uow.hosts.add(_host("local", zone.id, _this_machine(), uow))

    async def _sample(self, uow: UnitOfWork) -> None:
        admins = await uow.users.all()
        if await uow.templates.all() or not admins:
            return
        now = uow.clock()
        template = await uow.templates.add(
            Template(
                name=SAMPLE_NAME,
                description=SAMPLE_TEXT,
                owner_id=admins[0].id,
                visibility="public",
                version=1,
                created_at=now,
                updated_at=now,
            )
        )
        topology = sample_topology()
        version = TemplateVersion(
            template_id=template.id,
            version=1,
            document=dump_document(topology),
            created_by=admins[0].id,
            created_at=now,
        )
        await uow.templates.add_version(version)
        references = resolve(topology, await load_catalogue(uow, SYSTEM))
        await uow.template_references.add_all(version.id, references)


def _this_machine() -> tuple[int, int, int]:
    """(processors, MiB, GiB) until the driver says better."""
    pages, page_bytes = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return os.cpu_count() or 1, pages * page_bytes // 1048576, 1


def _host(name: str, zone_id: int, size: tuple[int, int, int], uow: UnitOfWork) -> Host:
    vcpus, memory_mib, disk_gib = size
    return Host(
        name=name,
        zone_id=zone_id,
        vcpus=vcpus,
        memory_mib=memory_mib,
        disk_gib=disk_gib,
        cpu_overcommit=8.0,
        memory_overcommit=1.0,
        disk_overcommit=4.0,
        vcpus_limit=math.floor(vcpus * 8.0),
        memory_limit_mib=memory_mib,
        disk_limit_gib=math.floor(disk_gib * 4.0),
        facts={},
        created_at=uow.clock(),
    )
