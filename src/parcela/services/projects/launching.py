"""Whether somebody may put things into a project, asked of the memberships as they are stored now.

A caller knows their projects too, but from up to half a minute ago in other processes: enough to look, not to begin.
"""

from parcela.core.errors import ParcelaError, forbidden, not_found
from parcela.core.permissions import LAUNCHING, Permission, ProjectRole
from parcela.repositories.uow import UnitOfWork
from parcela.services.access import Caller
from parcela.services.projects.memberships import joined


async def check_launch(uow: UnitOfWork, caller: Caller, project_id: int | None) -> None:
    """Raise ``not_found`` for projects of others, and ``forbidden`` for those who may only look."""
    if project_id is None:
        return
    member = await uow.projects.member(project_id, caller.user_id)
    if member is None:
        raise not_found("project", project_id)
    if ProjectRole(member.role) not in LAUNCHING:
        raise _looks_only()
    if member.opened_at is None:  # whose things are in a project is seen there
        await joined(uow, caller, await uow.projects.get(project_id), member)


def may_build(caller: Caller, project_id: int | None, write_all: Permission) -> None:
    """Raise ``forbidden`` when building would use a project in which the caller may make nothing any more.

    Owning a draft is not enough: its owner may have become a viewer since. What is built already goes on, and may be
    started, stopped and destroyed. Judged by the roles that the caller came with, so pages and lists can ask too.

    Args:
        caller: who asks.
        project_id: project whose capacity would be used; None for the owner's own.
        write_all: permission to change everybody's things of this kind, which needs no role in the project.
    """
    if project_id is None or caller.can(write_all):
        return
    if caller.projects.get(project_id) not in LAUNCHING:
        raise _looks_only()


async def check_build(uow: UnitOfWork, caller: Caller, project_id: int | None, write_all: Permission) -> None:
    """The same by the membership as it is stored now, locked until the end of the transaction."""
    if project_id is None or caller.can(write_all):
        return
    member = await uow.projects.member(project_id, caller.user_id)
    if member is None or ProjectRole(member.role) not in LAUNCHING:
        raise _looks_only()


def _looks_only() -> ParcelaError:
    return forbidden("project_role", "You may look at this project, but make nothing in it.")


async def hold_for_upload(uow: UnitOfWork, caller: Caller, project_id: int) -> None:
    """Lock a project into which the caller is uploading: as a member who may launch, or with ``project:write_all``.

    The project comes before the membership, as where members are changed and projects deleted: no two requests wait
    in a circle.

    Raises:
        ParcelaError: as ``check_launch``.
    """
    await uow.projects.lock(project_id)
    if not caller.can(Permission.PROJECT_WRITE_ALL):
        await check_launch(uow, caller, project_id)
