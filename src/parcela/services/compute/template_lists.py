"""What lists of the older API ``cloud`` say of templates besides their rows."""

from collections.abc import Collection, Mapping

from parcela.core.permissions import Permission
from parcela.core.topology.cloud_names import shown_names
from parcela.core.topology.references import renamed
from parcela.core.topology.sizes import sums_of
from parcela.repositories.paging import Page, PageRequest
from parcela.repositories.uow import ReadUnitOfWork
from parcela.services.access import Caller
from parcela.services.catalogue.snapshot import load_flavours


async def own_templates(uow: ReadUnitOfWork, caller: Caller, request: PageRequest) -> Page:
    """The caller's own templates alone, whatever else they may see, with ``sums`` (a ``Sums``) of their VMs."""
    caller.list_filter(Permission.TEMPLATE_READ_ALL)  # a token that reaches no templates is refused
    page = await uow.templates.page(request, visible_to=caller.user_id, owner_id=caller.user_id)
    ids = [row["id"] for row in page.rows]
    documents, flavours = await uow.templates.documents(ids), await load_flavours(uow)
    names = await uow.template_references.flavour_names(ids)
    sums = {key: sums_of(renamed(found, names.get(key, {})), flavours) for key, found in documents.items()}
    return Page([{**row, "sums": sums[row["id"]]} for row in page.rows], page.next_cursor)


async def descriptions(uow: ReadUnitOfWork, caller: Caller, template_ids: Collection[int]) -> Mapping[int, str]:
    """Descriptions of those of these templates that the caller sees, by id."""
    seen = None if caller.can(Permission.TEMPLATE_READ_ALL) else caller.user_id
    return await uow.templates.descriptions(template_ids, visible_to=seen, projects=caller.projects.keys())


async def names_of_vms(uow: ReadUnitOfWork, template_id: int | None) -> Mapping[str, str]:
    """What the newest document calls its VMs, by host names in lower case, for whoever sees VMs made of it."""
    documents = await uow.templates.documents([] if template_id is None else [template_id])
    return {name: shown for document in documents.values() for name, shown in shown_names(document).items()}
