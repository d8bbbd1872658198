"""Strict JSON: what is refused, and where."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcela.core.json_text import JsonTextError, read_json, repeated_keys

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES, st.sampled_from([None, 2]))
def test_every_value_is_read_back(value: object, indent: int | None) -> None:
    # Python writes characters outside of the first plane as pairs of escapes, which are whole characters.
    assert read_json(json.dumps(value, indent=indent)) == value


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ('{"a": 1,\n "b": {"c": 1,\n  "c": 2}}', 3, 3, "'c' stands in the same object as on line 2"),
        ('{"a": "}{",\n "\\u0061": 2}', 2, 2, "'a' stands in the same object as on line 1"),
        ('[{"a": 1}, {"a": 1}, {"a": [{"b": 1}], "a": 0}]', 1, 40, "'a'"),
        ('{"a": NaN}', 1, 7, "NaN is no JSON number"),
        ('{"NaN": 1,\n "a": [-Infinity]}', 2, 8, "-Infinity is no JSON number"),
        ('{"a": 1e999}', 1, 7, "1e999 is no JSON number"),
        ('{"a": "x\\ud800y"}', 1, 7, "lone surrogate"),
        ('{"a" 1}', 1, 6, "delimiter"),
        ('{"a": 1} x', 1, 10, "Extra data"),
    ],
)
def test_what_is_refused_says_where(text: str, line: int, column: int, words: str) -> None:
    with pytest.raises(JsonTextError, match=rf"^line {line}, column {column}: ") as refused:
        read_json(text)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"), [("[" * 200_000, "too deeply"), ('{"a": ' + "9" * 10_000 + "}", "too many digits")]
)
def test_what_python_itself_cannot_read(text: str, words: str) -> None:
    with pytest.raises(JsonTextError, match=words):
        read_json(text)


def test_every_repetition_is_found() -> None:
    found = [(key.key, key.line, key.first_line) for key in repeated_keys('{"a": 1,\n"a": 2,\n"a": 3, "b": {"a": 1}}')]
    assert found == [("a", 2, 1), ("a", 3, 1)]
