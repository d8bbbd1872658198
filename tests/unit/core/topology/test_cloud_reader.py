from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcela.core.topology.cloud_reader import Reader

PLACE = ("recursos", "7", "x")


def noted(reader: Reader) -> list[tuple[str, str]]:
    return [(problem.where, problem.code) for problem in reader.problems]


@pytest.mark.parametrize(
    ("value", "number"),
    [(None, None), ("", None), (2, 2.0), ("2", 2.0), (" -0.5 ", -0.5), (0.125, 0.125), ("+1", 1.0)],
)
def test_numbers(value: object, number: float | None) -> None:
    reader = Reader()
    assert reader.number(value, PLACE, 100) == number
    assert noted(reader) == []


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (True, "wrong_type"),
        ("two", "wrong_type"),
        ("1e3", "wrong_type"),
        ("nan", "wrong_type"),
        ([1], "wrong_type"),
        (float("nan"), "out_of_range"),
        (float("inf"), "out_of_range"),
        (10**400, "out_of_range"),
        (101, "out_of_range"),
        ("-101", "out_of_range"),
    ],
)
def test_no_numbers(value: object, code: str) -> None:
    reader = Reader()
    assert reader.number(value, PLACE, 100) is None
    assert noted(reader) == [("recursos.7.x", code)]


def test_whole_numbers() -> None:
    reader = Reader()
    assert [reader.whole(value, PLACE) for value in (2, 2.0, "2", None, "")] == [2, 2, 2, None, None]
    assert noted(reader) == []
    assert reader.whole(2.5, PLACE) is None
    assert noted(reader) == [("recursos.7.x", "wrong_type")]


def test_ids() -> None:
    reader = Reader()
    assert [reader.ident(value, PLACE) for value in (7, "7", -1, "node a")] == ["7", "7", "-1", "node a"]
    assert noted(reader) == []
    bad: list[Any] = [None, "", True, 1.0, 10**5000, "x" * 65, "a\0", "\ud800", []]
    assert [reader.ident(value, PLACE) for value in bad] == [None] * len(bad)
    assert [code for _, code in noted(reader)] == [
        "missing",
        "wrong_type",
        "wrong_type",
        "wrong_type",
        "wrong_type",
        "too_long",
        "invalid",
        "invalid",
        "wrong_type",
    ]


def test_objects_and_lists() -> None:
    reader = Reader()
    assert reader.mapping({"a": 1}, PLACE) == {"a": 1}
    assert reader.items([1], PLACE) == [1]
    assert reader.items(None, PLACE) == ()
    assert noted(reader) == []
    assert (reader.mapping(None, PLACE), reader.mapping([], PLACE), reader.items({}, PLACE)) == ({}, {}, ())
    assert [code for _, code in noted(reader)] == ["missing", "wrong_type", "wrong_type"]


@given(st.integers() | st.floats() | st.text() | st.binary() | st.booleans() | st.none())
def test_never_fails(value: object) -> None:
    reader = Reader()
    for read in (reader.number, reader.text):
        read(value, PLACE, 100)
    for look in (reader.mapping, reader.items, reader.ident, reader.whole):
        look(value, PLACE)
