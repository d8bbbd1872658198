"""Labels: what people call a thing, in their own words, beside the name that programs need."""

import re
import unicodedata
from typing import Final

from parcela.core.errors import Problem, invalid

MAX_LABEL: Final = 100  # characters
LABEL_PATTERN: Final = r"^[^<>\x00-\x1f\x7f-\x9f]*$"
"""For documentation; ``label_fault`` also refuses invisible characters that only Unicode's tables tell."""
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Controls, formatting (which can turn the direction of what follows), lone surrogates, separators of lines."""
_JOINERS: Final = frozenset("\u200c\u200d")
_BREAKS: Final = re.compile(r"\s*[\t\n\r\v\f\x1c-\x1f\x85\u2028\u2029]\s*")


def tidy(text: str) -> str:
    """The label that is meant: composed (NFC), without spaces at its ends."""
    return unicodedata.normalize("NFC", text).strip()


def one_line(text: str) -> str:
    """The same for labels of drawings, which may have several lines: each break becomes a space."""
    return tidy(_BREAKS.sub(" ", text))


def _shows(character: str) -> bool:
    # Not ``isprintable``: that refuses what is newer than Python's tables, and emoji that are joined of several.
    return unicodedata.category(character) not in _HIDDEN or character in _JOINERS


def label_fault(text: str) -> str:
    """What is wrong with a tidy label, as a sentence; "" when nothing is.

    ``<`` and ``>`` are refused because older pages write labels into HTML as they are.
    """
    if len(text) > MAX_LABEL:
        return f"A label has 1 to {MAX_LABEL} characters; this one has {len(text)}."
    bad = next((character for character in text if character in "<>" or not _shows(character)), None)
    if bad is None:
        return ""
    shown = bad if bad in "<>" else f"U+{ord(bad):04X}"
    return f"A label has 1 to {MAX_LABEL} printable characters, without < and >; {shown} is not allowed."


def checked_label(text: str, where: str = "body.label") -> str:
    """A label as it is stored; "" for none.

    Args:
        text: what somebody typed.
        where: its place, for the error.

    Raises:
        ParcelaError: kind ``invalid``, code ``bad_label``.
    """
    label = tidy(text)
    fault = label_fault(label)
    if fault:
        raise invalid("bad_label", fault, Problem(where, fault, "bad_label"))
    return label
