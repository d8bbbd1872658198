"""Whether somebody may put things into a project, asked of the memberships as they are stored now.

A caller knows their projects too, but from up to half a minute ago in other processes: enough to look, not to begin.
"""

from parcela.core.errors import forbidden, not_found
from parcela.core.permissions import LAUNCHING
from parcela.repositories.uow import UnitOfWork
from parcela.services.access import Caller


async def check_launch(uow: UnitOfWork, caller: Caller, project_id: int | None) -> None:
    """Raise ``not_found`` for projects of others, and ``forbidden`` for those who may only look."""
    if project_id is None:
        return
    role = await uow.projects.hold_role(project_id, caller.user_id)
    if role is None:
        raise not_found("project", project_id)
    if role not in LAUNCHING:
        raise forbidden("project_role", "You may look at this project, but make nothing in it.")
