"""Between rows and plans: what a plan needs to know of VMs, and the rows of its steps."""

from collections.abc import Sequence

from parcela.models import OperationStep, VirtualMachine
from parcela.repositories.uow import ReadUnitOfWork
from parcela.services.operations.plans import PlannedStep, PlanVm


async def plan_vms(
    uow: ReadUnitOfWork, vms: Sequence[VirtualMachine], hosts: dict[int, int] | None = None
) -> tuple[list[PlanVm], dict[int, str], dict[int, frozenset[str]]]:
    """What plans and placement need of VMs.

    Args:
        uow: where to read.
        vms: rows.
        hosts: host id by VM id when the rows do not say yet.

    Returns:
        (plan VMs, name by segment id, needed capabilities by VM id).
    """
    nics = await uow.segments.nics_of([vm.id for vm in vms])
    names: dict[int, str] = {}
    needs: dict[int, frozenset[str]] = {}
    planned: list[PlanVm] = []
    for vm in vms:
        mine = [(nic, segment) for nic, segment in nics if nic.vm_id == vm.id and segment is not None]
        names.update({segment.id: segment.name for _, segment in mine})
        wanted = {"nat" for _, segment in mine if segment.kind == "nat"}
        wanted |= {"lan_segments" for _, segment in mine if segment.kind == "lan"}
        needs[vm.id] = frozenset(wanted)
        private = tuple(dict.fromkeys(segment.id for _, segment in mine if segment.kind != "nat"))
        nat = next((segment.id for _, segment in mine if segment.kind == "nat"), None)
        host_id = (hosts or {}).get(vm.id) or vm.host_id or 0
        planned.append(PlanVm(vm.id, vm.name, host_id, vm.image_id, private, nat))
    return planned, names, needs


def step_rows(operation_id: int, steps: Sequence[PlannedStep]) -> list[OperationStep]:
    """The rows of a plan."""
    return [
        OperationStep(
            operation_id=operation_id,
            position=position,
            key=step.key,
            kind=step.kind,
            label=step.label[:200],
            depends_on=list(step.depends_on),
            host_id=step.host_id,
            vm_id=step.vm_id,
            segment_id=step.segment_id,
            image_id=step.image_id,
            args=step.args,
            attempts=0,
            message="",
        )
        for position, step in enumerate(steps)
    ]
