"""The words of siglab and what they are in our vocabulary. Case and accents do not matter when they are read."""

import unicodedata
from collections.abc import Mapping

from parcela.core.machines import MachineStatus, MaintenanceKind
from parcela.core.permissions import ADMIN_ROLE, CLIENT_ROLE

TECHNICIAN_ROLE = "technician"
"""A role that every installation begins with; it may be changed or removed."""
ROLES: Mapping[str, str] = {
    "administrador": ADMIN_ROLE,
    "admin": ADMIN_ROLE,
    "cliente": CLIENT_ROLE,
    "client": CLIENT_ROLE,
    "usuario": CLIENT_ROLE,
    "tecnico": TECHNICIAN_ROLE,
}
ROLE_NAMES: Mapping[str, str] = {
    ADMIN_ROLE: "administrador",
    CLIENT_ROLE: "cliente",
    TECHNICIAN_ROLE: "tecnico",
}
TYPES: Mapping[str, str] = {
    "pc": "PC",
    "computadora": "PC",
    "imp": "IMP",
    "impresora": "IMP",
    "srv": "SRV",
    "servidor": "SRV",
    "sw": "SW",
    "switch": "SW",
    "rtr": "RTR",
    "router": "RTR",
    "mon": "MON",
    "monitor": "MON",
    "otro": "OTRO",
}
"""Types of machines by what clients write; the value is what is stored and shown."""
TYPE_NAMES: Mapping[str, str] = {
    "PC": "Computadora",
    "IMP": "Impresora",
    "SRV": "Servidor",
    "SW": "Switch",
    "RTR": "Router",
    "MON": "Monitor",
    "OTRO": "Otro",
}
"""Types as lists show them."""
STATUSES: Mapping[str, MachineStatus] = {
    "operativo": MachineStatus.OPERATIONAL,
    "operativa": MachineStatus.OPERATIONAL,
    "mantenimiento": MachineStatus.MAINTENANCE,
    "en mantenimiento": MachineStatus.MAINTENANCE,
    "danado": MachineStatus.DAMAGED,
    "danada": MachineStatus.DAMAGED,
    "fuera de servicio": MachineStatus.DAMAGED,
    "de baja": MachineStatus.RETIRED,
}
FORM_STATUSES: Mapping[MachineStatus, str] = {
    MachineStatus.OPERATIONAL: "operativa",
    MachineStatus.MAINTENANCE: "en mantenimiento",
    MachineStatus.DAMAGED: "fuera de servicio",
    MachineStatus.RETIRED: "de baja",
}
"""Words of the pages' forms, which compare them as they are."""
STATUS_NAMES: Mapping[MachineStatus, str] = {
    MachineStatus.OPERATIONAL: "Operativo",
    MachineStatus.MAINTENANCE: "Mantenimiento",
    MachineStatus.DAMAGED: "Dañado",
    MachineStatus.RETIRED: "De baja",
}
"""Words of the dashboard and of programs."""
KINDS: Mapping[str, MaintenanceKind] = {
    "preventivo": MaintenanceKind.PREVENTIVE,
    "correctivo": MaintenanceKind.CORRECTIVE,
}
KIND_NAMES: Mapping[MaintenanceKind, str] = {kind: name for name, kind in KINDS.items()}


def plain(text: str) -> str:
    """A word without case, accents and spaces around it: ``Dañado`` and ``danado`` are the same."""
    parts = unicodedata.normalize("NFD", text.strip())
    return "".join(part for part in parts if not unicodedata.combining(part)).casefold()
