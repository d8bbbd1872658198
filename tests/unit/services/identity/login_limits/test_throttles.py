from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcela.core.settings import Settings
from parcela.models import LoginThrottle
from parcela.services.identity.login_limits.throttles import (
    LoginThrottles,
    Rule,
    address_key,
    address_keys,
    clean_identifier,
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("name", ["ana", "ANA", " Ana ", "\tana\n"])
def test_one_account_has_one_name(name: str) -> None:
    assert clean_identifier(name) == "ana"


@given(st.text(st.characters(), max_size=400))
def test_any_text_fits_the_column(text: str) -> None:
    for key in address_keys(text):
        assert len(key) <= 300
        assert key.isascii()
        assert key.isprintable()


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "address:192.0.2.7"),
        ("::ffff:192.0.2.7", "address:192.0.2.7"),
        ("2001:db8::1", "address:2001:db8::/64"),
        ("2001:db8::ffff:0:0:1", "address:2001:db8::/64"),
        ("2001:db8:0:1::1", "address:2001:db8:0:1::/64"),
        ("fe80::1%eth0", "address:fe80::/64"),
        ("64:ff9b::192.0.2.7", "address:192.0.2.7"),
    ],
)
def test_addresses(address: str, key: str) -> None:
    assert address_key(address) == key


def test_an_address_that_is_none() -> None:
    assert address_key("unknown").startswith("address:")
    assert address_key("unknown") != address_key("testclient")


def test_ipv6_counts_by_ever_shorter_prefixes() -> None:
    assert address_keys("2001:db8:1:234::1") == [
        "address:2001:db8:1:234::/64",
        "address:2001:db8:1:200::/56",
        "address:2001:db8:1::/48",
    ]
    assert address_keys("::ffff:192.0.2.7") == ["address:192.0.2.7"] == address_keys("192.0.2.7")


def test_delays_double_up_to_a_limit() -> None:
    rule = Rule(free=3, first_s=5, longest_s=60, memory_s=300)
    assert [rule.delay_s(failures) for failures in (2, 3, 4, 5, 6, 7, 8, 10_000)] == [0, 5, 10, 20, 40, 60, 60, 60]


@pytest.fixture
def throttles(tmp_path: Path) -> LoginThrottles:
    return LoginThrottles(Settings(_env_file=None, PARCELA_DATA_DIR=tmp_path))


@pytest.mark.parametrize("kind", ["login:1:192.0.2.7", "address:2001:db8::/64", "register-address:2001:db8::/48"])
def test_failures_are_forgotten_one_by_one(throttles: LoginThrottles, kind: str) -> None:
    """Of many people behind one address somebody mistypes now and then: that never adds up, however long it goes on."""
    rule = throttles._rule(kind)
    row, now = LoginThrottle(key=kind, failures=0, last_failure_at=NOW, locked_until=None), NOW
    for _ in range(20 * rule.free):
        assert not throttles._count(row, now)
        now += timedelta(seconds=1.5 * rule.memory_s / rule.free)
    assert row.failures <= 2


def test_every_key_has_its_own_rule(throttles: LoginThrottles) -> None:
    free = {
        key: throttles._rule(key).free
        for key in (
            "login:1:2001:db8::/64",
            "login-all:1",
            "address:192.0.2.7",
            "address:2001:db8::/56",
            "address:2001:db8::/48",
            "known-address:2001:db8::/64",
            "register-address:2001:db8::/64",
            "register-address:2001:db8::/48",
            "register-all",
        )
    }
    assert list(free.values()) == [5, 20, 30, 120, 480, 300, 60, 960, 300]
