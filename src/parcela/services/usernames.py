"""Usernames for accounts of the older APIs, whose clients know people by their e-mail address only."""

import re
import secrets

from parcela.repositories.uow import ReadUnitOfWork

MAX_CHARS = 48
_OTHERS = re.compile(r"[^a-z0-9._-]+")


async def username_for(uow: ReadUnitOfWork, email: str) -> str:
    """A username nobody has: the part before the ``@``, made fit, with a random end when it is taken."""
    local = email.strip().lower().partition("@")[0]
    base = _OTHERS.sub("-", local).strip("._-")[:MAX_CHARS]
    if len(base) < 2:
        base = f"user-{base}".rstrip("-")
    taken = await uow.users.by_identifier(base) is not None
    return f"{base}-{secrets.token_hex(4)}" if taken else base
