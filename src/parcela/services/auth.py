"""Who somebody is: logins, sessions that can be ended, and personal tokens.

A login makes a *family* of tokens: a short-lived access token (JWT) and a refresh token (JWT), which each refresh
replaces. The database holds their hashes only, and a row can be revoked: the signature alone lets nobody in. Personal
tokens are opaque and live until they expire or are revoked.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TypeVar

from parcela.core.clock import Clock
from parcela.core.errors import ErrorKind, ParcelaError, Problem, invalid, not_found, unauthenticated
from parcela.core.origin import identify
from parcela.core.passwords import PasswordHasher, check_password_rules
from parcela.core.settings import Settings
from parcela.core.tokens import PERSONAL_PREFIX, TokenSigner, hash_token, new_personal_token
from parcela.db.constraints import is_transient
from parcela.models import ApiToken, User
from parcela.repositories.events import EventRecord
from parcela.repositories.paging import Page, PageRequest
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork, UnitOfWorkFactory
from parcela.services.access import Caller
from parcela.services.auth_cache import KEPT_FOR, CallerCache, Housekeeper
from parcela.services.auth_rules import (
    account_disabled,
    bad_credentials,
    caller_of,
    checked_token,
    require_session,
    unknown_token,
)
from parcela.services.roles import check_known, check_within_rights
from parcela.services.throttle import ACCOUNT, LoginThrottles, account_key, address_key, clean_identifier

ResultT = TypeVar("ResultT")
REPEATS = 4
FORGETTING = frozenset(
    {"user.updated", "user.deleted", "user.password_changed", "token.revoked", "auth.logged_out", "auth.token_reused"}
)
"""Events after which a user's tokens are looked up again; all events of roles have that effect on everybody.

Those of this class are also acted on directly; here they matter where they come from another process.
"""


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a login gives.

    Attributes:
        access_token: for ``Authorization: Bearer``; ends after ``expires_in_s`` seconds.
        refresh_token: good for one ``refresh``.
    """

    access_token: str
    refresh_token: str
    expires_in_s: int
    token_type: str = "bearer"  # noqa: S105 (a word of RFC 6750)


@dataclass(frozen=True, slots=True)
class NewPersonalToken:
    """A personal token at the one moment in which its secret is known."""

    id: int
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    token: str


class AuthService:
    """Logins, sessions and tokens.

    Opens units of work of its own where it hashes: on SQLite an open write unit of work holds the one writer lock, and
    a failed login must be counted although the answer is an error.
    """

    def __init__(
        self, uows: UnitOfWorkFactory, hasher: PasswordHasher, signer: TokenSigner, settings: Settings, clock: Clock
    ) -> None:
        """Take the collaborators; feed committed events to ``on_events``."""
        self._uows = uows
        self._hasher = hasher
        self._signer = signer
        self._settings = settings
        self._clock = clock
        self._throttles = LoginThrottles(settings)
        self._cache = CallerCache()
        self._housekeeper = Housekeeper(uows, self._throttles)
        # Whoever waits here has cost nothing yet and sees the locks that were set meanwhile, so a flood of guesses
        # costs a few hashes at most. One more than threads: none of them idles while another asks the database.
        self._slots = asyncio.Semaphore(hasher.threads + 1)

    async def login(self, identifier: str, password: str, address: str) -> TokenPair:
        """Open a session for an e-mail address or username (case does not matter).

        Raises:
            ParcelaError: ``unauthenticated`` (the same for a wrong password and an unknown account), or
                ``rate_limited`` with code ``too_many_attempts``.
        """
        name = clean_identifier(identifier)
        keys = [account_key(identifier), address_key(address)]
        async with self._slots:
            async with self._uows.read() as uow:
                await self._throttles.check(uow, keys)
                user = await uow.users.by_identifier(name)
            fits = await self._hasher.verify(password, user.password_hash if user else None)
            if user is None or not fits:
                await self._count_failure(keys, user, address)
                raise bad_credentials()
        return await self._repeat(partial(self._open_session, user, keys, address))

    async def _open_session(self, user: User, keys: Sequence[str], address: str, uow: UnitOfWork) -> TokenPair:
        await self._throttles.check_locked(uow, keys)
        fresh = await _lock_user(uow, user.id)
        if fresh is None or fresh.password_hash != user.password_hash:
            raise bad_credentials()
        if not fresh.is_active:
            raise account_disabled()
        await uow.tokens.clear_throttles([account_key(fresh.email), account_key(fresh.username)])
        fresh.last_login_at = self._clock()
        uow.add_event(
            "auth.logged_in",
            actor_id=fresh.id,
            owner_id=fresh.id,
            data={"user_id": fresh.id, "username": fresh.username, "address": address},
        )
        return await self._issue(uow, fresh, secrets.token_hex(16), address)

    async def _count_failure(self, keys: Sequence[str], user: User | None, address: str) -> None:
        """Count a failure; raises when attempts at the same time had locked the account or address before."""
        refusal = await self._repeat(partial(self._write_failure, keys, user, address))
        if refusal is not None:
            raise refusal

    async def _write_failure(
        self, keys: Sequence[str], user: User | None, address: str, uow: UnitOfWork
    ) -> ParcelaError | None:
        locked, refusal = await self._throttles.count_failure(uow, keys)
        # What was typed as a name is not kept: now and then it is somebody's password.
        known = {"noun_id": str(user.id), "noun_name": user.username} if user else {}
        uow.note("auth.refused", outcome="refused", noun="user", **known)
        for key in locked:
            by = "account" if key.startswith(ACCOUNT) else "address"
            facts = {"by": by, "address": address, "user_id": user.id if user else None}
            uow.add_event("auth.locked", owner_id=None, data=facts)
        return refusal

    async def _issue(self, uow: UnitOfWork, user: User, family: str, address: str) -> TokenPair:
        """A new access token and refresh token of a family."""
        role = (await uow.roles.get(user.role_id)).name
        ttl_s = self._settings.access_token_ttl_s
        pair = []
        for kind, stored, life_s in (
            ("access", "session", ttl_s),
            ("refresh", "refresh", self._settings.refresh_token_ttl_s),
        ):
            token, claims = self._signer.sign(user_id=user.id, role=role, kind=kind, ttl_s=life_s)
            pair.append(token)
            await uow.tokens.add(
                ApiToken(
                    user_id=user.id,
                    kind=stored,
                    token_hash=hash_token(token),
                    family=family,
                    scopes=[],
                    created_at=self._clock(),
                    expires_at=claims.expires_at,
                    ip=address[:64],
                )
            )
        return TokenPair(access_token=pair[0], refresh_token=pair[1], expires_in_s=ttl_s)

    async def refresh(self, refresh_token: str, address: str) -> TokenPair:
        """Exchange a refresh token for a new pair. A spent one, used again, ends the whole session: it was stolen."""
        claims = self._signer.verify(checked_token(refresh_token), kind="refresh")
        outcome = await self._repeat(partial(self._rotate, claims.user_id, hash_token(refresh_token), address))
        if isinstance(outcome, ParcelaError):
            self.forget_user(claims.user_id)
            raise outcome
        return outcome

    async def _rotate(self, user_id: int, token_hash: str, address: str, uow: UnitOfWork) -> TokenPair | ParcelaError:
        user = await _lock_user(uow, user_id)  # before the token, as everywhere: no deadlocks
        row = await uow.tokens.lock_by_hash(token_hash)
        if user is None or row is None or row.user_id != user_id or row.kind != "refresh":
            return unknown_token()
        if row.revoked_at is not None:
            if not await uow.tokens.revoke_family(user_id, row.family):
                return unauthenticated("token_revoked", "The session was ended; log in again.")
            facts = {"user_id": user_id, "address": address}
            uow.add_event("auth.token_reused", actor_id=None, owner_id=user_id, data=facts)
            text = "This refresh token was used before, so its whole session was ended; log in again."
            return unauthenticated("token_reused", text)
        if not user.is_active:
            return account_disabled()
        row.revoked_at = self._clock()
        uow.note("auth.refreshed", actor_id=user.id, actor_name=user.username, noun="user", noun_id=str(user.id))
        return await self._issue(uow, user, row.family, address)

    async def logout(self, caller: Caller) -> None:
        """End the caller's session: its access tokens and its refresh token are worth nothing from now on."""
        require_session(caller)

        async def work(uow: UnitOfWork) -> None:
            await uow.tokens.revoke_family(caller.user_id, caller.token_family)
            facts = {"user_id": caller.user_id, "username": caller.username}
            uow.add_event("auth.logged_out", actor_id=caller.user_id, owner_id=caller.user_id, data=facts)

        await self._repeat(work)
        self.forget_user(caller.user_id)

    async def authenticate(self, token: str, address: str) -> Caller:
        """The caller behind a session token or personal token; normally without asking the database.

        Raises:
            ParcelaError: ``unauthenticated`` with one of the codes ``token_invalid``, ``token_expired``,
                ``token_revoked``, ``account_disabled``.
        """
        key = hash_token(checked_token(token))
        now = self._clock()
        known = self._cache.get(key, now)
        if known is not None:
            _is_behind_this(known)
            return known
        kind = "personal"
        if not token.startswith(PERSONAL_PREFIX):
            self._signer.verify(token, kind="access")
            kind = "session"
        epoch = self._cache.epoch
        async with self._uows.read() as uow:
            facts = await uow.tokens.facts(key)
        if facts is None or facts.kind != kind:
            raise unknown_token()
        caller = caller_of(facts, now)
        until = now + KEPT_FOR
        self._cache.put(key, caller, min(until, facts.expires_at or until), epoch=epoch)
        self._housekeeper.note_use(facts.token_id, facts.last_used_at, address)
        _is_behind_this(caller)
        return caller

    async def change_password(self, caller: Caller, old: str, new: str) -> None:
        """Change the caller's own password and end their other sessions. Personal tokens stay.

        Raises:
            ParcelaError: ``invalid`` (code ``wrong_password``) when the old one does not fit; counts as a failed login.
        """
        require_session(caller)
        check_password_rules(new, "new_password")
        keys = [account_key(caller.username)]
        async with self._slots:
            async with self._uows.read() as uow:
                await self._throttles.check(uow, keys)
                user = await uow.users.get(caller.user_id)
            if not await self._hasher.verify(old, user.password_hash):
                await self._count_failure(keys, user, "")
                text = "The old password is wrong."
                raise invalid("wrong_password", text, Problem("old_password", text, "wrong_password"))
        new_hash = await self._hasher.hash(new)

        async def work(uow: UnitOfWork) -> None:
            await self._throttles.check_locked(uow, keys)
            fresh = await _lock_user(uow, user.id)
            if fresh is None or fresh.password_hash != user.password_hash:
                raise bad_credentials()
            fresh.password_hash = new_hash
            await uow.tokens.revoke_of_user(user.id, except_family=caller.token_family)
            facts = {"user_id": user.id, "username": user.username}
            uow.add_event("user.password_changed", actor_id=user.id, owner_id=user.id, data=facts)

        await self._repeat(work)
        self.forget_user(caller.user_id)

    async def create_token(
        self, uow: UnitOfWork, caller: Caller, *, name: str, scopes: Sequence[str], expires_at: datetime | None
    ) -> NewPersonalToken:
        """Make a personal token. Only a session may: a stolen token must not make itself a longer-lived sister.

        A scope is a ceiling. Wildcards (``*``, ``vm:*``) mean "what I may do" and follow the user's rights; a right
        that is named must be held now.
        """
        require_session(caller)
        check_known(scopes, "scopes")
        check_within_rights(caller, [scope for scope in scopes if not scope.endswith("*")], "The token")
        now = self._clock()
        if not scopes or (expires_at is not None and expires_at <= now):
            where = "expires_at" if scopes else "scopes"
            text = "The end of a token lies in the future." if scopes else "A token has at least one scope."
            raise invalid("token_useless", text, Problem(where, text, "token_useless"))
        secret = new_personal_token()
        row = await uow.tokens.add(
            ApiToken(
                user_id=caller.user_id,
                kind="personal",
                name=name,
                token_hash=hash_token(secret),
                scopes=sorted(set(scopes)),
                created_at=now,
                expires_at=expires_at,
            )
        )
        _token_event(uow, "token.created", caller, row.id, name=name, scopes=row.scopes)
        return NewPersonalToken(row.id, name, row.scopes, now, expires_at, secret)

    async def tokens(self, uow: ReadUnitOfWork, caller: Caller, request: PageRequest) -> Page:
        """The caller's personal tokens that are good; never their secrets."""
        require_session(caller)
        return await uow.tokens.personal_page(request, caller.user_id)

    async def revoke_token(self, uow: UnitOfWork, caller: Caller, token_id: int) -> None:
        """End one of the caller's personal tokens."""
        require_session(caller)
        if not await uow.tokens.revoke(token_id, caller.user_id, "personal"):
            raise not_found("token", token_id)
        _token_event(uow, "token.revoked", caller, token_id)
        uow.after_commit(partial(self.forget_user, caller.user_id))

    def on_events(self, records: Sequence[EventRecord]) -> None:
        """Take committed events, so that a change of users or roles works at once, whoever made it.

        The composition root hands every committed event of the process (and of others, where there is a fan-out) here.
        """
        for record in records:
            if record.type.startswith("role."):
                self.forget_all()
            elif record.type in FORGETTING:
                self.forget_user(int(record.data["user_id"]))

    def forget_user(self, user_id: int) -> None:
        """Look this user's tokens up again on their next use."""
        self._cache.forget_user(user_id)

    def forget_all(self) -> None:
        """Look everybody's tokens up again on their next use."""
        self._cache.forget_all()

    def cache_counts(self) -> tuple[int, int]:
        """Hits and misses of the cache of tokens."""
        return self._cache.hits, self._cache.misses

    async def purge(self) -> int:
        """Remove expired tokens and old login counters; how many rows. Done by itself once an hour."""
        return await self._housekeeper.purge()

    async def aclose(self) -> None:
        """Wait for what is written in the background. Call it before the database is closed."""
        await self._housekeeper.settle()

    async def _repeat(self, work: Callable[[UnitOfWork], Awaitable[ResultT]]) -> ResultT:
        """Run ``work`` in a unit of work and commit; all of it again when the database asks for that (deadlock)."""
        for repeats_left in reversed(range(REPEATS)):
            try:
                async with self._uows.write() as uow:
                    result = await work(uow)
                    await uow.commit()
                    return result
            except Exception as exc:
                if not repeats_left or not is_transient(exc):
                    raise
        raise AssertionError("unreachable")


async def _lock_user(uow: UnitOfWork, user_id: int) -> User | None:
    """The user, fresh and locked; None when they were deleted meanwhile."""
    try:
        return await uow.users.lock(user_id)
    except ParcelaError as exc:
        if exc.kind is ErrorKind.NOT_FOUND:
            return None
        raise


def _is_behind_this(caller: Caller) -> None:
    """Tell the audit trail and the log who the present request comes from."""
    identify(user_id=caller.user_id, username=caller.username, role=caller.role, token_id=caller.token_id)


def _token_event(uow: UnitOfWork, event_type: str, caller: Caller, token_id: int, **data: object) -> None:
    facts = {"user_id": caller.user_id, "token_id": token_id, **data}
    uow.add_event(event_type, actor_id=caller.user_id, owner_id=caller.user_id, data=facts)
