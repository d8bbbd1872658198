"""Boxes that only we can open."""

from datetime import UTC, datetime, timedelta

import pytest

from parcela.core.sealing import Sealer, derived_key

SECRET = "k" * 40
NOW = datetime(2030, 1, 1, tzinfo=UTC)


def sealer(purpose: str = "one", secret: str = SECRET, at: datetime = NOW) -> Sealer:
    return Sealer(secret, purpose, lambda: at)


def test_the_key_is_that_of_rfc_5869() -> None:
    """Test case 1 of its appendix A; ours is the first 32 of its 42 bytes."""
    made = derived_key(b"\x0b" * 22, bytes(range(13)), bytes(range(0xF0, 0xFA)))
    assert made.hex() == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"


@pytest.mark.parametrize("value", ["text", [1, "ñ"], {"a": None}, ""])
def test_what_is_sealed_can_be_opened(value: object) -> None:
    box = sealer().seal(value)
    assert sealer().open(box) == value
    assert SECRET not in box


def test_two_boxes_of_one_value_differ() -> None:
    assert sealer().seal("x") != sealer().seal("x")


@pytest.mark.parametrize(
    "other", [sealer("two"), sealer(secret="j" * 40)], ids=["another purpose", "another installation"]
)
def test_others_cannot_open_it(other: Sealer) -> None:
    assert other.open(sealer().seal("x")) is None


def test_a_box_ends() -> None:
    box = sealer().seal("x", ttl_s=300)
    assert sealer(at=NOW + timedelta(seconds=299)).open(box) == "x"
    assert sealer(at=NOW + timedelta(seconds=300)).open(box) is None


@pytest.mark.parametrize("box", ["", "x", "a.b.c.d.e", "....", "\ud800", "é" * 50])
def test_rubbish_is_no_box(box: str) -> None:
    assert sealer().open(box) is None


def test_a_box_that_was_touched_is_none() -> None:
    parts = sealer().seal("x").split(".")
    for place in (0, 2, 3, 4):
        touched = list(parts)
        first = "B" if touched[place][0] == "A" else "A"
        touched[place] = first + touched[place][1:]
        assert sealer().open(".".join(touched)) is None
