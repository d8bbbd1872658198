"""Machines and maintenance as siglab writes them."""

from datetime import date, datetime
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from parcela.api.compat.siglab.schemas import Entrada, wrong
from parcela.api.compat.siglab.words import KIND_NAMES, KINDS, STATUS_NAMES, STATUSES, TYPES, plain
from parcela.api.schemas.users import NO_CONTROLS
from parcela.core.machines import MachineStatus
from parcela.repositories.maintenance.port import MaintenanceRecord

TYPE_TEXT = f"Tipos aceptados: {', '.join(dict.fromkeys(TYPES.values()))}."
STATUS_TEXT = f"Estados aceptados: {', '.join(STATUS_NAMES.values())}."
KIND_TEXT = f"Tipos aceptados: {', '.join(KINDS)}."
OWN_USER = "usuario"
"""Custom field of a machine that keeps a name nobody has an account under."""


def _type(text: str) -> str:
    if plain(text) not in TYPES:
        raise wrong("tipo_equipo", TYPE_TEXT)
    return TYPES[plain(text)]


def _status(text: str) -> str:
    if plain(text) not in STATUSES:
        raise wrong("estado_actual", STATUS_TEXT)
    return STATUSES[plain(text)].value


def _kind(text: str) -> str:
    if plain(text) not in KINDS:
        raise wrong("tipo", KIND_TEXT)
    return KINDS[plain(text)].value


def _day(value: object) -> object:
    """The day of a moment, as browsers write it; the rest of it is of no interest here. Forms send "" for no day."""
    if value == "":
        return None
    if not isinstance(value, str) or len(value) <= len("2026-03-01"):
        return value
    try:
        return datetime.fromisoformat(value).date()
    except ValueError:
        return value  # what is wrong with it is said by its type


Fecha = Annotated[date | None, BeforeValidator(_day)]
Texto = Annotated[str, Field(max_length=100, pattern=NO_CONTROLS)]
Codigo = Annotated[str, Field(min_length=1, max_length=64, pattern=NO_CONTROLS, examples=["PC-001"])]
CodigoEnRuta = Annotated[
    str, Path(min_length=1, max_length=64, pattern=NO_CONTROLS, description="Case does not matter")
]
Tipo = Annotated[str, Field(max_length=64, description=TYPE_TEXT, examples=["PC"]), AfterValidator(_type)]
Estado = Annotated[str, Field(max_length=64, description=STATUS_TEXT, examples=["Operativo"]), AfterValidator(_status)]
Clase = Annotated[str, Field(max_length=64, description=KIND_TEXT, examples=["preventivo"]), AfterValidator(_kind)]
Limite = Annotated[int, Query(ge=1, le=5000, description="Rows at most; `X-Siguiente` of the answer leads on")]
Desde = Annotated[str | None, Query(max_length=500, description="`X-Siguiente` of the answer before")]


class CambiosMaquina(Entrada):
    """What to change; fields left out or null stay as they are."""

    model_config = ConfigDict(json_schema_extra={"example": {"estado_actual": "Dañado"}})

    tipo_equipo: Tipo | None = None
    estado_actual: Estado | None = None
    area: Texto | None = None
    fecha: Fecha = None
    usuario: Texto | None = None

    def fields(self) -> dict[str, Any]:
        """In our words, without ``usuario``."""
        given = {
            "type": self.tipo_equipo,
            "status": self.estado_actual,
            "area": self.area,
            "registered_on": self.fecha,
        }
        return {name: value for name, value in given.items() if value is not None}


class MaquinaNombrada(Entrada):
    """Which machine."""

    model_config = ConfigDict(json_schema_extra={"example": {"codigo_equipo": "PC-001"}})

    codigo_equipo: Codigo


class MaquinaConCambios(CambiosMaquina):
    """The same, naming the machine."""

    model_config = ConfigDict(json_schema_extra={"example": {"codigo_equipo": "PC-001", "estado_actual": "Dañado"}})

    codigo_equipo: Codigo


class MaquinaNueva(MaquinaConCambios):
    """A new machine."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "codigo_equipo": "PC-001",
                "tipo_equipo": "PC",
                "estado_actual": "Operativo",
                "area": "Laboratorio 1",
                "fecha": "2026-03-01",
                "usuario": "ana",
            }
        }
    )

    tipo_equipo: Tipo
    estado_actual: Estado = MachineStatus.OPERATIONAL.value

    def fields(self) -> dict[str, Any]:
        """In our words, without ``usuario``."""
        return super().fields() | {"code": self.codigo_equipo}


class Maquina(BaseModel):
    """A machine. The short names are those the first clients read."""

    codigo_equipo: str = Field(examples=["PC-001"])
    tipo_equipo: str = Field(examples=["PC"])
    estado_actual: str = Field(examples=["Operativo"])
    area: str
    fecha: date = Field(description="Day of registration")
    usuario: str | None
    codigo: str
    tipo: str
    estado: str


class Hecho(BaseModel):
    """What was done."""

    mensaje: str = Field(examples=["Máquina guardada"])
    codigo: str = Field(examples=["PC-001"])


class CuentaMes(BaseModel):
    """Maintenance of a month."""

    mes: str = Field(examples=["2026-11"])
    preventivos: int
    correctivos: int


class Tablero(BaseModel):
    """The dashboard."""

    total: int
    por_estado: dict[str, int] = Field(examples=[{"Operativo": 20, "Dañado": 1}])
    por_area: dict[str, int]
    por_tipo: dict[str, int]
    mantenimientos_por_mes: list[CuentaMes]
    vencidos: int = Field(description="Planned maintenance that is late")
    server_id: str


class MantenimientoNuevo(Entrada):
    """What was done to a machine. ``usuario`` is not taken from here: it is who is logged in."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "codigo_maquina": "PC-001",
                "empresa": "Servicios SAC",
                "tecnico": "Rosa Díaz",
                "tipo": "preventivo",
                "fecha": "2026-05-10",
                "observaciones": "Limpieza general",
            }
        }
    )

    codigo_maquina: Codigo
    empresa: Annotated[str, Field(max_length=200, pattern=NO_CONTROLS)] = ""
    tecnico: Annotated[str, Field(max_length=200, pattern=NO_CONTROLS)] = ""
    tipo: Clase
    fecha: Fecha = Field(default=None, description="Today unless it is given")
    observaciones: Annotated[str, Field(max_length=4000)] = ""


class Mantenimiento(BaseModel):
    """A maintenance record."""

    id: str = Field(examples=["3f0e6c1a-7f5e-4a39-9a53-0d6f0c6d2b11"])
    codigo_maquina: str
    empresa: str
    tecnico: str
    tipo: str = Field(examples=["preventivo"])
    fecha: date
    observaciones: str
    usuario: str = Field(description="Who wrote it")
    estado: str = Field(description="`Realizado`, or `Pendiente` while it is open", examples=["Realizado"])


class MantenimientoHecho(BaseModel):
    """What was written."""

    mensaje: str = Field(examples=["Mantenimiento registrado"])
    id: str


class MaquinaInformada(BaseModel):
    """A machine of the report with its records, the newest first."""

    codigo: str
    tipo: str
    area: str
    estado: str
    total_mantenimientos: int
    ultimo_mantenimiento: date | None
    dias_entre_fallas: float | None
    mantenimientos: list[dict[str, Any]] = Field(description="Without `id` and `usuario`")


def machine_out(row: dict[str, Any]) -> Maquina:
    """A machine as it is answered."""
    status = STATUS_NAMES[MachineStatus(row["status"])]
    user = row["responsible"] or (row["custom_fields"] or {}).get(OWN_USER)
    return Maquina(
        codigo_equipo=row["code"],
        tipo_equipo=row["type"],
        estado_actual=status,
        area=row["area"],
        fecha=row["registered_on"],
        usuario=None if user is None else str(user),
        codigo=row["code"],
        tipo=row["type"],
        estado=status,
    )


def record_out(record: MaintenanceRecord, code: str) -> Mantenimiento:
    """A record as it is answered."""
    return Mantenimiento(
        id=record.id,
        codigo_maquina=code,
        empresa=record.company,
        tecnico=record.technician,
        tipo=KIND_NAMES[record.kind],
        fecha=record.performed_on,
        observaciones=record.notes,
        usuario=record.author,
        estado="Realizado" if record.state.value == "done" else "Pendiente",
    )
