import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.services.identity.users import clean_email, clean_username


@pytest.mark.parametrize(
    ("text", "email"),
    [
        ("ana@lab.example", "ana@lab.example"),
        (" Ana.Q+lab@LAB.Example ", "ana.q+lab@lab.example"),
        ("admin@parcela.local", "admin@parcela.local"),
        ("root@localhost", "root@localhost"),
        ("a@x.test", "a@x.test"),
        ("ana@exámple.com", "ana@xn--exmple-qta.com"),
    ],
)
def test_addresses(text: str, email: str) -> None:
    assert clean_email(text) == email


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ana",
        "@x.com",
        "ana@",
        "ana@x.",
        "ana@.x",
        "a b@x.com",
        "ana@x com",
        "a@b@x.com",
        "é@x.com",
        "ana@x..com",
        "ana@-x.com",
        "a\x00@x.com",
        "ana@x.com\x00",
        '"a b"@x.com',
        "Ana <ana@x.com>",
        "ana@[192.0.2.7]",
        "x" * 65 + "@x.com",
        "ana@" + "x" * 64 + ".com",
        "ana@" + "x." * 125 + "com",
        "\ud800@x.com",
    ],
)
def test_no_addresses(text: str) -> None:
    with pytest.raises(ParcelaError) as caught:
        clean_email(text)
    assert (caught.value.kind, caught.value.code) == (ErrorKind.INVALID, "email_invalid")
    assert caught.value.problems[0].where == "email"


@given(st.one_of(st.text(st.characters(), max_size=300), st.emails()))
def test_addresses_are_clean_or_refused(text: str) -> None:
    try:
        email = clean_email(text)
    except ParcelaError as error:
        assert error.code == "email_invalid"  # noqa: PT017 (both outcomes are right; only others are not)
    else:
        assert email.isascii()
        assert email == email.lower()
        assert len(email) <= 254
        assert clean_email(email) == email


@pytest.mark.parametrize(
    ("text", "username"), [("Ana", "ana"), (" a1 ", "a1"), ("0.a_b-c", "0.a_b-c"), ("x" * 64,) * 2]
)
def test_usernames(text: str, username: str) -> None:
    assert clean_username(text) == username


@pytest.mark.parametrize("text", ["", "a", "-a", ".a", "_a", "a b", "añ", "a@b", "x" * 65, "ab\n\x00", "ab/"])
def test_no_usernames(text: str) -> None:
    with pytest.raises(ParcelaError) as caught:
        clean_username(text)
    assert caught.value.code == "username_invalid"
