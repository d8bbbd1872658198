"""The services of the inventory, as one part of the container."""

from dataclasses import dataclass

from parcela.core.settings import Settings
from parcela.services.inventory.attachments import AttachmentService
from parcela.services.inventory.files import InventoryFiles
from parcela.services.inventory.machines import MachineService
from parcela.services.inventory.maintenance import MaintenanceService
from parcela.services.inventory.maintenance_plans import MaintenancePlanService
from parcela.services.inventory.overview import OverviewService


@dataclass(frozen=True)
class Inventory:
    """Machines, what is done to them, and the numbers over it all."""

    files: InventoryFiles
    machines: MachineService
    maintenance: MaintenanceService
    plans: MaintenancePlanService
    attachments: AttachmentService
    overview: OverviewService

    @classmethod
    def build(cls, settings: Settings) -> "Inventory":
        """Wire them."""
        files, maintenance = InventoryFiles(settings.data_dir), MaintenanceService()
        plans = MaintenancePlanService(maintenance)
        return cls(
            files=files,
            machines=MachineService(),
            maintenance=maintenance,
            plans=plans,
            attachments=AttachmentService(settings, files),
            overview=OverviewService(settings, plans),
        )
