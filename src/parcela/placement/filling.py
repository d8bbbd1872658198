"""Fills one host after the other with whatever keeps its three resources in balance.

First-fit by size leaves hosts with memory but no processors, or the other way round. Here every host takes, again and
again, the shape after which its free shares differ least, with a bonus for large shapes. Only for a few shapes: the
work is VMs times shapes.
"""

from collections.abc import Sequence

from parcela.placement.shapes import Shape

MAX_SHAPES = 64
BONUSES = (0.5, 0.25, 1.0, 2.0)
"""How much a large shape is worth against balance; none is best for all, so all are tried."""

HostRoom = tuple[int, int, int, int, int]
"""Host id, free vCPUs, MiB, GiB, and capability bits."""


def fill(shapes: Sequence[Shape], rooms: Sequence[HostRoom], bonus: float) -> dict[int, int] | None:
    """Request key -> host id for all, or None when some were left over."""
    left = [len(shape.keys) for shape in shapes]
    assignments: dict[int, int] = {}
    remaining = sum(left)
    for host_id, *room, mask in rooms:
        if not remaining:
            break
        # A shape that did not fit will not fit later either: the room only gets smaller.
        open_shapes = [i for i, shape in enumerate(shapes) if left[i] and shape.needs & mask == shape.needs]
        weights = [1 / amount if amount else 0.0 for amount in room]
        while True:
            open_shapes = [i for i in open_shapes if left[i] and shapes[i].copies(room[0], room[1], room[2])]
            if not open_shapes:
                break
            index = _best(shapes, open_shapes, room, weights, bonus)
            shape = shapes[index]
            left[index] -= 1
            remaining -= 1
            assignments[shape.keys[left[index]]] = host_id
            room[0] -= shape.vcpus
            room[1] -= shape.memory_mib
            room[2] -= shape.disk_gib
    return None if remaining else assignments


def _best(
    shapes: Sequence[Shape], choices: Sequence[int], room: Sequence[int], weights: Sequence[float], bonus: float
) -> int:
    """The shape after which the free shares of the host differ least; the first among equals."""
    best, best_score = choices[0], float("-inf")
    if len(choices) == 1:
        return best
    a, b, c = weights
    x, y, z = (amount * weight for amount, weight in zip(room, weights, strict=True))
    for index in choices:
        shape = shapes[index]
        dx, dy, dz = shape.vcpus * a, shape.memory_mib * b, shape.disk_gib * c
        shares = (x - dx, y - dy, z - dz)
        score = bonus * (dx + dy + dz) - (max(shares) - min(shares))
        if score > best_score:
            best, best_score = index, score
    return best
