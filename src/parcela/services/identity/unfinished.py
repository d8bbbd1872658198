"""Accounts that strangers registered and whose mailed link was not used: they reserve neither address nor username."""

from parcela.core.permissions import CLIENT_ROLE
from parcela.models import User
from parcela.repositories.uow import UnitOfWork
from parcela.services.identity.login_limits.guard import lock_user
from parcela.services.identity.usernames import free_username, wish_of


def is_unfinished(user: User) -> bool:
    """Whether the account waits for the link of its registration: no password was chosen, and there was no login."""
    return user.self_registered and not user.password_hash and user.last_login_at is None


def shown_username(user: User) -> str:
    """The username for mails: of an unfinished account the wished one."""
    return wish_of(user.username) if is_unfinished(user) else user.username


async def settle_username(uow: UnitOfWork, user: User) -> None:
    """Give an unfinished account the username it was registered with, or one near to it when that is taken by now."""
    if is_unfinished(user) and wish_of(user.username) != user.username:
        user.username = await free_username(uow, wish_of(user.username))


async def make_way(uow: UnitOfWork, *identifiers: str | None, except_id: int = 0) -> None:
    """Remove unfinished accounts that have one of these e-mail addresses or usernames.

    Accounts that an administrator has changed the role of or deactivated stay.
    """
    for identifier in identifiers:
        found = await uow.users.by_identifier(identifier) if identifier else None
        if found is None or found.id == except_id or not is_unfinished(found):
            continue
        user = await lock_user(uow, found.id)
        if user is None or not is_unfinished(user) or not user.is_active or user.is_superuser:
            continue
        if (await uow.roles.get(user.role_id)).name == CLIENT_ROLE:
            await remove_unfinished(uow, user)


async def remove_unfinished(uow: UnitOfWork, user: User) -> None:
    """Remove a locked account and say so."""
    facts = {"user_id": user.id, "username": user.username}
    uow.add_event("user.deleted", actor_id=0, owner_id=None, data=facts)
    await uow.users.remove_with_history(user)
    await uow.flush()  # whatever takes its address or username comes after
