"""What a test installation has from the start: people, a zone, an image, templates. Hosts come with each lab."""

from datetime import UTC, datetime
from typing import Any

from parcela.core.lifecycle import HostState
from parcela.core.passwords import PasswordHasher
from parcela.core.permissions import ADMIN_ROLE, CLIENT_PERMISSIONS, CLIENT_ROLE
from parcela.db.database import Database
from parcela.models import Host, Image, Template, TemplateVersion, User, Zone
from parcela.repositories.uow import UnitOfWork, UnitOfWorkFactory
from parcela.services.access import Caller

PASSWORD = "correct horse battery"
ROUNDS = 4  # the least bcrypt takes
STUDENTS = 20
ADMIN_ID, ALICE_ID = 1, 2
ADMIN = Caller(ADMIN_ID, "admin", ADMIN_ROLE, frozenset({"*"}), is_superuser=True)
READY = "PARCELA READY"
ZONE = "local"
_THEN = datetime(2030, 1, 1, tzinfo=UTC)


def student(number: int = 0) -> Caller:
    """One of the ``STUDENTS``; the first is alice."""
    name = "alice" if number == 0 else f"student{number}"
    return Caller(ALICE_ID + number, name, CLIENT_ROLE, frozenset(CLIENT_PERMISSIONS))


ALICE = student()
BOB = student(1)


def vm(name: str, **facts: Any) -> dict[str, Any]:
    """A VM of a template document."""
    return {"name": name, "image": "tiny", "flavour": "tiny"} | facts


DOCUMENTS: dict[str, dict[str, Any]] = {
    # Every kind of segment, and everything a plan has edges for, in two VMs.
    "pair": {
        "vms": [vm("web", public_access=True), vm("db")],
        "networks": [{"name": "lan"}],
        "edges": [
            {
                "name": "cable",
                "a": {"vm": "web", "address": "10.0.1.1/24"},
                "b": {"vm": "db", "address": "10.0.1.2/24"},
            },
            {"a": {"vm": "web", "address": "10.0.2.1/24"}, "b": {"network": "lan"}},
            {"a": {"vm": "db", "address": "10.0.2.2/24"}, "b": {"network": "lan"}},
        ],
    },
    "duo": {"vms": [vm("left"), vm("right")]},
    "single": {"vms": [vm("solo")]},
    "chain": {
        "vms": [vm("one"), vm("two"), vm("three")],
        "edges": [{"a": {"vm": "one"}, "b": {"vm": "two"}}, {"a": {"vm": "two"}, "b": {"vm": "three"}}],
    },
}
TEMPLATE_IDS = {name: number for number, name in enumerate(DOCUMENTS, start=1)}


async def furnish(url: str) -> None:
    """Fill a migrated database."""
    database = Database(url)
    hasher = PasswordHasher(ROUNDS)
    try:
        hashed = await hasher.hash(PASSWORD)
        async with UnitOfWorkFactory(database, lambda: _THEN).write() as uow:
            await _people(uow, hashed)
            await uow.zones.add(Zone(name=ZONE, provider="simulated", created_at=_THEN))
            await uow.images.add(_image())
            for name, document in DOCUMENTS.items():
                await _template(uow, name, document)
            await uow.commit()
    finally:
        hasher.close()
        await database.aclose()


async def _people(uow: UnitOfWork, hashed: str) -> None:
    roles = {role.name: role.id for role in await uow.roles.all()}
    for caller in (ADMIN, *(student(number) for number in range(STUDENTS))):
        await uow.users.add(
            User(
                id=caller.user_id,
                email=f"{caller.username}@lab.example",
                username=caller.username,
                password_hash=hashed,
                role_id=roles[caller.role],
                is_superuser=caller.is_superuser,
                created_at=_THEN,
            )
        )


def _image() -> Image:
    return Image(
        name="tiny",
        format="qcow2",
        sha256="0" * 64,
        size_bytes=1,
        virtual_size_bytes=1024**3,
        visibility="public",
        path="",  # no file: only simulated hosts boot it
        ready_marker=READY,
        created_at=_THEN,
    )


async def _template(uow: UnitOfWork, name: str, document: dict[str, Any]) -> None:
    row = Template(name=name, owner_id=ADMIN_ID, visibility="public", version=1, created_at=_THEN, updated_at=_THEN)
    row.id = TEMPLATE_IDS[name]
    await uow.templates.add(row)
    await uow.templates.add_version(
        TemplateVersion(template_id=row.id, version=1, document=document, created_by=ADMIN_ID, created_at=_THEN)
    )


def host_row(name: str, zone_id: int, *, vcpus: int, memory_mib: int, disk_gib: int) -> Host:
    """A host without overcommit, as an administrator would add it."""
    return Host(
        name=name,
        zone_id=zone_id,
        state=HostState.UP.value,
        vcpus=vcpus,
        memory_mib=memory_mib,
        disk_gib=disk_gib,
        cpu_overcommit=1.0,
        memory_overcommit=1.0,
        disk_overcommit=1.0,
        vcpus_limit=vcpus,
        memory_limit_mib=memory_mib,
        disk_limit_gib=disk_gib,
        facts={},
        created_at=_THEN,
    )
