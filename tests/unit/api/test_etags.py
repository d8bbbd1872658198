"""Entity tags."""

import pytest
from pydantic import BaseModel

from parcela.api.etags import IfMatch, etag_of, matches, matches_strongly
from parcela.core.errors import ErrorKind, ParcelaError

TAG = etag_of(b'{"name":"a"}')


class Thing(BaseModel):
    name: str


@pytest.mark.parametrize("header", [TAG, f"W/{TAG}", f'"x", {TAG}', f'"x",W/{TAG}', "*"])
def test_header_names_the_tag(header: str) -> None:
    assert matches(header, TAG)


@pytest.mark.parametrize("header", ["", '"x"', TAG.strip('"'), TAG + "x", TAG[:-2] + '"'])
def test_header_names_another(header: str) -> None:
    assert not matches(header, TAG)


@pytest.mark.parametrize("header", [TAG, f'"x", {TAG}', "*"])
def test_if_match_names_the_tag(header: str) -> None:
    assert matches_strongly(header, TAG)


@pytest.mark.parametrize("header", ["", '"x"', f"W/{TAG}", f'"x",W/{TAG}', TAG.strip('"')])
def test_if_match_names_another(header: str) -> None:
    """Weak ones say only that something alike was seen: RFC 9110, 13.1.1."""
    assert not matches_strongly(header, TAG)
    with pytest.raises(ParcelaError):
        IfMatch(header).check(Thing(name="a"))


def test_a_write_without_a_header_goes() -> None:
    IfMatch(None).check(Thing(name="b"))


def test_a_write_of_the_version_that_was_seen_goes() -> None:
    IfMatch(TAG).check(Thing(name="a"))


def test_a_service_gets_a_check_that_reads_the_row_itself() -> None:
    rows: list[str] = []

    def read(name: str) -> Thing:
        rows.append(name)
        return Thing(name=name)

    IfMatch(None).of(read)("b")
    assert not rows, "nothing is built for a client that does not ask"
    IfMatch(TAG).of(read)("a")
    with pytest.raises(ParcelaError):
        IfMatch(TAG).of(read)("b")
    assert rows == ["a", "b"]


def test_a_write_of_another_version_does_not() -> None:
    with pytest.raises(ParcelaError) as caught:
        IfMatch(TAG).check(Thing(name="b"))
    assert (caught.value.kind, caught.value.code) == (ErrorKind.PRECONDITION_FAILED, "changed_meanwhile")
