"""The rooms of ``services``: few, none too large, and each says what it is for."""

import ast
from pathlib import Path

import pytest

from tests.architecture.rules import PACKAGE

SERVICES = PACKAGE / "services"
ROOMS = sorted(path.parent for path in SERVICES.rglob("__init__.py") if path.parent != SERVICES)
MOST_ROOMS = 12
MOST_MODULES = 15


def modules_of(room: Path) -> list[str]:
    return sorted(path.stem for path in room.glob("*.py") if path.name != "__init__.py")


def test_there_are_few_rooms() -> None:
    rooms = [room.name for room in ROOMS if room.parent == SERVICES]
    assert len(rooms) <= MOST_ROOMS, rooms


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_a_room_is_small(room: Path) -> None:
    assert len(modules_of(room)) <= MOST_MODULES, modules_of(room)


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_a_room_says_what_it_is_for(room: Path) -> None:
    text = ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8")))
    assert text
    assert "\n" not in text
