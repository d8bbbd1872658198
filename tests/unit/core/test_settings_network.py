"""Settings of the NAT network."""

from typing import Any

import pytest
from pydantic import ValidationError

from parcela.core.settings import Settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PARCELA_NAT_PREFIXES", "10.231.0.0/22, mine"),
        ("PARCELA_NAT_PREFIXES", "10.231.0.0/30"),  # no room for guests
        ("PARCELA_NAT_BLOCKED", "fd00::/8"),  # the network has IPv4 only: it would block nothing
        ("PARCELA_NAT_BLOCKED", "10.1.2.3/8"),
        ("PARCELA_NAT_ALLOWED", "192.168.1.0/33"),
    ],
)
def test_what_is_no_network_stops_the_start(name: str, value: str) -> None:
    values: dict[str, Any] = {name: value}
    with pytest.raises(ValidationError):
        Settings(_env_file=None, **values)


def test_lists_are_read() -> None:
    settings = Settings(
        _env_file=None,
        PARCELA_NAT_PREFIXES="10.1.0.0/16,10.2.0.0/16",
        PARCELA_NAT_BLOCKED="10.3.0.0/16",
        PARCELA_NAT_ALLOWED="192.168.1.7/32, 192.168.1.8",
    )
    assert [str(network) for network in settings.nat_networks] == ["10.1.0.0/16", "10.2.0.0/16"]
    assert settings.nat_blocked == ("10.3.0.0/16",)
    assert settings.nat_allowed == ("192.168.1.7/32", "192.168.1.8")
