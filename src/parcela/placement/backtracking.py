"""Tries every arrangement of a small slice, within a number of steps: the last word where the quick ways find nothing.

First-fit missed about one in two thousand feasible slices of six VMs, by putting a large VM on the large host that two
others needed.
"""

from collections.abc import Iterator, Sequence

from parcela.placement.filling import HostRoom
from parcela.placement.shapes import Shape

MAX_VMS = 40
MAX_HOSTS = 64
MAX_LOOKS = 5000


def try_all(shapes: Sequence[Shape], rooms: Sequence[HostRoom]) -> dict[int, int] | None:
    """Request key -> host id for all; None when there is no arrangement or the steps ran out. Large shapes first."""
    items = [(shape, key) for shape in shapes for key in shape.keys]
    if len(items) > MAX_VMS or len(rooms) > MAX_HOSTS:
        return None
    left = [list(room[1:4]) for room in rooms]
    chosen: list[int] = []
    choices: list[Iterator[int]] = [_choices(items[0][0], rooms, left, 0)]
    for _look in range(MAX_LOOKS):
        index = next(choices[-1], None)
        if index is None:
            choices.pop()
            if not choices:
                return None
            _move(left[chosen.pop()], items[len(chosen)][0], 1)
            continue
        _move(left[index], items[len(chosen)][0], -1)
        chosen.append(index)
        if len(chosen) == len(items):
            return {key: rooms[host][0] for (_shape, key), host in zip(items, chosen, strict=True)}
        # Equal VMs go to hosts in ascending order: their other orders are the same arrangement.
        shape = items[len(chosen)][0]
        choices.append(_choices(shape, rooms, left, index if shape is items[len(chosen) - 1][0] else 0))
    return None


def _choices(shape: Shape, rooms: Sequence[HostRoom], left: Sequence[list[int]], start: int) -> Iterator[int]:
    """Indices of the hosts with room for one; of hosts with equal room only the first."""
    seen: set[tuple[int, ...]] = set()
    for index in range(start, len(rooms)):
        vcpus, memory_mib, disk_gib = left[index]
        mask = rooms[index][4]
        key = (vcpus, memory_mib, disk_gib, mask)
        if shape.needs & mask == shape.needs and shape.copies(vcpus, memory_mib, disk_gib) and key not in seen:
            seen.add(key)
            yield index


def _move(room: list[int], shape: Shape, sign: int) -> None:
    room[0] += sign * shape.vcpus
    room[1] += sign * shape.memory_mib
    room[2] += sign * shape.disk_gib
