"""The choice of hosts, case by case."""

import pytest

from parcela.placement.decide import decide
from parcela.placement.rules import PACKED
from parcela.placement.types import CROSS_HOST_SEGMENTS
from tests.unit.placement.makers import assert_sound, host, vm


def test_no_vms_need_no_host() -> None:
    decision = decide([], [])
    assert decision.assignments == {}
    assert decision.missing is None


def test_a_slice_goes_to_one_host_even_when_it_may_be_spread() -> None:
    requests = [vm(key) for key in range(8)]
    decision = decide(requests, [host(1), host(2), host(3)], spread=True)
    assert_sound(decision, requests, [host(1), host(2), host(3)])
    assert len(set(decision.assignments.values())) == 1


def test_the_lowest_id_wins_among_equals_in_any_order() -> None:
    assert decide([vm(1)], [host(9), host(3), host(5)]).assignments == {1: 3}


def test_the_host_with_most_room_is_preferred() -> None:
    hosts = [host(1, used=(4, 4096, 0)), host(2), host(3, used=(2, 2048, 0))]
    assert decide([vm(1)], hosts).assignments == {1: 2}


def test_the_host_with_fewest_vms_is_preferred_among_equally_free_ones() -> None:
    assert decide([vm(1)], [host(1, vms=5), host(2, vms=1)]).assignments == {1: 2}


def test_packed_weighers_prefer_the_fullest_host() -> None:
    hosts = [host(1), host(2, used=(6, 6144, 0)), host(3, used=(2, 2048, 0))]
    assert decide([vm(1)], hosts, weighers=PACKED).assignments == {1: 2}


def test_the_whole_slice_is_counted_against_the_host() -> None:
    requests = [vm(key, vcpus=4) for key in range(3)]
    decision = decide(requests, [host(1), host(2)])
    assert decision.assignments == {}
    assert [(r.host_name, r.filter_name) for r in decision.rejections] == [("h1", "vcpus"), ("h2", "vcpus")]
    assert decision.rejections[0].reason == "h1 has 8 of 12 vCPUs free"


def test_it_spreads_when_allowed() -> None:
    requests = [vm(key, vcpus=4) for key in range(3)]
    hosts = [host(1), host(2)]
    decision = decide(requests, hosts, spread=True)
    assert_sound(decision, requests, hosts)
    assert set(decision.assignments.values()) == {1, 2}


def test_it_never_spreads_over_hosts_that_cannot_join_segments() -> None:
    requests = [vm(key, vcpus=4) for key in range(3)]
    hosts = [host(1), host(2, capabilities=frozenset())]
    decision = decide(requests, hosts, spread=True)
    assert decision.missing is not None
    assert decision.missing.capability == CROSS_HOST_SEGMENTS
    assert CROSS_HOST_SEGMENTS in decision.missing.explain()


def test_a_host_without_joined_segments_still_takes_a_whole_slice() -> None:
    requests = [vm(key, vcpus=4) for key in range(3)]
    hosts = [host(1), host(2, vcpus=16, memory_mib=16384, capabilities=frozenset()), host(3)]
    assert set(decide(requests, hosts, spread=True).assignments.values()) == {2}


def test_needs_of_single_vms_decide_where_they_go_when_spread() -> None:
    requests = [vm(1, 8), vm(2, 8, 1024, 2, "nat")]
    hosts = [host(1, capabilities=frozenset({CROSS_HOST_SEGMENTS, "nat"})), host(2)]
    assert decide(requests, hosts, spread=True).assignments == {1: 2, 2: 1}


def test_as_few_hosts_as_possible_are_used() -> None:
    requests = [vm(key, vcpus=2) for key in range(12)]
    hosts = [host(1, vcpus=4), host(2, vcpus=16, memory_mib=16384), host(3, vcpus=4), host(4, vcpus=8)]
    decision = decide(requests, hosts, spread=True)
    assert_sound(decision, requests, hosts)
    assert set(decision.assignments.values()) == {2, 4}


def test_a_limit_below_what_is_used_leaves_no_room() -> None:
    decision = decide([vm(1)], [host(1, vcpus=2, used=(6, 0, 0))])
    assert decision.missing is not None
    assert decision.missing.free.vcpus == 0


def test_the_same_key_twice_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="same key"):
        decide([vm(1), vm(1)], [host(1)])


@pytest.mark.parametrize("seed_order", [[0, 1, 2, 3], [3, 1, 0, 2], [2, 3, 1, 0]])
def test_the_order_of_hosts_does_not_matter(seed_order: list[int]) -> None:
    requests = [vm(key, 1 + key % 3, 512 * (1 + key % 5)) for key in range(12)]
    hosts = [host(index, 6 + index, 8192) for index in range(4)]
    expected = decide(requests, hosts, spread=True)
    assert decide(requests, [hosts[index] for index in seed_order], spread=True).assignments == expected.assignments
