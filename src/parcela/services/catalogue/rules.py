"""Limits of what catalogue and templates hold, and a collector that reports every broken one at once.

The edges repeat the limits in their schemas (for the documentation); this is where they are enforced for everybody.
"""

import re
from typing import Any

from parcela.core.errors import Problem, invalid
from parcela.models import Flavour, Host, Image, Template, Zone

NAME_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9._ -]*[A-Za-z0-9._-])?$"
IMAGE_NAME_PATTERN = NAME_PATTERN
OS_TYPE_PATTERN = r"^[a-z0-9][a-z0-9._-]*$"
TEXT_PATTERN = r"^[^\x00]*$"
MAX_NAME_CHARS = 64
MAX_IMAGE_NAME_CHARS = 100
MAX_DESCRIPTION_CHARS = 1000
RANGES: dict[type[Any], dict[str, tuple[float, float]]] = {
    Flavour: {"vcpus": (1, 128), "memory_mib": (64, 1_048_576), "disk_gib": (1, 16_384)},
    Image: {"min_memory_mib": (64, 1_048_576), "min_disk_gib": (1, 16_384)},
    # Capacity times the largest ratio still fits an INTEGER column.
    Host: {
        "vcpus": (1, 65_536),
        "memory_mib": (64, 16_777_216),
        "disk_gib": (1, 1_048_576),
        "cpu_overcommit": (0.1, 100),
        "memory_overcommit": (0.1, 100),
        "disk_overcommit": (0.1, 100),
    },
}
NAME_LENGTHS: dict[type[Any], int] = {Flavour: 64, Zone: 64, Host: 64, Image: 100, Template: 100}
CHOICES = {"visibility": ("public", "private"), "provider": ("libvirt", "openstack", "simulated")}


def check_fields(model: type[Any], code: str, fields: dict[str, Any]) -> None:
    """Check all fields that are to be stored in a row.

    Raises:
        ParcelaError: kind ``invalid`` with this code, and one problem per field that is wrong.
    """
    problems: list[Problem] = []
    for name, value in fields.items():
        text = _fault(model, name, value)
        if text:
            problems.append(Problem(name, text, f"bad_{name}"))
    if problems:
        raise invalid(code, " ".join(problem.what for problem in problems[:3]), *problems)


def _fault(model: type[Any], name: str, value: object) -> str:
    if name in RANGES.get(model, {}):
        least, most = RANGES[model][name]
        inside = isinstance(value, int | float) and least <= value <= most
        return "" if inside else f"{name} must be {least:g} to {most:.15g}."
    if name in CHOICES:
        return "" if value in CHOICES[name] else f"{name} is one of: {', '.join(CHOICES[name])}."
    if isinstance(value, str):
        return _text_fault(model, name, value)
    return ""


def _text_fault(model: type[Any], name: str, value: str) -> str:
    if name == "name" and model is Template:
        fine = 0 < len(value) <= NAME_LENGTHS[model] and value.isprintable() and value == value.strip()
        return "" if fine else "A name has 1 to 100 printable characters, without a space at either end."
    if name == "name":
        fine = len(value) <= NAME_LENGTHS[model] and re.fullmatch(NAME_PATTERN[1:-1], value, re.ASCII) is not None
        allowed = "letters a-z, digits, dot, hyphen, underscore and inner spaces, beginning with a letter or digit"
        return "" if fine else f"A name has 1 to {NAME_LENGTHS[model]} characters: {allowed}."
    if name == "os_type":
        fine = len(value) <= 32 and re.fullmatch(OS_TYPE_PATTERN[1:-1], value, re.ASCII) is not None
        return "" if fine else "os_type has 1 to 32 characters: a-z, digits, dot, hyphen, underscore."
    most = {"description": MAX_DESCRIPTION_CHARS, "os_version": 64}.get(name)
    if most is not None and (len(value) > most or "\x00" in value or not _is_encodable(value)):
        return f"{name} has at most {most} characters, and no NUL among them."
    return ""


def _is_encodable(text: str) -> bool:
    return text.encode("utf-8", "replace").decode() == text
