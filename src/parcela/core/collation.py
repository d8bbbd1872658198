"""How text is written, searched, compared and ordered: the same on every database, because none of them is asked.

Each database has rules of its own: SQLite folds ASCII letters only and orders by bytes, MariaDB takes accents for
nothing, PostgreSQL goes by the locale it was made with. So the forms that are searched and ordered by are made here and
stored beside the text (``models/derived.py``); ADR 0036 says why.
"""

import unicodedata
from collections.abc import Callable
from typing import Any

SORT_KEY_CHARS = 512
"""Length of a sort key at most: one index entry may have 2,704 bytes on PostgreSQL and 3,072 on MariaDB."""
_END = "!"
"""Ends a level of a key; lower than all that stands in one, so that a beginning comes before what goes on."""
_PUNCTUATION = "_-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$"
"""In the order of CLDR. Space and the first ten have one character in a key, the others two."""
_SINGLE = 10
_SYMBOL, _LETTER, _ENYE = ".", "{", "n~"
_MARKS = "\u0301\u0300\u0306\u0302\u030c\u030a\u0308\u030b\u0303\u0307\u0327\u0328\u0304"
"""Accents in the order of CLDR; others follow them by code point."""
_TILDE = "\u0303"
_STROKES = str.maketrans(
    {"ø": "o\u0338", "Ø": "O\u0338", "ł": "l\u0335", "Ł": "L\u0335", "đ": "d\u0335", "Đ": "D\u0335", "ħ": "h\u0335"}
    | {"Ħ": "H\u0335", "æ": "a\u0338e", "Æ": "A\u0338E", "œ": "o\u0335e", "Œ": "O\u0335E", "\u0131": "i\u0335"}
)
"""Letters that Unicode does not take apart, though people look them up under the plain one."""


def composed(text: str) -> str:
    """NFC: the form in which text is stored. Two spellings of one accent (one code point, or two) become one."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def all_composed(value: Any, skip: Callable[[str], bool] = lambda _key: False) -> Any:
    """JSON with all its text in NFC, keys too; values of keys that ``skip`` names stay as they are.

    Raises:
        ValueError: two keys of one object are the same text.
    """
    if isinstance(value, str):
        return composed(value)
    if isinstance(value, list):
        return [all_composed(item, skip) for item in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for key, inner in value.items():
        name = composed(key) if isinstance(key, str) else key
        if name in found:
            raise ValueError(f"the key '{name}' stands there twice, once with its accent as a sign of its own")
        found[name] = inner if isinstance(name, str) and skip(name) else all_composed(inner, skip)
    return found


def caseless(text: str) -> str:
    """What is equal for names that differ in case or in the width of letters only; accents count."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def folded(text: str) -> str:
    """The form that is searched: no case, no accents (``ñ`` is ``n``), ``ß`` as ``ss``, one space between words.

    What is nothing but accents and spaces stays as it is: it is a part of no text then, instead of every one.
    """
    if text.isascii():
        plain = text.lower()
    else:
        apart = unicodedata.normalize("NFKD", text.translate(_STROKES))
        apart = unicodedata.normalize("NFKD", apart.casefold())
        plain = "".join(character for character in apart if not unicodedata.combining(character))
    return " ".join(plain.split()) or text


def sort_key(text: str) -> str:
    """ASCII text without spaces whose bytes are in the order that people expect of the text (CLDR; ``ñ`` after ``n``).

    Space, punctuation, digits, letters; then accents; then small letters before capitals. Digits are not numbers:
    ``vm-10`` comes before ``vm-2``. Small letters a to z and digits stand for themselves.
    """
    primary: list[str] = []
    accents: list[str] = []
    cases: list[str] = []
    for base, marks, is_plain in _characters(text):
        if base == "n" and _TILDE in marks:
            primary.append(_ENYE)
            accents.append("".join(map(_mark, marks.replace(_TILDE, "", 1))) or '"')
        else:
            primary.append(_weight(base))
            accents.append("".join(map(_mark, marks)) or '"')
        cases.append('"' if is_plain else "#")
    levels = ("".join(primary), "".join(accents).rstrip('"'), "".join(cases).rstrip('"'))
    return _END.join(levels).rstrip(_END)[:SORT_KEY_CHARS]


def _characters(text: str) -> list[tuple[str, str, bool]]:
    """(small letter or sign, its accents, whether it was written that way) of a text, control characters left out."""
    if text.isascii():
        return [(character.lower(), "", not character.isupper()) for character in text if character >= " "]
    found: list[tuple[str, str, bool]] = []
    for written in unicodedata.normalize("NFC", text):
        apart = unicodedata.normalize("NFKD", written.translate(_STROKES))
        small = unicodedata.normalize("NFKD", apart.casefold())
        is_plain = apart == small and apart[:1] in unicodedata.normalize("NFD", written.translate(_STROKES))
        for character in small:
            if unicodedata.combining(character):
                if found:
                    base, marks, was_plain = found[-1]
                    found[-1] = (base, marks + character, was_plain)
            elif unicodedata.category(character) not in {"Cc", "Cf", "Cs"}:
                found.append((character, "", is_plain))
    return found


def _weight(base: str) -> str:
    if "a" <= base <= "z" or "0" <= base <= "9":
        return base
    if base.isspace():
        return '"'
    place = _PUNCTUATION.find(base)
    if 0 <= place < _SINGLE:
        return chr(ord("#") + place)
    if place >= 0:
        return "-" + chr(ord("a") + place - _SINGLE)
    if base.isdigit():
        return str(unicodedata.digit(base))
    return (_LETTER if base.isalpha() else _SYMBOL) + _number(ord(base))


def _mark(mark: str) -> str:
    place = _MARKS.find(mark)
    return chr(ord("a") + place) if place >= 0 else "z" + _number(ord(mark))


def _number(code_point: int) -> str:
    """Four characters that are in the order of the numbers."""
    return "".join(chr(ord("0") + (code_point >> shift & 63)) for shift in (18, 12, 6, 0))
