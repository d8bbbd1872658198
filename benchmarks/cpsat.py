"""Solves placements with OR-Tools CP-SAT: instances as JSON on stdin, answers as JSON on stdout.

Runs under the interpreter of ``benchmarks.tools``, so it imports nothing of ours. An instance is ``{"shapes": [[vcpus,
memory, disk, count], ...], "hosts": [[vcpus, memory, disk], ...]}``. The answer is the least number of hosts that hold
all of them: ``{"hosts": 7, "state": "OPTIMAL"}``; ``hosts`` is null when there is no arrangement, or none was found.
"""

import json
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from ortools.sat.python import cp_model

SECONDS = 20.0
"""What an instance may take; the one that takes longer counts as not solved."""


def solve(shapes: Sequence[Sequence[int]], hosts: Sequence[Sequence[int]]) -> dict[str, Any]:
    model = cp_model.CpModel()
    used = [model.new_bool_var("") for _ in hosts]
    counts = [[model.new_int_var(0, shape[3], "") for _ in hosts] for shape in shapes]
    for shape, row in zip(shapes, counts, strict=True):
        model.add(sum(row) == shape[3])
    for index, host in enumerate(hosts):
        for resource in range(3):
            taken = sum(shape[resource] * row[index] for shape, row in zip(shapes, counts, strict=True))
            model.add(taken <= host[resource] * used[index])
    for one, two in pairwise(range(len(hosts))):
        if hosts[one] == hosts[two]:  # of equal hosts the first are used first: the other orders are the same answer
            model.add(used[one] >= used[two])
    for resource in range(3):  # follows from the rest, and saves the solver from finding it out
        needed = sum(shape[resource] * shape[3] for shape in shapes)
        model.add(sum(host[resource] * use for host, use in zip(hosts, used, strict=True)) >= needed)
    model.minimize(sum(used))
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = SECONDS
    state = solver.solve(model)
    found = state in {cp_model.OPTIMAL, cp_model.FEASIBLE}
    return {"hosts": round(solver.objective_value) if found else None, "state": solver.status_name(state)}


if __name__ == "__main__":
    instances = json.load(sys.stdin)
    json.dump([solve(instance["shapes"], instance["hosts"]) for instance in instances], sys.stdout)
