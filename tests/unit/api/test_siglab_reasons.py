"""The one sentence that siglab's pages show: the field, what is wrong, what is allowed."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from parcela.api.compat.siglab.machine_schemas import CambiosMaquina, MantenimientoNuevo, MaquinaNueva
from parcela.api.compat.siglab.reasons import OF_CODE, first_reason, reason
from parcela.api.compat.siglab.schemas import Acceso, Registro
from parcela.api.errors import ProblemItem
from parcela.core.errors import ParcelaError
from parcela.core.passwords import PasswordPolicy
from parcela.services.inventory.rules import check_inventory
from parcela.services.reports.report import Format

RECORD = {"codigo_maquina": "PC-1", "tipo": "preventivo"}
PERSON = {"nombre_completo": "Ana", "username": "ana", "password": "correct horse battery"}
MACHINE = {"codigo_equipo": "PC-1", "tipo_equipo": "PC"}


def said_of(model: Any, body: Any) -> str:
    """What is shown for a body that is not accepted."""
    with pytest.raises(ValidationError) as told:
        TypeAdapter(model).validate_python(body)
    items = [
        ProblemItem(where=".".join(["body", *map(str, error["loc"])]), what=error["msg"], code=error["type"])
        for error in told.value.errors()
    ]
    return first_reason(items)


@pytest.mark.parametrize(
    ("model", "body", "said"),
    [
        (Acceso, {"password": "x"}, "username: Falta este dato."),
        (Acceso, {"username": "a" * 255, "password": "x"}, "username: Es demasiado largo: 254 caracteres como máximo."),
        (Acceso, {"username": 7, "password": "x"}, "username: Debe ser un texto."),
        (Acceso, ["a"], "Debe ser un objeto JSON con los datos."),
        (Registro, PERSON | {"email": "a"}, "email: Es demasiado corto: 3 caracteres como mínimo."),
        (MaquinaNueva, MACHINE | {"area": "a" * 101}, "area: Es demasiado largo: 100 caracteres como máximo."),
        (CambiosMaquina, {"fecha": 5.5}, "fecha: Debe ser una fecha: AAAA-MM-DD."),
        (CambiosMaquina, {"fecha": ["a"]}, "fecha: Debe ser una fecha: AAAA-MM-DD."),
        (MantenimientoNuevo, RECORD | {"tipo": "otro"}, "tipo: Tipos aceptados: preventivo, correctivo."),
        (
            MantenimientoNuevo,
            RECORD | {"observaciones": "a\x00"},
            f"observaciones: {OF_CODE['string_pattern_mismatch']}",
        ),
        (Format, "doc", "Valores aceptados: json, csv, xlsx, pdf."),
    ],
)
def test_what_is_shown_for_a_body(model: Any, body: Any, said: str) -> None:
    assert said_of(model, body) == said


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"code": "-1"}, "codigo_equipo: Use de 1 a 64 letras sin tilde, cifras"),
        ({"type": " "}, "tipo_equipo: Debe tener de 1 a 64 caracteres"),
        ({"company": "a\x00"}, "empresa: Debe tener de 0 a 200 caracteres, sin el carácter NUL."),
    ],
)
def test_what_is_shown_for_what_the_inventory_refuses(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ParcelaError) as told:
        check_inventory("machine_invalid", fields)
    items = [ProblemItem(where=one.where, what=one.what, code=one.code) for one in told.value.problems]
    assert first_reason(items).startswith(said)


@pytest.mark.parametrize(
    "what",
    [
        "performed_on must be a day from 2026-03-01 to 2026-11-29.",
        "performed_on is 2036-01-01; it must be a day from 2026-03-01 (its first) to 2026-11-29 (tomorrow).",
    ],
)
def test_the_days_that_are_possible(what: str) -> None:
    items = [ProblemItem(where="performed_on", what=what, code="bad_performed_on")]
    assert first_reason(items) == "fecha: Debe ser una fecha de 2026-03-01 a 2026-11-29."


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("kurz", "password: La contraseña tiene como mínimo 8 caracteres."),
        ("ñ" * 40, "password: La contraseña tiene como máximo 72 bytes en UTF-8 (las tildes cuentan doble)."),
        ("password", "password: Esta contraseña es de las que se prueban primero; use varias palabras, por ejemplo."),
    ],
)
def test_what_is_shown_for_a_password(password: str, said: str) -> None:
    with pytest.raises(ParcelaError) as told:
        PasswordPolicy().check(password)
    items = [ProblemItem(where=one.where, what=one.what, code=one.code) for one in told.value.problems]
    assert first_reason(items) == said


def test_a_limit_that_cannot_be_found_is_told_in_english_rather_than_not_at_all() -> None:
    item = ProblemItem(where="body.area", what="Too long.", code="string_too_long")
    assert reason(item) == "Too long."
