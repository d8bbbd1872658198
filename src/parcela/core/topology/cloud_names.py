"""Names in the older ``cloud`` document: host names made of what people type, and ids that its editor makes."""

import re
from collections.abc import Container, Mapping
from typing import Any, Final

from parcela.core.labels import one_line
from parcela.core.topology.document import TemplateVm
from parcela.core.topology.names import claim, is_label, is_printable_name, slug

_NUMBER_OR_UUID: Final = re.compile(r"\d+|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)

_AGAIN: Final = re.compile(r"(?:-\d+)?", re.ASCII)


def shown_name(vm: TemplateVm) -> str:
    """What people call a VM: its label in one line, else its host name; VMs of slices are called the same."""
    return one_line(vm.label or "") or vm.name


def shown_names(document: Mapping[str, Any]) -> dict[str, str]:
    """The same of all VMs of a stored document, by their host names in lower case."""
    vms = document.get("vms") or ()
    return {vm["name"].casefold(): one_line(vm.get("label") or "") or vm["name"] for vm in vms}


def host_names(typed: Mapping[str, str], fixed: Mapping[str, str]) -> dict[str, str]:
    """Give every node a host name, unique without regard to case.

    Names that are fixed go first, then those that are fine as they were typed: a made-up one must not take theirs.

    Args:
        typed: what people call it, by the id of the node, in document order.
        fixed: host names that some nodes have already.
    """
    taken: set[str] = set()
    names: dict[str, str] = {}
    for wanted in (fixed, typed):
        for ident in typed:
            name = wanted.get(ident, "")
            if ident not in names and is_label(name) and name.casefold() not in taken:
                names[ident] = claim(name, taken)
    for position, (ident, name) in enumerate(typed.items(), start=1):
        if ident not in names:
            names[ident] = claim(slug(name) or f"vm-{position}", taken)
    return names


def edge_id(a: object, b: object) -> str:
    """The id that the older editor gives an edge between two nodes."""
    return f"edge-{a}-{b}"


def edge_name(ident: object, a: object, b: object, taken: Container[str] = ()) -> str | None:
    """The name that an edge of this id gets; None for one that is named after its ends ``a`` and ``b``.

    ``taken``: case-folded names of other edges.
    """
    if not isinstance(ident, str) or not is_printable_name(ident) or ident.casefold() in taken:
        return None
    made = edge_id(a, b)
    if _NUMBER_OR_UUID.fullmatch(ident) or (ident.startswith(made) and _AGAIN.fullmatch(ident.removeprefix(made))):
        return None
    return ident
