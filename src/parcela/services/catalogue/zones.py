"""Availability zones: named sets of hosts with one provider."""

from collections.abc import Callable
from typing import Any

from parcela.core.errors import Problem, conflict
from parcela.core.permissions import Permission
from parcela.models import Zone
from parcela.repositories.paging import Page, PageRequest
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork
from parcela.services.access import Caller
from parcela.services.catalogue.rules import check_fields
from parcela.services.changes import assign

INVALID = "zone_invalid"


class ZoneService:
    """Reads with ``catalogue:read``, writes with ``catalogue:write``."""

    async def page(
        self,
        uow: ReadUnitOfWork,
        caller: Caller,
        request: PageRequest,
        *,
        name: str | None = None,
        provider: str | None = None,
    ) -> Page:
        """Zones, perhaps only those of a name or provider."""
        caller.require(Permission.CATALOGUE_READ)
        return await uow.zones.page(request, name=name, provider=provider)

    async def get(self, uow: ReadUnitOfWork, caller: Caller, zone_id: int) -> Zone:
        """One zone."""
        caller.require(Permission.CATALOGUE_READ)
        return await uow.zones.get(zone_id)

    async def create(self, uow: UnitOfWork, caller: Caller, *, name: str, provider: str, description: str = "") -> Zone:
        """Add a zone.

        Raises:
            ParcelaError: ``conflict`` ``zone_exists`` when the name is taken.
        """
        caller.require(Permission.CATALOGUE_WRITE)
        fields = {"name": name, "provider": provider, "description": description}
        check_fields(Zone, INVALID, fields)
        zone = await uow.zones.add(Zone(**fields, created_at=uow.clock()))
        uow.add_event("zone.created", actor_id=caller.user_id, data={"id": zone.id, "name": name})
        return zone

    async def update(
        self,
        uow: UnitOfWork,
        caller: Caller,
        zone_id: int,
        changes: dict[str, Any],
        check: Callable[[Zone], None] = lambda _: None,
    ) -> Zone:
        """Change name or description; ``check`` sees the locked row first. The provider of a zone never changes."""
        caller.require(Permission.CATALOGUE_WRITE)
        zone = await uow.zones.lock(zone_id)
        check(zone)
        check_fields(Zone, INVALID, changes)
        if not assign(zone, changes):
            return zone
        await uow.flush()  # a name that is taken is an error of this call
        uow.add_event("zone.updated", actor_id=caller.user_id, data={"id": zone_id, "name": zone.name})
        return zone

    async def delete(
        self, uow: UnitOfWork, caller: Caller, zone_id: int, check: Callable[[Zone], None] = lambda _: None
    ) -> None:
        """Remove a zone that has no host and never had a slice or VM.

        Raises:
            ParcelaError: ``conflict`` ``zone_in_use``, with what is in it.
        """
        caller.require(Permission.CATALOGUE_WRITE)
        zone = await uow.zones.lock(zone_id)
        check(zone)
        problems = [
            Problem(f"{noun}[{row_id}]", f"{noun.removesuffix('s').capitalize()} {name} is in it.", "in_use")
            for noun, row_id, name in await uow.zones.contents(zone_id)
        ]
        if problems:
            raise conflict("zone_in_use", f"The zone {zone.name} is not empty; see 'problems'.", *problems)
        if await uow.zones.has_history(zone_id):
            text = f"Destroyed slices or deleted VMs of the zone {zone.name} are still kept as history."
            raise conflict("zone_in_use", text, Problem("history", text, "in_use"))
        name = zone.name
        await uow.zones.delete(zone)
        uow.add_event("zone.deleted", actor_id=caller.user_id, data={"id": zone_id, "name": name})
