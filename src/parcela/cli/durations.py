"""Lengths of time on the command line: ``90m``, ``8h``, ``3d``."""

import re
from dataclasses import dataclass
from typing import Any

import typer

SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time in seconds."""

    seconds: int

    @classmethod
    def parse(cls, text: str) -> "Duration":
        """Read a whole number with a unit (s, m, h, d, w; seconds without one)."""
        match = re.fullmatch(r"([0-9]{1,9})([smhdw]?)", text.strip().lower())
        if match is None or int(match[1]) == 0:
            raise typer.BadParameter(f"'{text}' is no length of time; write 90m, 8h or 3d.")
        return cls(int(match[1]) * SECONDS[match[2]])

    @staticmethod
    def option(text: str) -> Any:
        """Typer's option of this type."""
        return typer.Option(parser=Duration.parse, metavar="TIME", help=text)
