"""A search tree over hosts: every node knows the most of each resource that any host below it has."""

from collections.abc import Sequence


class RoomTree:
    """Answers "which is the first host with so much room" without looking at all hosts.

    A complete binary tree in flat lists: node 1 is the root, the children of n are 2n and 2n + 1. The maxima of a node
    may come from different hosts, so a promising branch can end in nothing and the search goes back.
    """

    def __init__(self, rooms: Sequence[tuple[int, int, int, int]]) -> None:
        """Take (vCPUs, MiB, GiB, capability bits) per host, in the order of preference."""
        size = 1
        while size < len(rooms):
            size *= 2
        self._size = size
        self.looks = 0  # nodes looked at so far
        missing = [-1] * (size - len(rooms))
        columns = [list(column) for column in zip(*rooms, strict=True)] or [[], [], [], []]
        self._vcpus, self._memory, self._disk = ([-1] * size + column + missing for column in columns[:3])
        self._masks = [0] * size + columns[3] + [0] * len(missing)
        for node in range(size - 1, 0, -1):
            self._refresh(node)
            self._masks[node] = self._masks[2 * node] | self._masks[2 * node + 1]

    def first(self, vcpus: int, memory_mib: int, disk_gib: int, mask: int) -> int | None:
        """Index of the first host that has at least that much and all capabilities of the mask; None when none has."""
        all_vcpus, all_memory, all_disk, masks = self._vcpus, self._memory, self._disk, self._masks
        waiting = [1]
        while waiting:
            node = waiting.pop()
            self.looks += 1
            if (
                all_vcpus[node] < vcpus
                or all_memory[node] < memory_mib
                or all_disk[node] < disk_gib
                or masks[node] & mask != mask
            ):
                continue
            if node >= self._size:
                return node - self._size
            waiting.append(2 * node + 1)
            waiting.append(2 * node)
        return None

    def room(self, index: int) -> tuple[int, int, int]:
        """What a host has left: vCPUs, MiB, GiB."""
        node = self._size + index
        return self._vcpus[node], self._memory[node], self._disk[node]

    def take(self, index: int, vcpus: int, memory_mib: int, disk_gib: int) -> None:
        """Use that much of a host."""
        node = self._size + index
        self._vcpus[node] -= vcpus
        self._memory[node] -= memory_mib
        self._disk[node] -= disk_gib
        node //= 2
        while node:
            self._refresh(node)
            node //= 2

    def _refresh(self, node: int) -> None:
        left, right = 2 * node, 2 * node + 1
        for column in (self._vcpus, self._memory, self._disk):
            column[node] = max(column[left], column[right])
