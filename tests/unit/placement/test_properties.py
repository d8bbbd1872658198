"""What holds for every decision, on generated labs."""

from itertools import product
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from parcela.placement.decide import decide
from parcela.placement.types import CROSS_HOST_SEGMENTS, HostSnapshot, Lack, VmRequest
from tests.unit.placement.makers import CROSS, assert_sound, host

capabilities = st.frozensets(st.sampled_from([CROSS_HOST_SEGMENTS, "nat", "lan_segments"]))
hosts_lists = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.integers(0, 12),
        st.integers(0, 12),
        st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6)),
        st.sampled_from(["up", "up", "up", "draining", "maintenance", "down"]),
        st.sampled_from([True, True, True, False]),
        capabilities,
    ),
    max_size=6,
).map(
    lambda rows: [
        host(index, a, b, c, used=used, state=state, reachable=reachable, capabilities=caps)
        for index, (a, b, c, used, state, reachable, caps) in enumerate(rows)
    ],
)
requests_lists = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.integers(0, 5),
        st.integers(0, 5),
        st.frozensets(st.sampled_from(["nat", "lan_segments"]), max_size=1),
    ),
    max_size=12,
).map(lambda rows: [VmRequest(key, *row) for key, row in enumerate(rows)])


@settings(deadline=None)
@given(requests_lists, hosts_lists, st.booleans())
def test_all_or_nothing_within_every_limit(requests: list[VmRequest], hosts: list[HostSnapshot], spread: bool) -> None:
    assert_sound(decide(requests, hosts, spread=spread), requests, hosts)


@settings(deadline=None)
@given(requests_lists, hosts_lists, st.booleans(), st.randoms(use_true_random=False))
def test_the_same_question_has_the_same_answer(
    requests: list[VmRequest], hosts: list[HostSnapshot], spread: bool, random: Random
) -> None:
    shuffled = list(hosts)
    random.shuffle(shuffled)
    assert decide(requests, shuffled, spread=spread).assignments == decide(requests, hosts, spread=spread).assignments


@settings(deadline=None)
@given(requests_lists, hosts_lists, st.booleans())
def test_every_refusal_says_why(requests: list[VmRequest], hosts: list[HostSnapshot], spread: bool) -> None:
    decision = decide(requests, hosts, spread=spread)
    if decision.missing is None:
        return
    sentence = decision.missing.explain()
    assert len(decision.rejections) == len(hosts)
    match decision.missing.lack:
        case Lack.NO_HOST_UP:
            assert not any(one.state == "up" and one.reachable for one in hosts)
        case Lack.CAPABILITY:
            assert decision.missing.capability
            assert decision.missing.capability in sentence
        case Lack.ROOM:
            assert decision.missing.short.listed()
            assert decision.missing.short.listed() in sentence
        case Lack.FRAGMENTED:
            assert spread
            assert len(hosts) > 1


@settings(deadline=None)
@given(requests_lists, hosts_lists)
def test_spreading_never_makes_it_worse(requests: list[VmRequest], hosts: list[HostSnapshot]) -> None:
    if decide(requests, hosts).missing is None:
        assert decide(requests, hosts, spread=True).missing is None


small_vms = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=6)
small_hosts = st.lists(st.tuples(st.integers(1, 10), st.integers(1, 10)), min_size=1, max_size=3)


@settings(deadline=None)
@given(small_vms, small_hosts)
def test_it_finds_a_place_wherever_there_is_one(vms: list[tuple[int, int]], rooms: list[tuple[int, int]]) -> None:
    """Against trying everything: on small labs the search misses nothing."""
    requests = [VmRequest(key, vcpus, memory_mib, 0) for key, (vcpus, memory_mib) in enumerate(vms)]
    hosts = [host(index, vcpus, memory_mib, capabilities=CROSS) for index, (vcpus, memory_mib) in enumerate(rooms)]
    possible = any(_fits(vms, rooms, choice) for choice in product(range(len(rooms)), repeat=len(vms)))
    assert (decide(requests, hosts, spread=True).missing is None) == possible


def _fits(vms: list[tuple[int, int]], rooms: list[tuple[int, int]], choice: tuple[int, ...]) -> bool:
    return all(
        sum(vm[resource] for vm, chosen in zip(vms, choice, strict=True) if chosen == index) <= room[resource]
        for index, room in enumerate(rooms)
        for resource in (0, 1)
    )
