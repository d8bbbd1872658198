"""What somebody says who wants a stand-alone VM, and what is planned of it."""

from dataclasses import dataclass, replace

from parcela.core.errors import Problem, invalid
from parcela.core.labels import checked_label
from parcela.core.lifecycle import CrashPolicy
from parcela.core.topology.catalogue import Catalogue
from parcela.core.topology.document import parse_document
from parcela.core.topology.expand import PlannedVm, expand
from parcela.core.topology.names import claim, is_label, slug
from parcela.repositories.uow import ReadUnitOfWork
from parcela.services.access import Caller

SHARED_CHARS = 50
"""Characters that a derived name keeps however long the number behind it is."""


@dataclass(frozen=True, slots=True)
class VmOrder:
    """A stand-alone VM somebody wants.

    Attributes:
        name: host name, an RFC 1123 label; None makes one of the label.
        label: what its owner calls it, 1..100 printable characters; "" for the name.
        cores: vCPUs, 1..128; None takes the flavour's.
        ram: MiB, 64..1048576; None takes the flavour's.
        disk: GiB, 1..16384; None takes the flavour's.
        os: name of the image.
        flavour: name of a flavour, or None when all three sizes are given.
        public_access: a NIC with DHCP and NAT to the outside.
        ssh_keys: authorised keys.
        user_data: ``#!`` script or ``#cloud-config``.
        zone: name; None for the first.
        crash_policy: what happens when its QEMU dies.
        project_id: project it is made in and counted by; None for the caller alone.
    """

    name: str | None
    os: str
    label: str = ""
    cores: int | None = None
    ram: int | None = None
    disk: int | None = None
    flavour: str | None = None
    public_access: bool = True
    ssh_keys: tuple[str, ...] = ()
    user_data: str | None = None
    zone: str | None = None
    crash_policy: CrashPolicy = CrashPolicy.ERROR
    project_id: int | None = None


async def named(uow: ReadUnitOfWork, caller: Caller, order: VmOrder) -> VmOrder:
    """The order with a checked label, and with a host name that no other single VM of the owner has if it came without.

    Raises:
        ParcelaError: kind ``invalid`` for a bad label, or for neither a name nor a label.
    """
    label = checked_label(order.label)
    if order.name is not None:
        return replace(order, label=label)
    if not label:
        text = "Give a name (a host name), a label (any words), or both."
        raise invalid("name_missing", text, Problem("body.name", text, "name_missing"))
    wanted = label if is_label(label) else slug(label) or "vm"
    taken = await uow.vms.names_beginning(caller.user_id, wanted[:SHARED_CHARS])
    return replace(order, label=label, name=claim(wanted, {name.casefold() for name in taken}))


def plan_order(order: VmOrder, catalogue: Catalogue) -> PlannedVm:
    """A stand-alone VM is a topology of one, so it obeys the same rules."""
    # Through the reader, not the constructor: not every edge has checked the values, and what is wrong has to be told.
    vm = {
        "name": order.name,
        "image": order.os,
        "flavour": order.flavour,
        "vcpus": order.cores,
        "memory_mib": order.ram,
        "disk_gib": order.disk,
        "public_access": order.public_access,
        "user_data": order.user_data,
        "ssh_keys": list(order.ssh_keys),
    }
    document = parse_document({"vms": [vm]})
    return expand(document, catalogue).vms[0]
