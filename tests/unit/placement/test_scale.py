"""Thousands of VMs at once: the quick ways are used and stay sound. How long it takes is measured in benchmarks/."""

from random import Random

import pytest

from parcela.placement.decide import decide
from parcela.placement.types import VmRequest
from tests.unit.placement.makers import assert_sound, host

FLAVOURS = [(1, 1024, 2), (1, 2048, 3), (2, 2048, 4), (2, 4096, 6), (4, 8192, 8), (8, 12288, 10), (16, 16384, 12)]


@pytest.mark.parametrize("distinct", [False, True])
def test_many_vms_on_many_hosts(distinct: bool) -> None:
    random = Random(3)  # noqa: S311 -- the same lab in every run
    sizes = [
        (random.randint(1, 16), random.randint(64, 16384), random.randint(1, 20))
        if distinct
        else random.choice(FLAVOURS)
        for _ in range(2000)
    ]
    requests = [VmRequest(key, *size) for key, size in enumerate(sizes)]
    hosts = [host(index, 32 * (1 + index % 3), 65536 * (1 + index % 2), 1000) for index in range(400)]
    decision = decide(requests, hosts, spread=True)
    assert decision.missing is None
    assert_sound(decision, requests, hosts)


def test_equal_vms_use_no_more_hosts_than_needed() -> None:
    requests = [VmRequest(key, 1, 1024, 2) for key in range(1000)]
    hosts = [host(index, 10, 10240, 100) for index in range(200)]
    assert len(set(decide(requests, hosts, spread=True).assignments.values())) == 100


def test_hosts_of_two_makes_are_chosen_for_what_they_have_most_of() -> None:
    """The hosts with much memory are larger, but only one of them and one with many processors hold it all."""
    heavy = [VmRequest(key, 6, 1024, 1) for key in range(5)]
    large = [VmRequest(key, 1, 8192, 1) for key in range(5, 10)]
    hosts = [host(index, 10, 49152, 100) for index in range(4)] + [host(index, 32, 8192, 100) for index in range(4, 6)]
    decision = decide(heavy + large, hosts, spread=True)
    assert_sound(decision, heavy + large, hosts)
    assert len(set(decision.assignments.values())) == 2
