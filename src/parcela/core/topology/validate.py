"""Whether a template can be launched: all problems of a document at once, each with its place.

Decisions:

- VMs and networks share one name space, without regard to case: both are boxes on the same drawing, and people say
  "connect it to X". Edges have their own. References of edges are exact.
- VM names are RFC 1123 labels (they become host names); names of networks and edges are any 1..63 printable characters.
- Labels hold no ``<``, ``>`` or control characters but line breaks, which are spaces in the label of the VM.
- A network without edges is no problem; it simply is not built.
- An edge to a network takes the MTU of the network; it may say a smaller one (a misconfigured NIC is an exercise),
  never a larger one, which the segment could not carry.
- Gateways and next hops must lie on a subnet drawn in the document. The NAT network of ``public_access`` does not
  count: its numbers belong to the host and DHCP brings its route.
- No NIC and no route has an address of the NAT network, nor of any range that it may be made of: a guest with public
  access would send there what is meant for its segment, or the other way round. A subnet that only contains such a
  range (10.0.0.0/8) is fine as long as no VM of the document has public access.
- The two ends of an edge may be on different subnets: that too is an exercise.
"""

from collections import Counter
from collections.abc import Iterator

from parcela.core.errors import Problem
from parcela.core.labels import label_fault, one_line
from parcela.core.topology.addressing import address_problems, nat_problems, route_problems
from parcela.core.topology.catalogue import Catalogue, ImageInfo, listed
from parcela.core.topology.document import NetworkEnd, TemplateEdge, TemplateVm, TopologyDocument, VmEnd
from parcela.core.topology.names import MAX_NAME, is_label, is_printable_name
from parcela.core.topology.sizes import SIZE_RANGES, Size, size_of
from parcela.core.topology.sshkeys import is_ssh_key
from parcela.core.topology.wiring import wires

MAX_NICS = 32  # per VM, with the public one; each gets a PCIe root port of its own, eight ports share a slot
MTU_RANGE = (576, 9000)  # bytes; the least every IPv4 host takes, and jumbo frames
USER_DATA_STARTS = ("#!", "#cloud-config")

_PRINTABLE = f"A name has 1 to {MAX_NAME} printable characters, without a space at either end."


def validate(document: TopologyDocument, catalogue: Catalogue) -> tuple[Problem, ...]:
    """Find everything that keeps a template from being launched.

    Args:
        document: a document of the right shape.
        catalogue: the flavours and images its user may use.

    Returns:
        All problems in document order within each rule; empty when ``expand`` will work.
    """
    return (
        *_content_problems(document),
        *_name_problems(document),
        *(problem for index, vm in enumerate(document.vms) for problem in _vm_problems(f"vms[{index}]", vm, catalogue)),
        *_nic_problems(document),
        *_network_problems(document),
        *_edge_problems(document),
        *address_problems(document),
        *route_problems(document),
        *nat_problems(document, catalogue.nat_networks),
    )


def is_blank_user_data(vm: TemplateVm) -> bool:
    """Tell whether a VM has no user data: an emptied form field counts as none."""
    return vm.user_data is None or not vm.user_data.strip()


def _content_problems(document: TopologyDocument) -> Iterator[Problem]:
    if not document.vms:
        yield Problem("vms", "A template needs at least one VM.", "empty_template")


def _name_problems(document: TopologyDocument) -> Iterator[Problem]:
    for index, vm in enumerate(document.vms):
        if not is_label(vm.name):
            what = f"A VM name has 1 to {MAX_NAME} letters a-z, digits and inner hyphens (RFC 1123)."
            yield Problem(f"vms[{index}].name", what, "invalid_vm_name")
        fault = label_fault(one_line(vm.label or ""))
        if fault:
            yield Problem(f"vms[{index}].label", fault, "bad_label")
    for index, network in enumerate(document.networks):
        if not is_printable_name(network.name):
            yield Problem(f"networks[{index}].name", _PRINTABLE, "invalid_network_name")
    boxes = [(f"vms[{index}].name", vm.name) for index, vm in enumerate(document.vms)]
    boxes += [(f"networks[{index}].name", network.name) for index, network in enumerate(document.networks)]
    yield from _duplicates(boxes)
    edges = [(f"edges[{index}].name", edge.name) for index, edge in enumerate(document.edges) if edge.name is not None]
    for where, name in edges:
        if not is_printable_name(name):
            yield Problem(where, _PRINTABLE, "invalid_edge_name")
    yield from _duplicates(edges)


def _duplicates(names: list[tuple[str, str]]) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for where, name in names:
        before = first.setdefault(name.casefold(), where)
        if before != where:
            yield Problem(where, f"The name is already used by {before} (case does not count).", "duplicate_name")


def _vm_problems(where: str, vm: TemplateVm, catalogue: Catalogue) -> Iterator[Problem]:
    image = catalogue.images.get(vm.image)
    if image is None:
        what = f"There is no image '{vm.image}' that you may use; {listed(catalogue.images)}"
        yield Problem(f"{where}.image", what, "unknown_image")
    known = vm.flavour is None or vm.flavour in catalogue.flavours
    if not known:
        what = f"There is no flavour '{vm.flavour}'; {listed(catalogue.flavours)}"
        yield Problem(f"{where}.flavour", what, "unknown_flavour")
    size = size_of(vm, catalogue)
    # With a misspelt flavour only the flavour is wrong: three "missing size" on top would send people the wrong way.
    yield from _size_problems(where, size, missing_counts=known)
    if image is not None:
        yield from _image_problems(where, size, image)
    if not is_blank_user_data(vm) and not (vm.user_data or "").startswith(USER_DATA_STARTS):
        what = "User data starts with #! (a script) or #cloud-config."
        yield Problem(f"{where}.user_data", what, "invalid_user_data")
    for index, key in enumerate(vm.ssh_keys):
        if not is_ssh_key(key):
            what = "This is no public SSH key of a type that OpenSSH takes: <type> <base64> [comment], no options."
            yield Problem(f"{where}.ssh_keys[{index}]", what, "invalid_ssh_key")


def _size_problems(where: str, size: Size, *, missing_counts: bool) -> Iterator[Problem]:
    for field, (least, most) in SIZE_RANGES.items():
        value: int | None = getattr(size, field)
        if value is None:
            if missing_counts:
                yield Problem(f"{where}.{field}", "Give a flavour, or all three sizes.", "missing_size")
        elif not least <= value <= most:
            yield Problem(f"{where}.{field}", f"{value} is not allowed: {least} to {most}.", "size_out_of_range")


def _image_problems(where: str, size: Size, image: ImageInfo) -> Iterator[Problem]:
    if size.memory_mib is not None and size.memory_mib < image.min_memory_mib:
        what = f"{size.memory_mib} MiB is too little for the image {image.name}: at least {image.min_memory_mib} MiB."
        yield Problem(f"{where}.memory_mib", what, "memory_below_image")
    if size.disk_gib is not None and size.disk_gib < image.least_disk_gib:
        what = f"{size.disk_gib} GiB is too small for the image {image.name}: at least {image.least_disk_gib} GiB."
        yield Problem(f"{where}.disk_gib", what, "disk_below_image")


def _nic_problems(document: TopologyDocument) -> Iterator[Problem]:
    counts = Counter(wire.vm for wire in wires(document))
    for index, vm in enumerate(document.vms):
        count = counts[vm.name] + vm.public_access
        if count > MAX_NICS:
            public = ", the public one counted" if vm.public_access else ""
            what = f"The VM would have {count} NICs{public}; at most {MAX_NICS} are allowed."
            yield Problem(f"vms[{index}]", what, "too_many_nics")


def _mtu_problem(where: str, mtu: int | None) -> Iterator[Problem]:
    least, most = MTU_RANGE
    if mtu is not None and not least <= mtu <= most:
        yield Problem(where, f"{mtu} is not allowed: {least} to {most} bytes.", "mtu_out_of_range")


def _network_problems(document: TopologyDocument) -> Iterator[Problem]:
    for index, network in enumerate(document.networks):
        yield from _mtu_problem(f"networks[{index}].mtu", network.mtu)


def _edge_problems(document: TopologyDocument) -> Iterator[Problem]:
    vms = {vm.name for vm in document.vms}
    mtus = {network.name: network.mtu for network in document.networks}
    for index, edge in enumerate(document.edges):
        where = f"edges[{index}]"
        for side, end in (("a", edge.a), ("b", edge.b)):
            if isinstance(end, VmEnd) and end.vm not in vms:
                yield Problem(f"{where}.{side}.vm", "There is no VM of this name.", "unknown_vm")
            if isinstance(end, NetworkEnd) and end.network not in mtus:
                yield Problem(f"{where}.{side}.network", "There is no network of this name.", "unknown_network")
        yield from _mtu_problem(f"{where}.mtu", edge.mtu)
        yield from _pair_problems(where, edge, mtus)


def _pair_problems(where: str, edge: TemplateEdge, mtus: dict[str, int]) -> Iterator[Problem]:
    a, b = edge.a, edge.b
    if isinstance(a, NetworkEnd) and isinstance(b, NetworkEnd):
        yield Problem(where, "An edge joins two VMs, or a VM and a network.", "network_to_network")
    elif isinstance(a, VmEnd) and isinstance(b, VmEnd):
        if a.vm == b.vm:
            yield Problem(where, "An edge cannot join a VM to itself.", "self_edge")
    elif edge.mtu is not None:
        network = a if isinstance(a, NetworkEnd) else b
        limit = mtus.get(network.network) if isinstance(network, NetworkEnd) else None
        if limit is not None and edge.mtu > limit:
            what = (
                f"{edge.mtu} is more than the {limit} bytes of the network; leave it out to take that of the network."
            )
            yield Problem(f"{where}.mtu", what, "mtu_above_network")
