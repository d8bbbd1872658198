"""Why a value is not accepted, as a Spanish sentence that says what is allowed: pages show nothing but one text.

The checks speak English. Their codes say which rule is broken; numbers and days in their sentences are its limits.
"""

import re
from collections.abc import Mapping, Sequence

from parcela.api.errors import ProblemItem

NAMES: Mapping[str, str] = {
    "code": "codigo_equipo",
    "type": "tipo_equipo",
    "status": "estado_actual",
    "registered_on": "fecha",
    "performed_on": "fecha",
    "machine_code": "codigo_maquina",
    "company": "empresa",
    "technician": "tecnico",
    "notes": "observaciones",
    "full_name": "nombre_completo",
}
"""Fields of the services by the name that clients know."""
USERNAME = "Use de 2 a 64 letras sin tilde, cifras, puntos, guiones o guiones bajos; empiece por una letra o cifra."
SIGNS = "No se aceptan los signos < y > ni caracteres de control."
DAY = "Debe ser una fecha: AAAA-MM-DD."
LENGTH = "Debe tener de {0} a {1} caracteres, sin el carácter NUL."
DAYS = "Debe ser una fecha de {0} a {1}."
OF_FIELD: Mapping[tuple[str, str], str] = {("username", "string_pattern_mismatch"): USERNAME}
"""Sentences of a field and a code."""
OF_CODE: Mapping[str, str] = {
    "missing": "Falta este dato.",
    "string_too_long": "Es demasiado largo: {0} caracteres como máximo.",
    "string_too_short": "Es demasiado corto: {0} caracteres como mínimo.",
    "string_type": "Debe ser un texto.",
    "string_pattern_mismatch": SIGNS,
    "string_unicode": "Debe ser un texto en UTF-8.",
    "int_parsing": "Debe ser un número entero.",
    "greater_than_equal": "Es demasiado pequeño: {0} como mínimo.",
    "less_than_equal": "Es demasiado grande: {0} como máximo.",
    "date_from_datetime_inexact": DAY,
    "date_from_datetime_parsing": DAY,
    "date_parsing": DAY,
    "date_type": DAY,
    "json_invalid": "No es JSON.",
    "model_attributes_type": "Debe ser un objeto JSON con los datos.",
    "model_type": "Debe ser un objeto JSON con los datos.",
    "dict_type": "Debe ser un objeto JSON con los datos.",
    "duplicate_key": "Está dos veces; deje una sola.",
    "bad_code": (
        "Use de {0} a {1} letras sin tilde, cifras, puntos, guiones, guiones bajos o espacios interiores; empiece por "
        "una letra o cifra."
    ),
    "bad_type": LENGTH,
    "bad_area": LENGTH,
    "bad_company": LENGTH,
    "bad_technician": LENGTH,
    "bad_notes": LENGTH,
    "bad_registered_on": DAYS,
    "bad_performed_on": DAYS,
    "email_invalid": "No es una dirección de correo.",
    "username_invalid": USERNAME,
    "password_common": "Esta contraseña es de las que se prueban primero; use varias palabras, por ejemplo.",
    "password_invalid": "La contraseña debe ser un texto en UTF-8 sin el carácter NUL.",
    "password_is_name": "La contraseña no puede ser su nombre, usuario o correo, tampoco con cifras o signos.",
    "password_too_long": "La contraseña tiene como máximo {0} bytes en UTF-8 (las tildes cuentan doble).",
    "password_too_short": "La contraseña tiene como mínimo {0} caracteres.",
}
"""Sentences of a code; {0} and {1} are the limits."""
OWN = frozenset({"tipo_equipo", "estado_actual", "tipo", "no_code", "nothing_sought"})
"""Codes of checks of this family, whose sentences are Spanish already."""
_NUMBERS = re.compile(r"\d+")
_DAYS = re.compile(r"\b(?:from|to) (\d{4}-\d{2}-\d{2})")
_CHOICES = re.compile(r"'([^']*)'")


def reason(item: ProblemItem) -> str:
    """What is wrong with one value and what is allowed."""
    if item.code in {"enum", "literal_error"}:
        return f"Valores aceptados: {', '.join(_CHOICES.findall(item.what))}."
    sentence = OF_FIELD.get((_name(item), item.code)) or OF_CODE.get(item.code)
    if sentence is None:
        return item.what
    limits = (_DAYS if sentence is DAYS else _NUMBERS).findall(item.what)
    return sentence.format(*limits) if len(limits) >= sentence.count("{") else item.what


def place_of(item: ProblemItem) -> str:
    """Where it stands, by the names that clients know, e.g. ``body.codigo_equipo``."""
    return item.where if "." in item.where else NAMES.get(item.where, item.where)


def first_reason(items: Sequence[ProblemItem]) -> str:
    """The first of them with the name of its field; "" when there are none."""
    if not items:
        return ""
    name, text = _name(items[0]), reason(items[0])
    return text if name in {"body", "termino"} or name.isdigit() else f"{name}: {text}"


def _name(item: ProblemItem) -> str:
    return place_of(item).rpartition(".")[2]
