import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcela.core.topology.names import MAX_NAME, claim, is_label, is_printable_name, slug


@pytest.mark.parametrize("name", ["a", "A", "7", "web-1", "3com", "a" * 63, "x--y"])
def test_labels(name: str) -> None:
    assert is_label(name)


@pytest.mark.parametrize("name", ["", "-a", "a-", "a" * 64, "a_b", "a.b", "a b", "ñ", "a\n", "\u0663"])
def test_no_labels(name: str) -> None:
    assert not is_label(name)


def test_printable_names() -> None:
    assert is_printable_name("Red de datos (ñ)")
    assert not any(map(is_printable_name, ["", " a", "a ", "a\tb", "a\x7f", "a" * 64, "a\u202eb"]))


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Servidor Ñandú (2)", "servidor-nandu-2"),
        ("--web__01--", "web-01"),
        ("服务器", ""),
        ("a" * 62 + " b", "a" * 62),
        ("ﬁle", "file"),
    ],
)
def test_slug(text: str, label: str) -> None:
    assert slug(text) == label


@given(st.text())
def test_a_slug_is_a_label_or_nothing_and_stays_as_it_is(text: str) -> None:
    label = slug(text)
    assert not label or is_label(label)
    assert slug(label) == label


@given(st.lists(st.sampled_from(["a", "A", "a-2", "b" * 63, "b" * 61 + "-2", "B" * 63]), max_size=30))
def test_claims_are_unique_labels(wanted: list[str]) -> None:
    taken: set[str] = set()
    claimed = [claim(name, taken) for name in wanted]
    assert len({name.casefold() for name in claimed}) == len(claimed)
    assert all(is_label(name) and len(name) <= MAX_NAME for name in claimed)


def test_claim_counts_up() -> None:
    taken: set[str] = set()
    assert [claim("Web", taken), claim("web", taken), claim("web", taken)] == ["Web", "web-2", "web-3"]
