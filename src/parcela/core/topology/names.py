"""Names of VMs (RFC 1123 labels) and of networks and edges (any short printable text)."""

import re
import unicodedata
from typing import Final

MAX_NAME: Final = 63  # characters; the limit of a DNS label, used for every name so that all columns agree

_LABEL: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)


def is_label(name: str) -> bool:
    """Tell whether a name is an RFC 1123 label: 1..63 of a-z, A-Z, 0-9 and inner hyphens."""
    return _LABEL.fullmatch(name) is not None


def is_printable_name(name: str) -> bool:
    """Tell whether a name is 1..63 printable characters without a space at either end."""
    return 0 < len(name) <= MAX_NAME and name.isprintable() and name == name.strip()


def slug(text: str) -> str:
    """Turn free text into a label: accents dropped, lower case, hyphens for the rest; "" when nothing is left.

    ``Servidor Ñandú (2)`` becomes ``servidor-nandu-2``. The same text always gives the same label.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:MAX_NAME].strip("-")


def claim(wanted: str, taken: set[str]) -> str:
    """Return ``wanted``, or the first of ``wanted-2``, ``wanted-3`` ... that is not taken, and take it.

    Args:
        wanted: what the thing would like to be called; cut to 63 characters, and further to make room for the number.
        taken: case-folded names in use; the answer is added.
    """
    candidate, number = wanted[:MAX_NAME], 2
    while candidate.casefold() in taken:
        suffix = f"-{number}"
        candidate, number = wanted[: MAX_NAME - len(suffix)].rstrip("-") + suffix, number + 1
    taken.add(candidate.casefold())
    return candidate
