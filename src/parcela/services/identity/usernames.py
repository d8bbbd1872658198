"""Usernames: those made of an e-mail address, and those that somebody wished for and gets later."""

import re
import secrets

from parcela.repositories.uow import ReadUnitOfWork

MAX_CHARS = 48
MAX_WISH_CHARS = 51
_OTHERS = re.compile(r"[^a-z0-9._-]+")
_PENDING = re.compile(r"(.{2,51})-[0-9a-f]{12}")


async def username_for(uow: ReadUnitOfWork, email: str) -> str:
    """A free username: the part of the address before the ``@``, made fit, with a random end when it is taken."""
    return await free_username(uow, wish_from(email))


async def free_username(uow: ReadUnitOfWork, wish: str) -> str:
    """The wished username, with a random end when it is taken."""
    taken = await uow.users.by_identifier(wish) is not None
    return f"{wish[:MAX_WISH_CHARS]}-{secrets.token_hex(4)}" if taken else wish


def wish_from(email: str) -> str:
    """A valid username of 2 to 48 characters made of an e-mail address."""
    local = email.strip().lower().partition("@")[0]
    base = _OTHERS.sub("-", local).strip("._-")[:MAX_CHARS]
    return base if len(base) >= 2 else f"user-{base}".rstrip("-")


def pending_username(wish: str) -> str:
    """The username of an account that is not complete: unique without a look at others, so that none is reserved.

    Of a wish, the first 51 characters are kept.
    """
    return f"{wish[:MAX_WISH_CHARS]}-{secrets.token_hex(6)}"


def wish_of(username: str) -> str:
    """What was wished for by a pending username; other usernames as they are."""
    found = _PENDING.fullmatch(username)
    return found[1] if found else username
