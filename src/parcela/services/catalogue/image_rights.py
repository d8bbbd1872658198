"""Who sees an image."""

from parcela.core.permissions import Permission
from parcela.services.access import Caller


def visible_to(caller: Caller) -> int | None:
    """User whose private images are seen besides the public ones; None for all."""
    return None if caller.can(Permission.CATALOGUE_WRITE) else caller.user_id


def sees_image(caller: Caller, *, visibility: str, owner_id: int | None, project_id: int | None) -> bool:
    """Whether the caller sees an image: a public one, their own, one of their projects."""
    mine = owner_id == caller.user_id or project_id in caller.projects
    return visibility == "public" or mine or visible_to(caller) is None
