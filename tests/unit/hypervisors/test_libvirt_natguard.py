"""The rules of the NAT network, as nft takes them, and what they say of the host's own networks."""

import shutil
import subprocess
from ipaddress import IPv4Address, IPv4Network

import pytest

from parcela.hypervisors.libvirt import firewall
from parcela.hypervisors.libvirt.natguard import NEVER, HostNetworks, NatPort, NatRules, Reach, forward_rules

GATEWAY = IPv4Address("10.231.0.1")
HOST = HostNetworks(
    (IPv4Address("127.0.0.1"), IPv4Address("192.0.2.1")),
    (IPv4Network("127.0.0.0/8"), IPv4Network("192.0.2.0/24"), IPv4Network("172.17.0.0/16")),
)
PORTS = (
    NatPort("pct00000001", "52:54:00:00:00:01", IPv4Address("10.231.0.2")),
    NatPort("pct00000002", "52:54:00:00:00:02", IPv4Address("10.231.0.3")),
    NatPort("pct00000003", "52:54:00:00:00:03", None),
)


def rules(reach: Reach = Reach()) -> NatRules:  # noqa: B008 - frozen
    return NatRules("pcn1", GATEWAY, PORTS, reach, HOST)


@pytest.mark.parametrize(
    "nat",
    [
        None,
        NatRules("pcn1", GATEWAY),
        rules(),
        # Overlapping prefixes, which nft refuses in one set.
        rules(Reach(("10.0.0.0/8", "10.1.0.0/16"), ("192.0.2.8/32", "192.0.2.0/25"))),
    ],
)
def test_nft_takes_the_rules(nat: NatRules | None) -> None:
    if shutil.which("nft") is None or shutil.which("unshare") is None:
        pytest.skip("nft is not installed")
    # In a network of its own: nothing of the machine is touched.
    command = ["unshare", "--map-root-user", "--net", "nft", "-f", "-"]
    text = firewall.ruleset("inst", "pcn1", nat)
    done = subprocess.run(command, input=text * 2, capture_output=True, text=True, check=False)
    if "unshare" in done.stderr:
        pytest.skip(f"no network of its own: {done.stderr}")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_card_without_address_may_send_nothing() -> None:
    frames = firewall.ruleset("inst", "pcn1", rules()).split("\ntable bridge ")[1]
    assert '"pct00000003"' in frames.split("set nat_ports {")[1].split("}\n")[0]
    for name in ("set nat_cards {", "set nat_addresses {", "map nat_clients {"):
        assert "pct00000003" not in frames.split(name)[1].split(" }\n")[0]


def test_blocked_is_stronger_than_allowed_and_both_go_before_the_hosts_networks() -> None:
    lines = forward_rules(rules(Reach(("10.3.0.0/16",), ("192.0.2.7/32",))))
    own = ", ".join(map(str, sorted([*NEVER, IPv4Network("192.0.2.0/24"), IPv4Network("172.17.0.0/16")])))
    assert lines == [
        'iifname "pcn1" ip daddr { 10.3.0.0/16 } drop',
        'iifname "pcn1" ip daddr { 192.0.2.7/32 } accept',
        f'iifname "pcn1" ip daddr {{ {own} }} drop',
    ]


def test_services_of_the_host_behind_destination_nat_are_closed_too() -> None:
    chain = firewall.ruleset("inst", "pcn1", rules()).split(" chain nat_prerouting {")[1].split(" }\n")[0]
    assert 'iifname "pcn1" ip daddr { 127.0.0.1/32, 192.0.2.1/32 } drop' in chain
