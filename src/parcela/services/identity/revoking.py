"""Revocation: everything that was issued for an account becomes invalid at once."""

from parcela.models import User
from parcela.repositories.tokens import SESSION_KINDS
from parcela.repositories.uow import UnitOfWork

ALL_KINDS = (*SESSION_KINDS, "personal")


async def revoke_access(
    uow: UnitOfWork, user: User, *, keep_personal: bool = False, except_family: str | None = None
) -> None:
    """End all sessions of a user and what depends on them, and revoke their personal tokens.

    Invalid from the commit on: access, refresh and personal tokens, logins that wait for a code, reset links, device
    cookies and known addresses. Console tickets, open consoles and event streams are judged by the token they came
    from, so they end too; add an event of ``event_views.ENDING`` in the same unit of work to wake them.

    Args:
        uow: of the change that makes this necessary; the user's row must be locked.
        user: whose access ends.
        keep_personal: leave personal tokens valid; only when the person chose so.
        except_family: token family of a session that goes on, with its consoles and streams.
    """
    user.credential_version += 1
    kinds = SESSION_KINDS if keep_personal else ALL_KINDS
    await uow.tokens.revoke_of_user(user.id, kinds=kinds, except_family=except_family)
    await uow.password_resets.remove_of_user(user.id)
    await uow.known_addresses.remove_of_user(user.id)
