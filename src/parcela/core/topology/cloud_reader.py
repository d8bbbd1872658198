"""Reading of the loose values of the older ``cloud`` document: every slip is written down, and reading goes on."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from parcela.core.errors import Problem
from parcela.core.topology.document import MAX_INT, place

MAX_ID_CHARS: Final = 64
_MAX_ID: Final = 2**53  # the largest integer that a browser still tells from its neighbour
_DECIMAL: Final = re.compile(r"[+-]?\d{1,12}(?:\.\d{1,12})?", re.ASCII)

Place = tuple[str | int, ...]


class Reader:
    """Reads values leniently (forms of the older editor sent numbers as text) and collects problems.

    Every method returns a harmless value after a problem, so that the caller can look at the rest.
    """

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def note(self, where: Place, what: str, code: str) -> None:
        """Write down a problem."""
        self.problems.append(Problem(place(*where), what, code))

    def mapping(self, value: object, where: Place) -> Mapping[Any, Any]:
        """Read a JSON object; None counts as missing."""
        if isinstance(value, Mapping):
            return value
        if value is None:
            self.note(where, "The object is missing.", "missing")
        else:
            self.note(where, "This must be an object.", "wrong_type")
        return {}

    def items(self, value: object, where: Place) -> Sequence[object]:
        """Read a JSON list; None counts as an empty one."""
        if value is None:
            return ()
        if isinstance(value, list | tuple):
            return value
        self.note(where, "This must be a list.", "wrong_type")
        return ()

    def ident(self, value: object, where: Place) -> str | None:
        """Read an id: an integer, or a text of 1..64 characters; 7 and "7" are the same id."""
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _MAX_ID:
            return str(value)
        if isinstance(value, str) and value:
            text = self.text(value, where, MAX_ID_CHARS)
            return text or None
        if value is None:
            self.note(where, "The id is missing.", "missing")
        else:
            self.note(where, "An id is a whole number or a text.", "wrong_type")
        return None

    def text(self, value: object, where: Place, limit: int) -> str:
        """Read a text of at most ``limit`` characters; None counts as ""."""
        if value is None:
            return ""
        if not isinstance(value, str):
            self.note(where, "This must be text.", "wrong_type")
        elif len(value) > limit:
            self.note(where, f"The text has {len(value)} characters; at most {limit} are allowed.", "too_long")
        elif "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
            self.note(where, "The text holds a character that cannot be stored.", "invalid")
        else:
            return value
        return ""

    def number(self, value: object, where: Place, limit: float) -> float | None:
        """Read a number of at most ``limit`` either way, also as decimal text; None and "" count as not given."""
        if value is None or value == "":
            return None
        if isinstance(value, str) and _DECIMAL.fullmatch(value.strip()):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.note(where, "This must be a number.", "wrong_type")
        elif abs(value) > limit or not math.isfinite(value):  # in this order: isfinite fails on 10**400
            self.note(where, f"The number is not within {limit:.0f} either way.", "out_of_range")
        else:
            return float(value)
        return None

    def whole(self, value: object, where: Place) -> int | None:
        """Read a whole number; 2.0 and "2" are 2."""
        number = self.number(value, where, MAX_INT)
        if number is None:
            return None
        if not number.is_integer():
            self.note(where, "This must be a whole number.", "wrong_type")
            return None
        return int(number)
