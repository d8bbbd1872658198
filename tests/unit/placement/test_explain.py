"""The sentence that people read when there is no place."""

import pytest

from parcela.placement.decide import decide
from parcela.placement.types import HostSnapshot, Lack, VmRequest
from tests.unit.placement.makers import host, vm


def explain(requests: list[VmRequest], hosts: list[HostSnapshot], *, spread: bool = False) -> tuple[Lack, str]:
    missing = decide(requests, hosts, spread=spread).missing
    assert missing is not None
    return missing.lack, missing.explain()


def test_no_hosts_at_all() -> None:
    assert explain([vm(1)], []) == (Lack.NO_HOST_UP, "no host takes new VMs: there are no hosts in this zone")


def test_no_host_is_up() -> None:
    hosts = [host(1, state="draining"), host(2, reachable=False), host(3, state="down"), host(4, state="maintenance")]
    assert explain([vm(1)], hosts) == (
        Lack.NO_HOST_UP,
        "no host takes new VMs: h1 is draining, h2 does not answer, h3 is down and 1 more",
    )


def test_a_host_with_an_obstacle_is_taken_by_nobody() -> None:
    closed, free, full = host(1, obstacle=True), host(2, 2, 2048), host(3, 1, 512)
    assert set(decide([vm(1)], [closed, free, full]).assignments.values()) == {2}
    decision = decide([vm(1)], [closed, full])
    assert [(r.host_name, r.filter_name, r.reason) for r in decision.rejections] == [
        ("h1", "obstacle", "h1 can start no VM (the log and 'parcela doctor' say why)"),
        ("h3", "memory", "h3 has 512 of 1024 MiB of memory free"),
    ]
    assert explain([vm(1)], [closed]) == (
        Lack.NO_HOST_UP,
        "no host takes new VMs: h1 can start no VM (the log and 'parcela doctor' say why)",
    )


def test_no_host_can_do_it() -> None:
    hosts = [host(1, capabilities=frozenset({"nat"})), host(2, capabilities=frozenset())]
    assert explain([vm(1, 1, 1, 1, "nat", "live_recable")], hosts) == (
        Lack.CAPABILITY,
        "no host that is up can do what is needed: live_recable",
    )


def test_no_host_has_room() -> None:
    hosts = [host(1, 2, 1024, 40), host(2, 1, 1024, 40)]
    assert explain([vm(key, 1, 2048, 2) for key in range(4)], hosts) == (
        Lack.ROOM,
        (
            "no host has room: 4 VMs need 4 vCPUs, 8192 MiB and 8 GiB; the best host (h1) has 2 vCPUs, 1024 MiB and "
            "40 GiB free, so 2 vCPUs and 7168 MiB of memory are lacking"
        ),
    )


@pytest.mark.parametrize(
    ("request_", "lacking"),
    [
        (vm(1, 9, 1, 1), "1 vCPU are lacking"),
        (vm(1, 1, 8193, 1), "1 MiB of memory are lacking"),
        (vm(1, 1, 1, 107), "7 GiB of disk are lacking"),
    ],
)
def test_it_names_the_resource_that_is_lacking(request_: VmRequest, lacking: str) -> None:
    lack, sentence = explain([request_], [host(1)])
    assert lack is Lack.ROOM
    assert sentence.endswith(lacking)


def test_one_vm_that_is_too_large_is_named_by_itself_when_spreading() -> None:
    lack, sentence = explain([vm(1), vm(2, 16)], [host(1), host(2)], spread=True)
    assert lack is Lack.ROOM
    assert sentence.startswith("no host has room: 1 VM needs 16 vCPUs")


def test_spreading_counts_all_hosts_together() -> None:
    lack, sentence = explain([vm(key, 5) for key in range(4)], [host(1), host(2)], spread=True)
    assert lack is Lack.ROOM
    assert sentence == (
        "no host has room: 4 VMs need 20 vCPUs, 4096 MiB and 8 GiB; all hosts together have 16 vCPUs, 16384 MiB and "
        "200 GiB free, so 4 vCPUs are lacking"
    )


def test_enough_in_sum_but_in_pieces() -> None:
    lack, sentence = explain([vm(key, 5) for key in range(3)], [host(1), host(2)], spread=True)
    assert lack is Lack.FRAGMENTED
    assert sentence.endswith("free, but in pieces that are too small")
