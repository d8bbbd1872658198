"""What a template document refers to by name: the images and flavours of its VMs. Everything else is drawn in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from parcela.core.topology.catalogue import Catalogue
from parcela.core.topology.document import TopologyDocument


class ReferenceKind(StrEnum):
    """Kinds of things that a document names; each is the field of a VM that holds the name."""

    IMAGE = "image"
    FLAVOUR = "flavour"


Key = tuple[ReferenceKind, str]
"""A kind and a name, as the document has it."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A name in a document, and what it meant when the document was stored.

    Attributes:
        kind: what it names.
        name: as the document has it.
        target_id: id of the image or flavour; None when there was none of that name.
    """

    kind: ReferenceKind
    name: str
    target_id: int | None


def resolve(document: TopologyDocument, catalogue: Catalogue) -> tuple[Reference, ...]:
    """Every name in a document with what it means now: each once, images first, in document order."""
    images = dict.fromkeys(vm.image for vm in document.vms)
    flavours = dict.fromkeys(vm.flavour for vm in document.vms if vm.flavour is not None)
    named = [(ReferenceKind.IMAGE, name, catalogue.images.get(name)) for name in images]
    sized = [(ReferenceKind.FLAVOUR, name, catalogue.flavours.get(name)) for name in flavours]
    return tuple(Reference(kind, name, info.id if info else None) for kind, name, info in (*named, *sized))


def renamed(document: Mapping[str, Any], names: Mapping[Key, str]) -> dict[str, Any]:
    """A stored document with other names for what it refers to; what ``names`` lacks stays.

    Args:
        document: JSON values as ``dump_document`` gives them; not changed.
        names: the new name by kind and old name.
    """
    return {**document, "vms": [_renamed_vm(vm, names) for vm in document.get("vms", ())]}


def _renamed_vm(vm: Mapping[str, Any], names: Mapping[Key, str]) -> dict[str, Any]:
    return {**vm, **{kind.value: names.get((kind, vm[kind]), vm[kind]) for kind in ReferenceKind if vm.get(kind)}}
