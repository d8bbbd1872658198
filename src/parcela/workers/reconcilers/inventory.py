"""The reconcilers of the inventory."""

from parcela.repositories.uow import UnitOfWorkFactory
from parcela.services.inventory.files import InventoryFiles
from parcela.workers.reconcilers.base import Reconciler
from parcela.workers.reconcilers.inventory_files import InventoryFileSweep
from parcela.workers.reconcilers.machine_hosts import MachineHosts
from parcela.workers.reconcilers.maintenance_changes import MaintenanceChanges
from parcela.workers.reconcilers.maintenance_place import MaintenancePlaces
from parcela.workers.reconcilers.maintenance_reminders import MaintenanceReminders
from parcela.workers.reconcilers.plan_dates import PlanDates


def inventory_reconcilers(uows: UnitOfWorkFactory, files: InventoryFiles) -> list[Reconciler]:
    """All that an installation needs; with an outside store also the one that settles what was left there."""
    found: list[Reconciler] = [
        MachineHosts(uows),
        PlanDates(uows),
        MaintenanceReminders(uows),
        InventoryFileSweep(uows, files),
        MaintenancePlaces(uows),
    ]
    return [*found, MaintenanceChanges(uows, uows.outside)] if uows.outside else found
