"""What happens to templates when an image or flavour that they use is renamed or removed."""

from parcela.core.errors import Problem, conflict
from parcela.core.permissions import Permission
from parcela.core.topology.references import ReferenceKind
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork
from parcela.services.access import Caller


async def release_name(uow: UnitOfWork, kind: ReferenceKind, name: str, target_id: int) -> None:
    """Call it before a thing loses its name or is removed: what was looked up by that name means it from now on."""
    await uow.template_references.settle(kind, name, target_id)


async def note_removal(uow: UnitOfWork, kind: ReferenceKind, name: str, target_id: int) -> None:
    """Call it before a thing that everybody saw is removed: those who launch what used it are told this name."""
    await uow.template_references.note_gone(kind, target_id, name)


async def refuse_used(uow: ReadUnitOfWork, caller: Caller, kind: ReferenceKind, name: str, target_id: int) -> None:
    """Raise when templates use a thing that is to be removed; call ``release_name`` before.

    Templates that the caller does not see are counted and not named.

    Raises:
        ParcelaError: ``conflict`` ``image_in_use`` or ``flavour_in_use``.
    """
    read_all = caller.can(Permission.TEMPLATE_READ_ALL)
    seen, count = await uow.template_references.users_of(
        kind, target_id, visible_to=None if read_all else caller.user_id, projects=caller.projects.keys()
    )
    if not count:
        return
    if not (read_all or caller.reaches("template")):
        seen = []
    problems = [Problem(f"templates[{row_id}]", f"The template '{own}' uses it.", "in_use") for row_id, own in seen]
    if count > len(seen):
        others = count - len(seen)
        what = f"{others} other templates use it." if others > 1 else "Another template uses it."
        problems.append(Problem("templates", what, "in_use"))
    text = (
        f"Templates use the {kind.value} '{name}' and could not be launched any more; "
        "change them first, or ask for it with force=true."
    )
    raise conflict(f"{kind.value}_in_use", text, *problems)
