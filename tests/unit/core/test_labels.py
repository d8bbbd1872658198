"""What may be a label."""

import pytest

from parcela.core.errors import ParcelaError
from parcela.core.labels import checked_label, label_fault, one_line, tidy


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "Servidor Ñandú (2)",
        "Router «borde» & co.",
        "quotes \" and '",
        "日本語",
        "x" * 100,
        "R1, piso 2/3",
        "👩\u200d💻",
        "\U00018cd6",
    ],
)
def test_words_of_people_are_kept_as_they_are(text: str) -> None:
    assert checked_label(text) == text


def test_twins_of_one_label_are_one() -> None:
    assert checked_label("  N\u0303andu\u0301 ") == "Ñandú"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("<b>", "<"),
        ("a > b", ">"),
        ("two\nlines", "U+000A"),
        ("nul\0", "U+0000"),
        ("bell\x07", "U+0007"),
        ("\x9b31m", "U+009B"),
        ("to the \u202eleft", "U+202E"),
        ("\u200b", "U+200B"),
        ("half \ud800", "U+D800"),
        ("x" * 101, "101"),
    ],
)
def test_what_would_not_be_shown_as_it_is(text: str, named: str) -> None:
    with pytest.raises(ParcelaError) as raised:
        checked_label(text, "body.name")
    assert raised.value.code == "bad_label"
    assert raised.value.problems[0].where == "body.name"
    assert named in raised.value.message
    assert raised.value.message == label_fault(tidy(text))


def test_lines_of_a_drawing_become_one() -> None:
    assert one_line("VM-001\n(2 vCPU) \r\n\tUbuntu\n") == "VM-001 (2 vCPU) Ubuntu"
    assert one_line(" \n ") == ""
