"""Reserved addresses of the NAT network: one for each card, whoever asks, and again after a kill."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from parcela.hypervisors.libvirt import leases
from parcela.hypervisors.libvirt.leases import Reservations, full

SUBNET = IPv4Network("10.231.0.0/29")  # the host, and five guests: .2 to .6
A, B, C = (f"52:54:00:00:00:0{number}" for number in (1, 2, 3))


@pytest.fixture
def file(tmp_path: Path) -> Reservations:
    return Reservations(tmp_path / "folder" / "nat.parcela-hosts")


def address(number: int) -> IPv4Address:
    return SUBNET[number]


def test_a_card_keeps_its_address(file: Reservations) -> None:
    assert file.reserve(SUBNET, [A, B], [], {}) == ({A: address(2), B: address(3)}, True)
    assert file.reserve(SUBNET, [B], [A], {}) == ({A: address(2), B: address(3)}, False)
    assert file.path.read_text() == f"{A},id:*,10.231.0.2\n{B},id:*,10.231.0.3\n"
    assert file.path.stat().st_mode & 0o777 == 0o644, "dnsmasq has a user of its own"
    assert file.reserve(SUBNET, [C], [], {})[0] == {C: address(2)}, "A and B are gone"


def test_the_lease_of_before_reservations_stays_and_nobody_else_gets_one_that_is_valid(file: Reservations) -> None:
    leases = {B: "10.231.0.2", "52:54:00:00:00:99": "10.231.0.3", C: "10.99.0.2"}
    table, _ = file.reserve(SUBNET, [A, B, C], [], leases)
    assert table == {A: address(4), B: address(2), C: address(5)}


def test_a_full_network_gives_nothing_and_takes_nothing_away(file: Reservations) -> None:
    cards = [f"52:54:00:00:01:{number:02x}" for number in range(5)]
    table, _ = file.reserve(SUBNET, cards, [], {})
    assert sorted(table.values()) == [address(number) for number in range(2, 7)]
    assert file.reserve(SUBNET, [A], cards, {}) == (table, False)
    assert file.reserve(SUBNET, [A], cards[1:], {})[0][A] == table[cards[0]]
    assert "10.231.0.0/29" in str(full(SUBNET))
    assert "5 VMs" in str(full(SUBNET))


def test_what_does_not_fit_the_network_any_more_is_given_anew(file: Reservations) -> None:
    file.reserve(IPv4Network("10.9.0.0/24"), [A], [], {})
    assert file.reserve(SUBNET, [A], [], {}) == ({A: address(2)}, True)
    file.path.write_text(f"{A},id:*,10.231.0.1\n{B},id:*,10.231.0.7\nnonsense\n{C},id:*,10.231.0.5\n")
    table, _ = file.reserve(SUBNET, [A, B, C], [], {})
    assert table == {A: address(2), B: address(3), C: address(5)}
    file.remove()
    assert (file.read(), list(file.path.parent.iterdir())) == ({}, [])
    file.remove()


def test_the_file_has_one_place_also_before_libvirts_first_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "LIBVIRT_FOLDER", tmp_path / "libvirt" / "dnsmasq")
    assert leases.reservations_of("nat", tmp_path).path.parent == tmp_path
    (tmp_path / "libvirt").mkdir()
    before = leases.reservations_of("nat", tmp_path)
    before.reserve(SUBNET, [A], [], {})
    assert before.path.parent.stat().st_mode & 0o777 == 0o755, "dnsmasq reads it as a user of its own"
    assert leases.reservations_of("nat", tmp_path) == before


def _reserve(path: Path, living: list[str], mac: str) -> IPv4Address:
    table, _ = Reservations(path).reserve(IPv4Network("10.231.0.0/24"), [mac], living, {})
    return table[mac]


def test_forty_at_once_in_several_processes_get_forty_addresses(file: Reservations) -> None:
    cards = [f"52:54:00:00:01:{number:02x}" for number in range(40)]
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = list(pool.map(partial(_reserve, file.path, cards), cards))
    assert sorted(set(found)) == [IPv4Address("10.231.0.2") + number for number in range(40)]
    assert file.read() == dict(zip(cards, found, strict=True))
