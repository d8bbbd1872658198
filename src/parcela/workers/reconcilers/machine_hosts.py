"""Hosts and the maintenance of the machines they are.

Repairs: hosts that should be drained because a plan's day has come or maintenance is open; draining hosts that have
become empty (they go to ``maintenance``); hosts whose maintenance is over (they go back to ``up``).

Must not touch: hosts that are no machine of the inventory; hosts that an administrator took out of service before the
maintenance began, or put ``down`` meanwhile.
"""

from parcela.repositories.uow import UnitOfWorkFactory
from parcela.services.access import SYSTEM
from parcela.services.inventory.machine_hosts import settle
from parcela.services.inventory.rules import today


class MachineHosts:
    """See the module."""

    name = "machine_hosts"

    def __init__(self, uows: UnitOfWorkFactory) -> None:
        """Take the store."""
        self._uows = uows

    async def run(self) -> int:
        """Settle those that are not as they should be."""
        async with self._uows.read() as uow:
            machine_ids = await uow.machine_hosts.unsettled(today(uow))
        for machine_id in machine_ids:
            async with self._uows.write() as uow:
                machine = await uow.machines.lock_if_any(machine_id)
                if machine is not None:
                    await settle(uow, SYSTEM, machine)
                    await uow.commit()
        return len(machine_ids)
