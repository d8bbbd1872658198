"""What works and what does not, without asking anything that could block.

Strangers are told ``is_up`` only: names of parts, hosts and products help an attacker to choose.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from parcela.core.errors import ParcelaError
from parcela.db.link import Link
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWorkFactory
from parcela.services.observability.data_folder import DataFolder


@dataclass(frozen=True, slots=True)
class Check:
    """One part of the system. ``status`` is ``ok``, ``low`` (little space) or ``down``; ``detail`` is public."""

    name: str
    status: str
    detail: str


Probe = Callable[[ReadUnitOfWork], Awaitable[Check]]
"""Says how one part is; asks nothing but the database and what is known already."""


class HealthService:
    """Collects the checks."""

    def __init__(
        self,
        uows: UnitOfWorkFactory,
        probes: Sequence[Probe] = (),
        links: Sequence[Link] = (),
        folder: DataFolder | None = None,
    ) -> None:
        """Take the database, further parts to ask, the lines to optional stores, and the server's own folders."""
        self._folder = folder
        self._links = links
        self._uows = uows
        self._probes = probes

    async def is_up(self) -> bool:
        """Whether requests can be served at all: the database answers."""
        try:
            await self._uows.database.ping()
        except ParcelaError:
            return False
        return True

    async def checks(self) -> Sequence[Check]:
        """The stores and every host, the latter as last seen by the liveness reconciler."""
        links = [
            Check(link.name, "ok", "answers")
            if link.up
            else Check(link.name, "down", f"does not answer; {link.effect}")
            for link in self._links
        ]
        return [*await self._database_and_hosts(), *await self._folders(), *links]

    async def _folders(self) -> list[Check]:
        """Told before they are full: then nothing can be changed any more."""
        found = await self._folder.look() if self._folder is not None else []
        checks = []
        for folder in found:
            low = "low" if folder.shortage else "ok"
            checks.append(Check(folder.name, "down" if folder.is_full else low, folder.words))
        return checks

    def _database(self) -> Check:
        if self._uows.storage.trouble:
            return Check("database", "down", "it answers but cannot write: its disk is full or cannot be written")
        return Check("database", "ok", self._uows.database.engine.dialect.name)

    async def _database_and_hosts(self) -> list[Check]:
        try:
            await self._uows.database.ping()
        except ParcelaError as exc:
            return [Check("database", "down", exc.message)]
        async with self._uows.read() as uow:
            hosts = await uow.hosts.with_provider()
            active = await uow.operations.active_count()
            further = [await probe(uow) for probe in self._probes]
        found = [
            self._database(),
            Check("operations", "ok", f"{active} under way"),
        ]
        for host, provider in hosts:
            name = f"host {host.name}"
            if host.reachable and host.facts.get("obstacle"):
                # No paths here; the log and 'parcela doctor' say why.
                found.append(Check(name, "down", "no VM can start on it; see the log and 'parcela doctor'"))
            elif host.reachable and host.facts.get("disk_shortage"):
                text = f"it takes no new VM: its disk is short of space ({host.facts['disk_shortage']})"
                found.append(Check(name, "low", text))
            elif host.reachable:
                found.append(Check(name, "ok", f"{provider}, {host.facts.get('hypervisor', '')}".rstrip(", ")))
            else:
                reason = host.last_error or "not seen yet"
                found.append(Check(name, "down", f"{provider} does not answer ({reason}); operations on it wait"))
        return [*found, *further]
