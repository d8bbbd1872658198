"""Which connections are let in, and which have to go."""

from dataclasses import dataclass, field

import pytest

from parcela.services.traffic.connections import AT_WORK, UNFINISHED, WAITING, ConnectionLimits, ConnectionTable
from tests.unit.services.traffic.settings import settings_of

NOW = 10.0


@dataclass(eq=False)
class Fake:
    """A connection that knows what it is worth."""

    value: int = WAITING
    since: float = 1.0
    address: str = ""
    evicted: bool = False
    slow: str = ""
    checked: list[float] = field(default_factory=list)

    def worth(self) -> int:
        return self.value

    def evict(self) -> None:
        self.evicted = True

    def check(self, now: float) -> str:
        self.checked.append(now)
        return self.slow


def table(total: int = 10, reserve: int = 2, per_address: int = 4, exempt: tuple[str, ...] = ()) -> ConnectionTable:
    return ConnectionTable(ConnectionLimits(total, reserve, per_address, exempt), now=lambda: NOW)


def fill(connections: ConnectionTable, address: str, *values: int) -> list[Fake]:
    made = [Fake(value) for value in values]
    assert [connections.enter(one, address) for one in made] == [""] * len(made)
    return made


def test_the_oldest_that_waits_goes_first_and_bodies_after_all_that_wait() -> None:
    connections = table()
    body, old, new, work = fill(connections, "192.0.2.1", UNFINISHED, WAITING, WAITING, AT_WORK)
    for victim in (old, new, body):
        fill(connections, "192.0.2.1", AT_WORK)
        assert victim.evicted
    assert not work.evicted
    assert connections.enter(Fake(), "192.0.2.1") == "address"
    assert (connections.refused, connections.closed) == ({"address": 1}, {"evicted": 3})
    assert connections.open == 4


def test_one_that_was_just_opened_goes_after_a_body_that_is_coming() -> None:
    connections = table()
    fresh = Fake(WAITING, since=NOW - 0.1)
    assert connections.enter(fresh, "192.0.2.1") == ""
    body, _, _ = fill(connections, "192.0.2.1", UNFINISHED, AT_WORK, AT_WORK)
    fill(connections, "192.0.2.1", AT_WORK)
    assert (body.evicted, fresh.evicted) == (True, False)
    fill(connections, "192.0.2.1", AT_WORK)
    assert fresh.evicted


def test_one_that_has_begun_to_work_meanwhile_stays() -> None:
    connections = table()
    first, second, third, _ = fill(connections, "192.0.2.1", WAITING, WAITING, WAITING, WAITING)
    fill(connections, "192.0.2.1", WAITING)
    second.value = AT_WORK
    fill(connections, "192.0.2.1", WAITING)
    assert (first.evicted, second.evicted, third.evicted) == (True, False, True)


def test_a_full_server_takes_bodies_from_the_address_that_has_most() -> None:
    connections = table(total=6)
    (honest,) = fill(connections, "192.0.2.1", UNFINISHED)
    many = fill(connections, "192.0.2.2", UNFINISHED, UNFINISHED, UNFINISHED)
    fill(connections, "192.0.2.3", AT_WORK, AT_WORK)
    fill(connections, "192.0.2.4", WAITING)
    assert many[0].evicted
    assert not honest.evicted


def test_what_is_in_reserve_is_for_addresses_with_few() -> None:
    connections = table(total=10, reserve=2, per_address=0)
    fill(connections, "192.0.2.1", *[AT_WORK] * 10)
    assert connections.enter(Fake(), "192.0.2.1") == "total"
    fill(connections, "192.0.2.2", AT_WORK, AT_WORK)
    assert connections.enter(Fake(), "192.0.2.3") == "total"


def test_a_place_is_free_again_when_its_connection_has_left() -> None:
    connections = table(per_address=1)
    (first,) = fill(connections, "192.0.2.1", AT_WORK)
    assert connections.enter(Fake(), "192.0.2.1") == "address"
    connections.leave(first)
    connections.leave(first)
    fill(connections, "192.0.2.1", AT_WORK)
    assert (connections.open, connections.addresses) == (1, 1)


def test_a_connection_goes_on_as_a_websocket() -> None:
    connections = table(per_address=1)
    (before,) = fill(connections, "192.0.2.1", WAITING)
    after = Fake(AT_WORK)
    connections.hand_over(before, after)
    connections.leave(before)
    assert connections.open == 1
    assert connections.enter(Fake(), "192.0.2.1") == "address"
    connections.leave(after)
    assert (connections.open, connections.addresses) == (0, 0)


@pytest.mark.parametrize(
    ("first", "second"),
    [("2001:db8:1:2::3", "2001:db8:1:2:ffff::4"), ("192.0.2.1", "::ffff:192.0.2.1")],
    ids=["one-64", "mapped"],
)
def test_addresses_of_one_network_count_together(first: str, second: str) -> None:
    connections = table(per_address=1)
    fill(connections, first, AT_WORK)
    assert connections.enter(Fake(), second) == "address"


@pytest.mark.parametrize("address", ["192.0.2.7", "::ffff:192.0.2.7"])
def test_the_connections_of_a_trusted_proxy_are_those_of_many_people(address: str) -> None:
    connections = table(total=8, reserve=0, exempt=("192.0.2.0/28",))
    proxied = fill(connections, address, *[UNFINISHED] * 6)
    (other,) = fill(connections, "198.51.100.1", UNFINISHED)
    fill(connections, address, WAITING, AT_WORK)
    fill(connections, address, AT_WORK)
    assert not any(one.evicted for one in proxied[1:])
    assert other.evicted


def test_slow_ones_are_counted_by_the_reason_they_were_closed_for() -> None:
    connections = table()
    slow, fine = fill(connections, "192.0.2.1", WAITING, WAITING)
    slow.slow = "header"
    connections.check(7.0)
    assert (slow.checked, fine.checked, connections.closed) == ([7.0], [7.0], {"header": 1})


def test_a_flood_that_finds_nothing_to_close_does_not_look_each_time() -> None:
    moments = [0.0]
    connections = ConnectionTable(ConnectionLimits(100, 0, 0), now=lambda: moments[0])
    workers = fill(connections, "192.0.2.1", *[AT_WORK] * 100)
    assert connections.enter(Fake(), "192.0.2.9") == "total"
    workers[0].value = WAITING
    assert connections.enter(Fake(), "192.0.2.9") == "total"
    moments[0] += 0.2
    assert connections.enter(Fake(), "192.0.2.9") == ""
    assert workers[0].evicted


@pytest.mark.parametrize(
    ("files", "asked", "per_address", "wanted"),
    [
        (65536, 0, 1000, (7680, 512, 1000)),
        (1024, 0, 1000, (840, 56, 210)),
        (256, 0, 0, (180, 12, 0)),
        (65536, 100, 1000, (94, 6, 23)),
        (1024, 100000, 50, (840, 56, 50)),
    ],
)
def test_limits_fit_into_the_open_files(files: int, asked: int, per_address: int, wanted: tuple[int, int, int]) -> None:
    settings = settings_of(PARCELA_MAX_CONNECTIONS=asked, PARCELA_MAX_CONNECTIONS_PER_ADDRESS=per_address)
    limits = ConnectionLimits.of(settings, files)
    assert (limits.total, limits.reserve, limits.per_address) == wanted
    assert limits.total + limits.reserve < files
