"""Strict JSON: finds, with its place, what Python's reader takes without a word and then loses or cannot store."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")


class JsonTextError(ValueError):
    """A text that is not the JSON we take.

    Attributes:
        reason: what is wrong, as a sentence without its place.
        line: 1-based; None when the place is not known.
        column: 1-based, in characters.
    """

    def __init__(self, reason: str, line: int | None = None, column: int | None = None) -> None:
        place = "" if line is None else f"line {line}, column {column}: "
        super().__init__(f"{place}{reason}")
        self.reason = reason
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class RepeatedKey:
    """A key that stands in one object for the second time.

    Attributes:
        key: the decoded key.
        line: of the second one, 1-based.
        column: 1-based, in characters.
        first_line: of the first one.
    """

    key: str
    line: int
    column: int
    first_line: int


def read_json(text: str) -> Any:
    """Decode a JSON text.

    Raises:
        JsonTextError: malformed, nested too deeply, a key twice in one object, a number that is none (NaN, Infinity or
            too large for a float), or half a character (a lone surrogate), which no database stores.
    """

    def refuse(word: str) -> Any:
        raise JsonTextError(f"{word} is no JSON number.", *_first_place(text, word))

    def number(word: str) -> float:
        value = float(word)
        return value if abs(value) != float("inf") else refuse(word)

    try:
        value = json.loads(text, parse_constant=refuse, parse_float=number)
    except json.JSONDecodeError as error:
        raise JsonTextError(f"{error.msg}.", error.lineno, error.colno) from error
    except RecursionError as error:
        raise JsonTextError("The values are nested too deeply.") from error
    except ValueError as error:  # more digits than Python converts
        if isinstance(error, JsonTextError):
            raise
        raise JsonTextError("A number has too many digits.") from error
    for found in repeated_keys(text):
        reason = f"The key '{found.key}' stands in the same object as on line {found.first_line}; leave one of them."
        raise JsonTextError(reason, found.line, found.column)
    for token in _TOKEN.finditer(text):
        if "\\u" in token[0] and _SURROGATE.search(json.loads(token[0])):
            raise JsonTextError("The text holds half a character (a lone surrogate).", *_place(text, token.start()))
    return value


def repeated_keys(text: str) -> Iterator[RepeatedKey]:
    """Find keys that stand in one object more than once, in a text that is well-formed JSON."""
    open_objects: list[dict[str, int] | None] = []  # None: an array
    previous: re.Match[str] | None = None
    for token in _TOKEN.finditer(text):
        kind = token[0]
        if kind in "{[":
            open_objects.append({} if kind == "{" else None)
        elif kind in "}]":
            open_objects.pop()
        elif kind == ":" and previous is not None:
            keys = open_objects[-1]
            key = json.loads(previous[0])
            if keys is not None and key in keys:
                line, column = _place(text, previous.start())
                yield RepeatedKey(key, line, column, _place(text, keys[key])[0])
            elif keys is not None:
                keys[key] = previous.start()
        previous = token


def _place(text: str, offset: int) -> tuple[int, int]:
    """Line and column of an offset, both 1-based."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def _first_place(text: str, word: str) -> tuple[int, int] | tuple[None, None]:
    """Place of the first number that is written like this, outside of strings."""
    pattern = re.compile(rf'"(?:[^"\\]|\\.)*"|(?<![\w.+-])({re.escape(word)})(?![\w.+-])', re.DOTALL)
    found = next((match for match in pattern.finditer(text) if match[1] is not None), None)
    return (None, None) if found is None else _place(text, found.start())
