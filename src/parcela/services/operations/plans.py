"""Plans: which steps an action takes, and in what order. Pure: rows in, steps out.

A plan is a graph. Steps of different VMs run side by side; an edge is there only where one needs what the other made.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from parcela.core.lifecycle import Action


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step before it is a row. ``key`` is unique in its operation."""

    key: str
    kind: str
    label: str
    host_id: int
    depends_on: tuple[str, ...] = ()
    vm_id: int | None = None
    segment_id: int | None = None
    image_id: int | None = None
    args: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlanVm:
    """What a plan needs to know of a VM that has a host."""

    id: int
    name: str
    host_id: int
    image_id: int
    segment_ids: tuple[int, ...]  # without the NAT segment
    nat_segment_id: int | None = None

    @property
    def all_segment_ids(self) -> tuple[int, ...]:
        """Its segments, the NAT segment last."""
        return self.segment_ids if self.nat_segment_id is None else (*self.segment_ids, self.nat_segment_id)


def deploy(vms: Sequence[PlanVm], segment_names: dict[int, str], *, paused: bool = False) -> list[PlannedStep]:
    """Image and segments first, then each VM on its own: create, boot."""
    steps: dict[str, PlannedStep] = {}
    for vm in vms:
        image_key = f"image:{vm.image_id}@{vm.host_id}"
        if image_key not in steps:
            steps[image_key] = PlannedStep(
                image_key, "ensure_image", "Bring the image to the host", vm.host_id, image_id=vm.image_id
            )
        for segment_id in vm.all_segment_ids:
            key = f"segment:{segment_id}@{vm.host_id}"
            if key not in steps:
                label = f"Lay the network {segment_names.get(segment_id, segment_id)}"
                steps[key] = PlannedStep(key, "ensure_segment", label, vm.host_id, segment_id=segment_id)
    for vm in vms:
        needs = (f"image:{vm.image_id}@{vm.host_id}", *(f"segment:{s}@{vm.host_id}" for s in vm.all_segment_ids))
        steps[f"create:{vm.id}"] = PlannedStep(
            f"create:{vm.id}", "create_vm", f"Make {vm.name}", vm.host_id, needs, vm_id=vm.id
        )
    for vm in vms:
        kind, label = ("start_paused_vm", "Create paused") if paused else ("boot_vm", "Boot")
        steps[f"boot:{vm.id}"] = PlannedStep(
            f"boot:{vm.id}", kind, f"{label} {vm.name}", vm.host_id, (f"create:{vm.id}",), vm_id=vm.id
        )
    return list(steps.values())


def destroy(vms: Sequence[PlanVm], segment_names: dict[int, str]) -> list[PlannedStep]:
    """Remove the VMs side by side, then the segments each host has no VM left on."""
    steps = [PlannedStep(f"remove:{vm.id}", "remove_vm", f"Remove {vm.name}", vm.host_id, vm_id=vm.id) for vm in vms]
    users: dict[tuple[int, int], list[str]] = {}
    nat: set[tuple[int, int]] = set()
    for vm in vms:
        for segment_id in vm.all_segment_ids:
            users.setdefault((segment_id, vm.host_id), []).append(f"remove:{vm.id}")
        if vm.nat_segment_id is not None:
            nat.add((vm.nat_segment_id, vm.host_id))
    for (segment_id, host_id), needs in users.items():
        kind = "remove_nat" if (segment_id, host_id) in nat else "remove_segment"
        label = f"Take up the network {segment_names.get(segment_id, segment_id)}"
        steps.append(
            PlannedStep(f"segment:{segment_id}@{host_id}", kind, label, host_id, tuple(needs), segment_id=segment_id)
        )
    return steps


_SIMPLE: dict[Action, tuple[str, str]] = {
    Action.START: ("boot_vm", "Boot"),
    Action.STOP: ("shut_down_vm", "Shut down"),
    Action.REBOOT: ("reboot_vm", "Reboot"),
    Action.SUSPEND: ("suspend_vm", "Suspend"),
    Action.RESUME: ("resume_vm", "Resume"),
    Action.UPDATE: ("update_vm", "Change"),
}


def act(
    action: Action,
    vms: Iterable[PlanVm],
    broken: Collection[int],
    segment_names: dict[int, str],
    *,
    force: bool = False,
) -> list[PlannedStep]:
    """One step per VM, side by side; more for a reset (off, fresh disk, boot) and for starting what is broken.

    Args:
        action: what to do with each VM.
        vms: on which.
        broken: ids of VMs in error: whatever is missing of them on their hosts is made again first.
        segment_names: for labels.
        force: a stop powers off at once and does not ask the guest.
    """
    steps: dict[str, PlannedStep] = {}
    for vm in vms:
        mended = vm.id in broken and action in {Action.START, Action.RESET}
        for step in deploy([vm], segment_names) if mended else []:
            if action is Action.START or step.kind != "boot_vm":
                steps.setdefault(step.key, step)
        if action is Action.RESET:
            needs = (f"create:{vm.id}",) if mended else ()
            steps.update({step.key: step for step in reset(vm, needs)})
        elif not mended:
            kind, label = ("power_off_vm", "Power off") if force and action is Action.STOP else _SIMPLE[action]
            key = f"{action.value}:{vm.id}"
            steps[key] = PlannedStep(key, kind, f"{label} {vm.name}", vm.host_id, vm_id=vm.id)
    return list(steps.values())


def change(vm: PlanVm, before: dict[str, Any], power: Action | None = None) -> list[PlannedStep]:
    """Give a VM that is off other sizes or another name; ``STOP`` switches it off before, ``START`` on afterwards.

    Args:
        vm: which one, as it is to be.
        before: what its row had, for a change that fails.
        power: ``START``, ``STOP`` or None.
    """
    (update,) = act(Action.UPDATE, [vm], set(), {})
    update = replace(update, args={"before": before})
    if power is None:
        return [update]
    (turn,) = act(power, [vm], set(), {})
    if power is Action.START:
        return [update, replace(turn, depends_on=(update.key,))]
    return [turn, replace(update, depends_on=(turn.key,))]


def reset(vm: PlanVm, needs: tuple[str, ...] = ()) -> list[PlannedStep]:
    """Off at once (its disk is thrown away anyway), a fresh disk with the same id, MACs and addresses, and boot."""
    off, disk, boot = f"off:{vm.id}", f"disk:{vm.id}", f"boot:{vm.id}"
    return [
        PlannedStep(off, "power_off_vm", f"Switch {vm.name} off", vm.host_id, needs, vm_id=vm.id),
        PlannedStep(disk, "reset_disk", f"Give {vm.name} a fresh disk", vm.host_id, (off,), vm_id=vm.id),
        PlannedStep(boot, "boot_vm", f"Boot {vm.name}", vm.host_id, (disk,), vm_id=vm.id),
    ]
