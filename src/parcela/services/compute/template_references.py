"""Templates refer to images and flavours by id, though their documents have names.

A name is resolved when a document is stored. Whoever reads the document sees the present names, so a rename breaks no
template. What was removed stays removed: another thing of the same name, perhaps somebody else's, does not take its
place until the template is saved again.
"""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network
from typing import Any, TypeVar

from parcela.core.errors import Problem
from parcela.core.topology.catalogue import Catalogue
from parcela.core.topology.document import TopologyDocument, parse_document, template_invalid
from parcela.core.topology.references import Key, ReferenceKind, renamed
from parcela.repositories.template_references import StoredReference
from parcela.repositories.uow import ReadUnitOfWork
from parcela.services.access import Caller
from parcela.services.catalogue.image_rights import sees_image
from parcela.services.catalogue.snapshot import load_catalogue

Info = TypeVar("Info")


async def show_names(
    uow: ReadUnitOfWork, caller: Caller, row: Mapping[str, Any], template_id: int, number: int
) -> dict[str, Any]:
    """A row with the ``document`` of a version, which has the present names of what the caller may see.

    ``gone`` has a problem for each image and flavour that was removed: the version cannot be launched.
    """
    references = await uow.template_references.of_version(template_id, number)
    removed = [one for one in references if one.is_gone]
    gone = _gone(parse_document(row["document"]), removed) if removed else []
    names = {one.key: shown for one in references if (shown := _shown(caller, one)) != one.name}
    return {**row, "document": renamed(row["document"], names) if names else row["document"], "gone": gone}


async def targets(uow: ReadUnitOfWork, caller: Caller, template_id: int, number: int) -> Mapping[Key, int | None]:
    """What the names that ``show_names`` shows stand for: None for what was removed, nothing for unresolved names."""
    references = await uow.template_references.of_version(template_id, number)
    return {(one.kind, _shown(caller, one)): one.target_id for one in references if one.is_resolved}


def _shown(caller: Caller, one: StoredReference) -> str:
    """The present name; that in the document when there is none, or the image is none of the caller's business."""
    hidden = one.kind is ReferenceKind.IMAGE and not one.is_gone and not sees_image(caller, **one.image)
    return one.name if one.present is None or hidden else one.present


async def launch_catalogue(
    uow: ReadUnitOfWork,
    caller: Caller,
    document: TopologyDocument,
    version: tuple[int, int],
    nat_networks: tuple[IPv4Network, ...],
) -> Catalogue:
    """What the caller may use, under the names that the stored document of a version has for it.

    Args:
        uow: where to read.
        caller: who launches.
        document: as it is stored.
        version: template and number of the version.
        nat_networks: ranges that no address of a template may be from.

    Raises:
        ParcelaError: ``invalid`` ``template_invalid`` when an image or flavour of it was removed.
    """
    references = await uow.template_references.of_version(*version)
    _refuse_gone(document, [one for one in references if one.is_gone])
    catalogue = await load_catalogue(uow, caller, nat_networks)
    images, flavours = dict(catalogue.images), dict(catalogue.flavours)
    image_of = {info.id: info for info in catalogue.images.values()}
    flavour_of = {info.id: info for info in catalogue.flavours.values()}
    for one in references:
        if not one.is_resolved or one.target_id is None:
            continue
        if one.kind is ReferenceKind.IMAGE:
            _put(images, one.name, image_of.get(one.target_id))
        else:
            _put(flavours, one.name, flavour_of.get(one.target_id))
    return Catalogue(flavours=flavours, images=images, nat_networks=nat_networks)


def _put(known: dict[str, Info], name: str, info: Info | None) -> None:
    """Let a name mean one thing, or nothing: never another that has the name now."""
    if info is None:
        known.pop(name, None)
    else:
        known[name] = info


def _gone(document: TopologyDocument, gone: Sequence[StoredReference]) -> list[Problem]:
    called = {one.key: one.present or one.name for one in gone}
    return [
        Problem(
            f"vms[{index}].{kind.value}",
            f"The {kind.value} '{called[kind, name]}' of the VM '{vm.name}' does not exist any more.",
            f"{kind.value}_gone",
        )
        for index, vm in enumerate(document.vms)
        for kind, name in ((ReferenceKind.IMAGE, vm.image), (ReferenceKind.FLAVOUR, vm.flavour or ""))
        if (kind, name) in called
    ]


def _refuse_gone(document: TopologyDocument, gone: Sequence[StoredReference]) -> None:
    problems = _gone(document, gone)
    if problems:
        rest = len(problems) - 1
        more = f" (and {rest} more of this kind)" if rest else ""
        raise template_invalid(problems, f"The template cannot be launched. {problems[0].what}{more}")
