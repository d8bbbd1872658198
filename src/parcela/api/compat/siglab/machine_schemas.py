"""Machines and maintenance as siglab writes them."""

from datetime import date, datetime, time
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from parcela.api.compat.siglab.schemas import PLAIN, PLAIN_LINES, Entrada, or_none, wrong
from parcela.api.compat.siglab.words import FORM_STATUSES, KIND_NAMES, KINDS, STATUSES, TYPE_NAMES, TYPES, plain
from parcela.api.schemas.users import NO_CONTROLS
from parcela.core.errors import Problem, invalid
from parcela.core.machines import MachineStatus
from parcela.repositories.maintenance.store import MaintenanceRecord
from parcela.repositories.paging import MAX_CURSOR_CHARS

TYPE_TEXT = f"Tipos aceptados: {', '.join(dict.fromkeys(TYPES.values()))}."
STATUS_TEXT = f"Estados aceptados: {', '.join(FORM_STATUSES.values())}; también Operativo, Mantenimiento y Dañado."
KIND_TEXT = f"Tipos aceptados: {', '.join(KINDS)}."
MOST = 5000
"""Rows of a list, unless less are asked for: the pages know no others, and show what they get."""
DONE = "Realizado"
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


def _status_word(text: str) -> str:
    """The word as it came: lists answer it."""
    _status(text)
    return text.strip()


def _kind(text: str) -> str:
    if plain(text) not in KINDS:
        raise wrong("tipo", KIND_TEXT)
    return KINDS[plain(text)].value


def _day(value: object, parse: ValidatorFunctionWrapHandler) -> object:
    """A day, or the moment that browsers make of it, whose day depends on the zone. Forms send "" for no day."""
    if value == "":
        return None
    if not isinstance(value, str) or len(value) <= len("2026-03-01"):
        return parse(value)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return parse(value)  # what is wrong with it is said by its type
    # Midnight in UTC is what JavaScript makes of a day without a time.
    is_day = moment.tzinfo is None or moment.time() == time.min
    return moment.date() if is_day else moment


Fecha = Annotated[date | None, WrapValidator(_day)]
"""May be a moment: see ``day_of``."""
Texto = Annotated[str, Field(max_length=100, pattern=PLAIN)]
TextoVacio = Annotated[Texto | None, BeforeValidator(or_none)]
Linea = Annotated[str, Field(max_length=200, pattern=PLAIN)]
Buscado = Annotated[str, Query(max_length=100)]
Codigo = Annotated[str, Field(min_length=1, max_length=64, pattern=PLAIN, examples=["PC-001"])]
CodigoEnRuta = Annotated[
    str, Path(min_length=1, max_length=64, pattern=NO_CONTROLS, description="Case does not matter")
]
Tipo = Annotated[str, Field(max_length=64, description=TYPE_TEXT, examples=["PC"]), AfterValidator(_type)]
TipoEscrito = Annotated[str, Field(max_length=64, pattern=PLAIN, description=TYPE_TEXT, examples=["PC"])]
Leido = Annotated[str | None, Field(max_length=4000), BeforeValidator(or_none)]
"""Of a machine that is there: what was read comes back, also where this family would not have taken it."""
EstadoEscrito = Annotated[
    str, Field(max_length=64, description=STATUS_TEXT, examples=["operativa"]), AfterValidator(_status_word)
]
EstadoVacio = Annotated[EstadoEscrito | None, BeforeValidator(or_none)]
Estado = Annotated[str, Field(max_length=64, description=STATUS_TEXT, examples=["Operativo"]), AfterValidator(_status)]
Clase = Annotated[str, Field(max_length=64, description=KIND_TEXT, examples=["preventivo"]), AfterValidator(_kind)]
Limite = Annotated[int, Query(ge=1, le=MOST, description="Rows at most; `X-Siguiente` of the answer leads on")]
Desde = Annotated[str | None, Query(max_length=MAX_CURSOR_CHARS, description="`X-Siguiente` of the answer before")]


NEW_TEXTS = {"tipo_equipo": TypeAdapter(TipoEscrito), "area": TypeAdapter(Texto), "usuario": TypeAdapter(Texto)}
"""What texts of a machine must be like that it does not have yet."""


class CambiosMaquina(Entrada):
    """What to change; fields that are left out, null or empty stay as they are."""

    model_config = ConfigDict(json_schema_extra={"example": {"estado_actual": "Dañado"}})

    tipo_equipo: Leido = None
    estado_actual: EstadoVacio = None
    area: Leido = None
    fecha: Fecha = None
    usuario: Leido = None

    def refuse_new_texts(self, shown: "Maquina") -> None:
        """Refuse texts that this family does not take, unless the machine is shown with them.

        Raises:
            ParcelaError: kind ``invalid``.
        """
        problems = []
        for name, adapter in NEW_TEXTS.items():
            written = getattr(self, name)
            if written is None or written in {getattr(shown, name), shown.tipo if name == "tipo_equipo" else None}:
                continue
            try:
                adapter.validate_python(written)
            except ValidationError as exc:
                problems += [Problem(f"body.{name}", error["msg"], error["type"]) for error in exc.errors()]
        if problems:
            raise invalid("request_invalid", "The machine has other texts; these are not taken.", *problems)

    def fields(self, present_type: str = "") -> dict[str, Any]:
        """In our words, without ``usuario``.

        Args:
            present_type: of the machine, which may be one that this family has no word for.

        Raises:
            ParcelaError: kind ``invalid`` for a type that is not known.
        """
        word = self.estado_actual
        given = {
            "type": None if self.tipo_equipo is None else _stored_type(self.tipo_equipo, present_type),
            "status": None if word is None else STATUSES[plain(word)].value,
            "status_word": word,
            "area": self.area,
            "registered_on": self.fecha,
        }
        return {name: value for name, value in given.items() if value is not None}


def _stored_type(written: str, present: str) -> str:
    if plain(written) == plain(present):
        return present
    if plain(written) not in TYPES:
        raise invalid("machine_invalid", TYPE_TEXT, Problem("body.tipo_equipo", TYPE_TEXT, "tipo_equipo"))
    return TYPES[plain(written)]


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

    tipo_equipo: TipoEscrito
    area: TextoVacio = None
    usuario: TextoVacio = None

    def fields(self, present_type: str = "") -> dict[str, Any]:
        """In our words, without ``usuario``."""
        return super().fields(present_type) | {"code": self.codigo_equipo}


class Maquina(BaseModel):
    """A machine. The short names are those that the pages read; the long ones those that they send."""

    codigo: str = Field(examples=["PC-001"])
    tipo: str = Field(examples=["Computadora"])
    estado: str = Field(description="The word that was sent, else that of the form", examples=["operativa"])
    area: str
    fecha: date = Field(description="Day of registration")
    usuario: str | None
    codigo_equipo: str = Field(examples=["PC-001"])
    tipo_equipo: str = Field(examples=["PC"])
    estado_actual: str = Field(examples=["operativa"])


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
    empresa: Linea = ""
    tecnico: Linea = ""
    tipo: Clase
    fecha: Fecha = Field(default=None, description="Today unless it is given")
    observaciones: Annotated[str, Field(max_length=4000, pattern=PLAIN_LINES)] = ""


class Mantenimiento(BaseModel):
    """A maintenance record."""

    own_id: str = Field(serialization_alias="_id", examples=["3f0e6c1a-7f5e-4a39-9a53-0d6f0c6d2b11"])
    id: str = Field(description="The same", examples=["3f0e6c1a-7f5e-4a39-9a53-0d6f0c6d2b11"])
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
    codigo_maquina: str = Field(examples=["PC-001"])
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


class MaquinaConHistorial(BaseModel):
    """A machine of the general report with its records, the newest first."""

    codigo: str
    tipo: str
    area: str
    estado: str
    fecha_registro: date
    mantenimientos: list[Mantenimiento]
    total_mantenimientos: int
    ultimo_mantenimiento: date | None


def machine_out(row: dict[str, Any]) -> Maquina:
    """A machine as it is answered."""
    status = row["status_word"] or FORM_STATUSES[MachineStatus(row["status"])]
    user = row["responsible"] or (row["custom_fields"] or {}).get(OWN_USER)
    return Maquina(
        codigo=row["code"],
        tipo=TYPE_NAMES.get(row["type"], row["type"]),
        estado=status,
        area=row["area"],
        fecha=row["registered_on"],
        usuario=None if user is None else str(user),
        codigo_equipo=row["code"],
        tipo_equipo=row["type"],
        estado_actual=status,
    )


def history_out(row: dict[str, Any], records: list[Mantenimiento]) -> MaquinaConHistorial:
    """A machine with its records, the newest first, as the general report has it."""
    machine = machine_out(row)
    return MaquinaConHistorial(
        codigo=machine.codigo,
        tipo=machine.tipo,
        area=machine.area,
        estado=machine.estado,
        fecha_registro=machine.fecha,
        mantenimientos=records,
        total_mantenimientos=len(records),
        ultimo_mantenimiento=next((record.fecha for record in records if record.estado == DONE), None),
    )


def record_out(record: MaintenanceRecord, code: str) -> Mantenimiento:
    """A record as it is answered."""
    return Mantenimiento(
        own_id=record.id,
        id=record.id,
        codigo_maquina=code,
        empresa=record.company,
        tecnico=record.technician,
        tipo=KIND_NAMES[record.kind],
        fecha=record.performed_on,
        observaciones=record.notes,
        usuario=record.author,
        estado=DONE if record.state.value == "done" else "Pendiente",
    )
