"""Who is told that somebody is in a project: administrators at once, its managers once the person has opened it."""

from typing import Any

from parcela.models import Project, ProjectMember
from parcela.repositories.uow import UnitOfWork
from parcela.services.access import Caller


async def note_member(
    uow: UnitOfWork, event_type: str, caller: Caller, project: Project, member: ProjectMember, **data: Any
) -> None:
    """Note an event about a membership; without the project, whose managers would see it, while it is not opened."""
    user = await uow.users.get(member.user_id)
    facts = {"project_id": project.id, "name": project.name, "user_id": user.id, "username": user.username, **data}
    seen_in = project.id if member.opened_at is not None else None
    uow.add_event(event_type, actor_id=caller.user_id, owner_id=user.id, project_id=seen_in, data=facts)


async def joined(uow: UnitOfWork, caller: Caller, project: Project, member: ProjectMember) -> None:
    """Note that the caller has opened a project, once."""
    if member.opened_at is None:
        member.opened_at = uow.clock()
        await note_member(uow, "project.member_joined", caller, project, member, role=member.role)
