"""The words of reports, in English and Spanish."""

from collections.abc import Mapping

TEXTS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "title": "Maintenance report",
        "all_machines": "All machines",
        "made": "Made",
        "filters": "Filters",
        "no_filters": "none",
        "summary": "Summary",
        "machines": "Machines",
        "records": "Records",
        "months": "Months",
        "month": "Month",
        "machine": "Machine",
        "type": "Type",
        "area": "Area",
        "status": "Status",
        "day": "Date",
        "kind": "Kind",
        "company": "Company",
        "technician": "Technician",
        "state": "State",
        "cost": "Cost",
        "currency": "Currency",
        "last": "Last",
        "between_failures": "Days between failures",
        "notes": "Notes",
        "total": "Total",
        "last_maintenance": "Last maintenance",
        "days_between_failures": "Mean days between failures",
        "since": "From",
        "until": "Until",
        "none": "none",
        "per_month": "Records per month",
        "cost_by_machine": "Cost by machine ({currency})",
        "cut": "The newest {shown} of {all} records; CSV and XLSX have all of them.",
        "cut_machines": "The first {shown} of {all} machines; the workbook (XLSX) has all of them.",
        "page": "Page",
        "kind.preventive": "Preventive",
        "kind.corrective": "Corrective",
        "state.open": "Open",
        "state.done": "Done",
        "machine.operational": "Operational",
        "machine.maintenance": "In maintenance",
        "machine.damaged": "Damaged",
        "machine.retired": "Retired",
    },
    "es": {
        "title": "Informe de mantenimiento",
        "all_machines": "Todas las máquinas",
        "made": "Generado",
        "filters": "Filtros",
        "no_filters": "ninguno",
        "summary": "Resumen",
        "machines": "Máquinas",
        "records": "Mantenimientos",
        "months": "Meses",
        "month": "Mes",
        "machine": "Máquina",
        "type": "Tipo",
        "area": "Área",
        "status": "Estado",
        "day": "Fecha",
        "kind": "Clase",
        "company": "Empresa",
        "technician": "Técnico",
        "state": "Avance",
        "cost": "Costo",
        "currency": "Moneda",
        "last": "Último",
        "between_failures": "Días entre fallas",
        "notes": "Observaciones",
        "total": "Total",
        "last_maintenance": "Último mantenimiento",
        "days_between_failures": "Media de días entre fallas",
        "since": "Desde",
        "until": "Hasta",
        "none": "ninguno",
        "per_month": "Mantenimientos por mes",
        "cost_by_machine": "Costo por máquina ({currency})",
        "cut": "Los {shown} más recientes de {all} mantenimientos; CSV y XLSX los tienen todos.",
        "cut_machines": "Las primeras {shown} de {all} máquinas; el libro (XLSX) las tiene todas.",
        "page": "Página",
        "kind.preventive": "Preventivo",
        "kind.corrective": "Correctivo",
        "state.open": "Abierto",
        "state.done": "Realizado",
        "machine.operational": "Operativo",
        "machine.maintenance": "Mantenimiento",
        "machine.damaged": "Dañado",
        "machine.retired": "De baja",
    },
}


class Words:
    """The words of one language."""

    def __init__(self, locale: str) -> None:
        """English for a language we do not have."""
        self.locale = locale if locale in TEXTS else "en"
        self._texts = TEXTS[self.locale]

    def __call__(self, key: str, **values: object) -> str:
        """The text of a key; a missing one is a mistake of ours."""
        return self._texts[key].format(**values)

    def word(self, family: str, value: str) -> str:
        """The name of a value (``kind``, ``status``, ``machine``); itself where the inventory has words of its own."""
        return self._texts.get(f"{family}.{value}", value)
