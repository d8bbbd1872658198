import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcela.services.throttle import account_key, address_key, clean_identifier


@pytest.mark.parametrize("name", ["ana", "ANA", " Ana ", "\tana\n"])
def test_one_account_has_one_key(name: str) -> None:
    assert clean_identifier(name) == "ana"
    assert account_key(name) == "account:ana"


@given(st.text(st.characters(), max_size=400))
def test_any_text_fits_the_column(text: str) -> None:
    for key in (account_key(text), address_key(text)):
        assert len(key) <= 320
        assert key.isascii()
        assert key.isprintable()
    assert clean_identifier(text) == "" or account_key(text) == f"account:{clean_identifier(text)}"


def test_odd_names_do_not_share_a_key() -> None:
    assert len({account_key(name) for name in ("", "é", "è", "\x00", "\x01", "x" * 255, "x" * 256)}) == 7


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "address:192.0.2.7"),
        ("::ffff:192.0.2.7", "address:192.0.2.7"),
        ("2001:db8::1", "address:2001:db8::/64"),
        ("2001:db8::ffff:0:0:1", "address:2001:db8::/64"),
        ("2001:db8:0:1::1", "address:2001:db8:0:1::/64"),
        ("fe80::1%eth0", "address:fe80::/64"),
    ],
)
def test_addresses(address: str, key: str) -> None:
    assert address_key(address) == key


def test_an_address_that_is_none() -> None:
    assert address_key("unknown").startswith("address:")
    assert address_key("unknown") != address_key("testclient")
