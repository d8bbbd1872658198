"""Images are found by the words that older clients send."""

import pytest

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.core.topology.catalogue import MAX_NAMED
from parcela.services.catalogue.image_words import ImageWords


def row(row_id: int, name: str, os_type: str = "linux", os_version: str = "") -> dict[str, object]:
    return {"id": row_id, "name": name, "os_type": os_type, "os_version": os_version}


WORDS = ImageWords(
    [
        row(1, "tiny"),
        row(2, "ubuntu-22.04", "ubuntu", "22.04"),
        row(4, "noble server", "ubuntu", "24.04"),
        row(3, "ubuntu-20.04", "ubuntu", "20.04"),
        row(5, "cirros-0.6", "linux", "0.6"),
        row(6, "Lab", "debian", "12"),
        row(7, "lab", "debian", "11"),
    ]
)


@pytest.mark.parametrize(
    ("word", "image"),
    [
        ("tiny", "tiny"),
        ("TINY", "tiny"),
        (" Tiny ", "tiny"),
        ("Ubuntu", "noble server"),  # the newest, whose system it is
        ("ubuntu 22.04", "ubuntu-22.04"),
        ("Ubuntu-22", "ubuntu-22.04"),
        ("UBUNTU_24.04", "noble server"),
        ("20.04", "ubuntu-20.04"),
        ("CirrOS", "cirros-0.6"),
        ("Debian", "lab"),
        ("debian 12", "Lab"),
        ("Lab", "Lab"),
        ("lab", "lab"),
        ("LAB", "lab"),
    ],
)
def test_words_of_older_clients(word: str, image: str) -> None:
    assert WORDS.find(word) == WORDS.image(word) == image


@pytest.mark.parametrize("word", ["CentOS", "buntu", "", "  ", "-", "ubuntu 26.04"])
def test_an_unknown_word_is_answered_with_the_images_there_are(word: str) -> None:
    assert WORDS.find(word) is None
    with pytest.raises(ParcelaError) as raised:
        WORDS.image(word, "recursos.vm-1.image")
    error = raised.value
    assert (error.kind, error.code, error.problems[0].where) == (
        ErrorKind.INVALID,
        "unknown_image",
        "recursos.vm-1.image",
    )
    assert f"'{word}'" in error.message
    assert all(name in error.message for name in WORDS.names)


def test_many_images_are_counted() -> None:
    with pytest.raises(ParcelaError, match="i019 and 80 more"):
        ImageWords([row(number, f"i{number:03}") for number in range(MAX_NAMED + 80)]).image("x")
    with pytest.raises(ParcelaError, match="none at all"):
        ImageWords([]).image("tiny")
