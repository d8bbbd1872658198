"""The rules of authentication, and its errors."""

from datetime import datetime

from parcela.core.errors import ParcelaError, forbidden, unauthenticated
from parcela.core.tokens import hash_token
from parcela.models import User
from parcela.repositories.tokens import TokenFacts
from parcela.repositories.uow import UnitOfWork
from parcela.services.access import Caller

MAX_TOKEN_CHARS = 4096


def caller_of(facts: TokenFacts, now: datetime) -> Caller:
    """The caller a token stands for, when the token and its holder are good."""
    if facts.revoked_at is not None:
        raise unauthenticated("token_revoked", "The token was revoked.")
    if facts.expires_at is not None and facts.expires_at <= now:
        raise unauthenticated("token_expired", "The token has expired.")
    if not facts.is_active:
        raise account_disabled()
    return Caller(
        user_id=facts.user_id,
        username=facts.username,
        role=facts.role,
        permissions=facts.permissions,
        is_superuser=facts.is_superuser,
        scopes=facts.scopes if facts.kind == "personal" else None,
        token_id=facts.token_id,
        locale=facts.locale,
        token_family=facts.family,
        projects=facts.projects,
        speaks_vm_api=facts.speaks_vm_api,
    )


def checked_token(token: str) -> str:
    """The token, if it can be one: ours are short and ASCII."""
    if not token.isascii() or len(token) > MAX_TOKEN_CHARS:
        raise unknown_token()
    return token


def require_session(caller: Caller) -> None:
    """Raise ``forbidden`` for a caller with a personal token."""
    if caller.scopes is not None:
        raise forbidden("session_required", "This needs a login; a personal token cannot do it.")


def bad_credentials() -> ParcelaError:
    """One answer for a wrong password and for an account that does not exist."""
    return unauthenticated("bad_credentials", "The e-mail address, the username or the password is wrong.")


def account_disabled() -> ParcelaError:
    """Shown only to somebody who has the right password or token."""
    return unauthenticated("account_disabled", "This account is not active; ask an administrator.")


def unknown_token() -> ParcelaError:
    """Forged, cut, of the wrong kind, or removed."""
    return unauthenticated("token_invalid", "The token is not one of ours.")


def mark_of(user: User) -> str:
    """Changes with the password and with every revocation, and tells nothing about them."""
    return hash_token(f"{user.credential_version}:{user.password_hash}")


async def check_session(uow: UnitOfWork, caller: Caller) -> None:
    """Raise when the caller's session has ended since it was looked up; no revocation happens until the commit.

    Otherwise a request that runs beside a revocation would leave a valid token behind.
    """
    await uow.users.lock(caller.user_id)
    if not caller.token_id:
        return  # an internal caller
    facts = await uow.tokens.facts_by_id(caller.token_id)
    if facts is None:
        raise unknown_token()
    caller_of(facts, uow.clock())
