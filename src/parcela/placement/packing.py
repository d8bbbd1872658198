"""Spreads VMs over hosts, on as few of them as can be found.

Two ways are tried in several variants: filling hosts in balance (``filling``), and decreasing first-fit over a search
tree (``tree``), where a try that fails puts the shapes that were left over first and goes again. Packing in three
dimensions is NP-hard; what does not fit in one order often does in another. The work is bounded by a number of steps,
not by a clock: the same question always has the same answer.

Which hosts are used matters as much as what goes where. The largest ones first is best for hosts of one make; where
some have more memory and others more processors, it took 8 % more hosts than needed. So before the number is lowered
one by one, the hosts that together cover the three sums are tried.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from parcela.placement.backtracking import try_all
from parcela.placement.filling import BONUSES, MAX_SHAPES, HostRoom, fill
from parcela.placement.shapes import Shape, group
from parcela.placement.tree import RoomTree
from parcela.placement.types import HostSnapshot, VmRequest

MAX_STEPS = 2_000_000
"""One step is one node of the tree, about 0.3 us; a refusal takes a second or two at most."""
STEPS_PER_FILLED_VM = 12
"""How many nodes are looked at in the time that filling takes for one VM."""
MAX_RETRIES = 40
SHRINKING_RETRIES = 4


@dataclass(slots=True)
class Effort:
    """What is left of the bounded work."""

    steps: int = MAX_STEPS


def pack(requests: Sequence[VmRequest], hosts: Sequence[HostSnapshot]) -> dict[int, int] | None:
    """Request key -> host id for all requests, or None when no arrangement was found.

    Args:
        requests: with unique keys.
        hosts: those that may be used; state, reachability and cross-host segments are the caller's to check.
    """
    problem = _Problem(requests, hosts)
    if not problem.can_fit_in_sum():
        return None
    effort = Effort()
    found = problem.search(len(problem.hosts), effort, MAX_RETRIES)
    if found is not None:
        found = problem.search_covering(len(set(found.values())), effort) or found
    while found is not None and effort.steps > 0:
        used = len(set(found.values()))
        if used <= problem.least_hosts():
            break
        better = problem.search(used - 1, effort, SHRINKING_RETRIES)
        if better is None:
            break
        found = better
    return found


class _Problem:
    """One question: shapes, hosts from large to small, and the scale of each resource."""

    def __init__(self, requests: Sequence[VmRequest], hosts: Sequence[HostSnapshot]) -> None:
        names = sorted({need for request in requests for need in request.needs})
        self._bits = {name: 1 << index for index, name in enumerate(names)}
        self._needed = [sum(r.vcpus for r in requests), sum(r.memory_mib for r in requests), 0]
        self._needed[2] = sum(r.disk_gib for r in requests)
        self.shapes = group(requests, self._bits)
        self.hosts = sorted(hosts, key=lambda host: (-self._share(*_free(host)), host.id))
        self._rooms: list[HostRoom] = [(host.id, *_free(host), self._mask(host)) for host in self.hosts]

    def _mask(self, host: HostSnapshot) -> int:
        return sum(bit for name, bit in self._bits.items() if name in host.capabilities)

    def _share(self, vcpus: int, memory_mib: int, disk_gib: int) -> float:
        """How large an amount is, measured by the scarcest resource of the whole demand."""
        amounts = zip((vcpus, memory_mib, disk_gib), self._needed, strict=True)
        return sum(min(1.0, amount / needed) for amount, needed in amounts if needed)

    def can_fit_in_sum(self) -> bool:
        """Whether all hosts together have enough; a quick no before any search."""
        sums = [sum(part) for part in zip(*(_free(host) for host in self.hosts), strict=True)] or [0, 0, 0]
        return bool(self.hosts) and all(free >= needed for free, needed in zip(sums, self._needed, strict=True))

    def least_hosts(self) -> int:
        """No arrangement can use fewer hosts: for each resource the number of the largest ones that have enough."""
        least = 1
        for resource, needed in enumerate(self._needed):
            left = needed
            free = sorted((_free(host)[resource] for host in self.hosts), reverse=True)
            for used, amount in enumerate(free, start=1):
                left -= amount
                if left <= 0:
                    least = max(least, used)
                    break
        return least

    def search(self, hosts: int, effort: Effort, retries: int) -> dict[int, int] | None:
        """An arrangement on the largest ``hosts`` hosts: the best of the filled ones, else the first by first-fit."""
        rooms = self._rooms[:hosts]
        if not rooms:
            return None
        filled = self._filled(rooms, effort)
        if filled is not None:
            return filled
        for order in self._orders():
            found = self._retry(order, rooms, effort, retries)
            if found is not None or effort.steps <= 0:
                return found
        return try_all(next(self._orders()), rooms)

    def _filled(self, rooms: Sequence[HostRoom], effort: Effort) -> dict[int, int] | None:
        """The arrangement on the fewest hosts that filling finds."""
        if len(self.shapes) > MAX_SHAPES:
            return None
        effort.steps -= len(BONUSES) * STEPS_PER_FILLED_VM * sum(len(shape.keys) for shape in self.shapes)
        filled = [found for bonus in BONUSES if (found := fill(self.shapes, rooms, bonus)) is not None]
        return min(filled, key=lambda found: len(set(found.values())), default=None)

    def search_covering(self, below: int, effort: Effort) -> dict[int, int] | None:
        """An arrangement on fewer than ``below`` hosts that cover the sums; from the fewest such hosts up."""
        if below <= self.least_hosts() or len(self.shapes) > MAX_SHAPES:
            return None
        order, enough = self._covering()
        for count in range(enough, below):
            if effort.steps <= 0:
                break
            # Filled from large to small, as always: what is left over then finds room in the pieces of the last ones.
            found = self._filled([self._rooms[index] for index in sorted(order[:count])], effort)
            if found is not None:
                return found
        return None

    def _covering(self) -> tuple[list[int], int]:
        """Indices of the hosts, the one next that covers most of what the ones before left; how many cover all of it.

        What a host covers only gets less while others are taken, so the one on top of the heap is looked at again, and
        taken when it is still the best: nearly always at once.
        """
        left = list(self._needed)
        order: list[int] = []
        heap = [(-self._share(*_free(host)), index) for index, host in enumerate(self.hosts)]
        while heap and any(left):
            index = heap[0][1]
            free = _free(self.hosts[index])
            amounts = zip(left, free, self._needed, strict=True)
            covered = sum(min(lacking, amount) / needed for lacking, amount, needed in amounts if needed)
            if (-covered, index) > heap[0]:
                heapq.heapreplace(heap, (-covered, index))
                continue
            heapq.heappop(heap)
            order.append(index)
            left = [max(0, lacking - amount) for lacking, amount in zip(left, free, strict=True)]
        return order + sorted(index for _, index in heap), len(order)

    @staticmethod
    def _retry(order: list[Shape], rooms: Sequence[HostRoom], effort: Effort, retries: int) -> dict[int, int] | None:
        """First-fit in this order and in orders learnt from its failures."""
        shapes = order
        for _attempt in range(retries + 1):
            found, left_over = _first_fit(shapes, rooms, effort)
            if found is not None or effort.steps <= 0:
                return found
            learnt = left_over + [shape for shape in shapes if shape not in left_over]
            if learnt == shapes:
                return None
            shapes = learnt
        return None

    def _orders(self) -> Iterator[list[Shape]]:
        """Large shapes first, by several ideas of "large"."""
        totals = [max(1, needed) for needed in self._needed]
        free = [max(1, sum(part)) for part in zip(*(_free(host) for host in self.hosts), strict=True)]
        scarcity = [needed / room for needed, room in zip(totals, free, strict=True)]

        def sizes(shape: Shape) -> list[float]:
            return [
                weight * amount / room
                for weight, amount, room in zip(
                    scarcity, (shape.vcpus, shape.memory_mib, shape.disk_gib), free, strict=True
                )
            ]

        yield sorted(self.shapes, key=lambda s: (-s.needs.bit_count(), -sum(sizes(s))))
        yield sorted(self.shapes, key=lambda s: -max(sizes(s)))
        yield sorted(self.shapes, key=lambda s: -s.memory_mib)
        yield sorted(self.shapes, key=lambda s: -s.vcpus)
        yield sorted(self.shapes, key=lambda s: -s.disk_gib)


def _first_fit(
    shapes: Sequence[Shape], rooms: Sequence[HostRoom], effort: Effort
) -> tuple[dict[int, int] | None, list[Shape]]:
    """Put every shape on the first hosts with room; the second result are the shapes that were not all placed."""
    tree = RoomTree([room[1:] for room in rooms])
    assignments: dict[int, int] = {}
    left_over: list[Shape] = []
    for shape in shapes:
        placed = 0
        while placed < len(shape.keys):
            index = tree.first(shape.vcpus, shape.memory_mib, shape.disk_gib, shape.needs)
            if index is None:
                left_over.append(shape)
                break
            copies = min(shape.copies(*tree.room(index)), len(shape.keys) - placed)
            assignments.update(dict.fromkeys(shape.keys[placed : placed + copies], rooms[index][0]))
            tree.take(index, copies * shape.vcpus, copies * shape.memory_mib, copies * shape.disk_gib)
            placed += copies
    effort.steps -= tree.looks
    return (None if left_over else assignments), left_over


def _free(host: HostSnapshot) -> tuple[int, int, int]:
    return host.vcpus_free, host.memory_free_mib, host.disk_free_gib
