"""Settings of the network of VMs with public access."""

from ipaddress import IPv4Network
from typing import Annotated

from pydantic import field_validator
from pydantic_settings import BaseSettings, NoDecode

from parcela.core.settings_fields import bad_setting, split
from parcela.core.settings_fields import setting as _env

MAX_NAT_PREFIX_LENGTH = 29


class NetworkSettings(BaseSettings):
    """A part of ``Settings``."""

    nat_prefixes: Annotated[tuple[str, ...], NoDecode] = _env(
        "PARCELA_NAT_PREFIXES",
        lambda: ("10.231.0.0/22", "10.232.0.0/22", "172.29.0.0/22"),
        "Candidates for the subnet of VMs with public access, comma-separated; the first free one of a host is taken. "
        "Templates may use none of their addresses.",
    )
    nat_blocked: Annotated[tuple[str, ...], NoDecode] = _env(
        "PARCELA_NAT_BLOCKED",
        tuple,
        "IPv4 prefixes that VMs with public access may not reach, such as the management network, comma-separated. "
        "Added to what is always blocked: the host, the networks it is connected to, link-local, loopback, multicast.",
    )
    nat_allowed: Annotated[tuple[str, ...], NoDecode] = _env(
        "PARCELA_NAT_ALLOWED",
        tuple,
        "IPv4 prefixes inside the networks of the host that VMs with public access may reach all the same, such as a "
        "package mirror, comma-separated. Never opens the host itself, nor what PARCELA_NAT_BLOCKED names.",
    )

    @field_validator("nat_prefixes", "nat_blocked", "nat_allowed", mode="before")
    @classmethod
    def _split_prefixes(cls, value: object) -> object:
        return split(value)

    @field_validator("nat_prefixes", "nat_blocked", "nat_allowed")
    @classmethod
    def _ipv4_prefixes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for part in value:
            try:
                IPv4Network(part)
            except ValueError as exc:
                text = f"must be IPv4 networks such as 10.20.0.0/16 separated by commas, but '{part}' is none"
                raise bad_setting(text) from exc
        return value

    @field_validator("nat_prefixes")
    @classmethod
    def _large_enough(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for part in value:
            if IPv4Network(part).prefixlen > MAX_NAT_PREFIX_LENGTH:
                raise bad_setting(f"must be networks of at least /{MAX_NAT_PREFIX_LENGTH}, but '{part}' is smaller")
        return value

    @property
    def nat_networks(self) -> tuple[IPv4Network, ...]:
        """``nat_prefixes`` as networks."""
        return tuple(IPv4Network(part) for part in self.nat_prefixes)
