"""What somebody may do who is not asking just now: for work that goes on in their name."""

from parcela.models import User
from parcela.repositories.uow import ReadUnitOfWork
from parcela.services.access import Caller


async def standing(uow: ReadUnitOfWork, user: User) -> Caller | None:
    """The user with the rights of this moment; None when they may not log in."""
    if not user.is_active:
        return None
    role = await uow.roles.record(user.role_id)
    return Caller(
        user_id=user.id,
        username=user.username,
        role=role.name if role else "",
        permissions=frozenset(role.permissions if role else ()),
        is_superuser=user.is_superuser,
        projects=await uow.projects.roles_of_user(user.id),
    )
