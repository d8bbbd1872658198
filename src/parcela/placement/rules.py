"""The filters in their order (cheap and telling ones first) and the two sets of weighers."""

from collections.abc import Sequence

from parcela.placement.filters import capability, disk, memory, obstacle, reachable, repair, space, state, vcpus
from parcela.placement.types import HostSnapshot, Rejection, VmRequest, Weigher
from parcela.placement.weighers import fewest_vms, free_memory, free_vcpus, packing

ALIVE = (state.FILTER, reachable.FILTER, obstacle.FILTER, repair.FILTER, space.FILTER)
FILTERS = (*ALIVE, capability.FILTER, vcpus.FILTER, memory.FILTER, disk.FILTER)

BALANCED: tuple[Weigher, ...] = (free_memory.WEIGHER, free_vcpus.WEIGHER, fewest_vms.WEIGHER)
"""Puts slices where most is free: the default, because guests that share a processor starve each other."""
PACKED: tuple[Weigher, ...] = (packing.WEIGHER,)
"""Fills one host after the other."""


def is_alive(host: HostSnapshot) -> bool:
    """Whether the host takes new VMs at all."""
    return not any(rule.reject(host, _NOTHING) for rule in ALIVE)


def passes(host: HostSnapshot, demand: VmRequest) -> bool:
    """Whether no filter has anything against the host."""
    # A plain loop: this runs for every host in every decision, and a generator costs as much as the rules.
    for reject in _REJECTS:  # noqa: SIM110
        if reject(host, demand) is not None:
            return False
    return True


def rejection(host: HostSnapshot, demand: VmRequest) -> Rejection | None:
    """The first reason against the host."""
    for rule in FILTERS:
        reason = rule.reject(host, demand)
        if reason is not None:
            return Rejection(host.name, rule.name, reason)
    return None


def best(hosts: Sequence[HostSnapshot], demand: VmRequest, weighers: Sequence[Weigher]) -> HostSnapshot:
    """The host with the highest sum of weighted scores; the lowest id among equals. ``hosts`` is not empty."""
    pairs = [(weigher.weight, weigher.score) for weigher in weighers]
    chosen, chosen_score = hosts[0], float("-inf")
    for host in hosts:
        score = 0.0
        for weight, rate in pairs:
            score += weight * rate(host, demand)
        if score > chosen_score or (score == chosen_score and host.id < chosen.id):
            chosen, chosen_score = host, score
    return chosen


_REJECTS = tuple(rule.reject for rule in FILTERS)
_NOTHING = VmRequest(0, 0, 0, 0)
