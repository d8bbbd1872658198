"""Flavours: named sizes. VMs keep the size they were made with, so a flavour may be changed or removed at any time.

Templates refer to them by id: a rename breaks none, and a removal that would has to be asked for with ``force``.
"""

from collections.abc import Callable
from typing import Any

from parcela.core.permissions import Permission
from parcela.core.topology.references import ReferenceKind
from parcela.models import Flavour
from parcela.repositories.paging import Page, PageRequest
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork
from parcela.services.access import Caller
from parcela.services.catalogue.rules import check_fields
from parcela.services.catalogue.template_users import note_removal, refuse_used, release_name
from parcela.services.changes import assign

INVALID = "flavour_invalid"


class FlavourService:
    """Reads with ``catalogue:read``, writes with ``catalogue:write``."""

    async def page(self, uow: ReadUnitOfWork, caller: Caller, request: PageRequest, *, name: str | None = None) -> Page:
        """Flavours, perhaps only the one of a name."""
        caller.require(Permission.CATALOGUE_READ)
        return await uow.flavours.page(request, name=name)

    async def get(self, uow: ReadUnitOfWork, caller: Caller, flavour_id: int) -> Flavour:
        """One flavour."""
        caller.require(Permission.CATALOGUE_READ)
        return await uow.flavours.get(flavour_id)

    async def create(
        self, uow: UnitOfWork, caller: Caller, *, name: str, vcpus: int, memory_mib: int, disk_gib: int
    ) -> Flavour:
        """Add a flavour: 1..128 vCPUs, 64..1048576 MiB, 1..16384 GiB.

        Raises:
            ParcelaError: ``conflict`` ``flavour_exists`` when the name is taken.
        """
        caller.require(Permission.CATALOGUE_WRITE)
        sizes = {"vcpus": vcpus, "memory_mib": memory_mib, "disk_gib": disk_gib}
        check_fields(Flavour, INVALID, {"name": name, **sizes})
        flavour = await uow.flavours.add(Flavour(name=name, **sizes, created_at=uow.clock()))
        uow.add_event("flavour.created", actor_id=caller.user_id, data={"id": flavour.id, "name": name})
        return flavour

    async def update(
        self,
        uow: UnitOfWork,
        caller: Caller,
        flavour_id: int,
        changes: dict[str, Any],
        check: Callable[[Flavour], None] = lambda _: None,
    ) -> Flavour:
        """Change some of name, vcpus, memory_mib and disk_gib; ``check`` sees the locked row first."""
        caller.require(Permission.CATALOGUE_WRITE)
        flavour = await uow.flavours.lock(flavour_id)
        check(flavour)
        check_fields(Flavour, INVALID, changes)
        if changes.get("name", flavour.name) != flavour.name:
            await release_name(uow, ReferenceKind.FLAVOUR, flavour.name, flavour_id)
        if not assign(flavour, changes):
            return flavour
        await uow.flush()  # a name that is taken is an error of this call
        uow.add_event("flavour.updated", actor_id=caller.user_id, data={"id": flavour_id, "name": flavour.name})
        return flavour

    async def delete(
        self,
        uow: UnitOfWork,
        caller: Caller,
        flavour_id: int,
        check: Callable[[Flavour], None] = lambda _: None,
        *,
        force: bool = False,
    ) -> None:
        """Remove a flavour; VMs made with it stay as they are.

        ``force``: although templates use it, which cannot be launched any more then.

        Raises:
            ParcelaError: ``conflict`` ``flavour_in_use``, with the templates that the caller may see.
        """
        caller.require(Permission.CATALOGUE_WRITE)
        flavour = await uow.flavours.lock(flavour_id)
        check(flavour)
        name = flavour.name
        await release_name(uow, ReferenceKind.FLAVOUR, name, flavour_id)
        if not force:
            await refuse_used(uow, caller, ReferenceKind.FLAVOUR, name, flavour_id)
        await note_removal(uow, ReferenceKind.FLAVOUR, name, flavour_id)
        await uow.flavours.delete(flavour)
        uow.add_event("flavour.deleted", actor_id=caller.user_id, data={"id": flavour_id, "name": name})
