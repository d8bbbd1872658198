"""Reading of the loose values of the older ``cloud`` document: every slip is written down, and reading goes on."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from parcela.core.errors import Problem
from parcela.core.labels import label_fault, tidy
from parcela.core.topology.document import MAX_INT, MAX_NODE_ID, MAX_NODE_ID_CHARS, place

_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_DECIMAL: Final = re.compile(r"[+-]?\d{1,12}(?:\.\d{1,12})?", re.ASCII)

MAX_TEXT_CHARS: Final = 1000  # before a text is looked at closely

Place = tuple[str | int, ...]


def given(entry: Mapping[Any, Any], *names: str) -> tuple[str, object]:
    """The first of several spellings of a field that says something, and its value; else the first one and None."""
    found = ((name, entry[name]) for name in names if entry.get(name) not in (None, ""))
    return next(found, (names[0], None))


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
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_NODE_ID:
            return str(value)
        if isinstance(value, str) and value:
            text = self.text(value, where, MAX_NODE_ID_CHARS)
            fault = label_fault(text)
            if fault:
                self.note(where, fault, "bad_label")
            return None if fault else text or None
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

    def words(self, value: object, where: Place) -> str:
        """Read a name that people gave, as it is stored: one line of at most 100 characters; None counts as ""."""
        text = tidy(self.text(value, where, MAX_TEXT_CHARS))
        fault = label_fault(text)
        if fault:
            self.note(where, fault, "bad_label")
        return "" if fault else text

    def lines(self, value: object, where: Place, limit: int) -> str:
        """Read a text at a node, which may have several lines, as it is; blank counts as ""."""
        text = self.text(value, where, limit)
        fault = next((fault for line in _LINE_END.split(text) if (fault := label_fault(line))), "")
        if fault:
            self.note(where, fault, "bad_label")
        return "" if fault or not text.strip() else text

    def flag(self, value: object, where: Place) -> bool | None:
        """Read true or false; None counts as not said."""
        if value is None or isinstance(value, bool):
            return value
        self.note(where, "This must be true or false.", "wrong_type")
        return None

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
