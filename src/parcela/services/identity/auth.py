"""Who somebody is: logins, sessions that can be ended, and personal tokens.

A login makes a *family* of tokens: a short-lived access token (JWT) and a refresh token (JWT), which each refresh
replaces. The database holds their hashes only, and a row can be revoked: the signature alone lets nobody in. Personal
tokens are opaque and live until they expire or are revoked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from parcela.core.errors import ParcelaError, not_found, unauthenticated
from parcela.core.origin import identify
from parcela.core.sealing import Sealer
from parcela.core.tokens import PERSONAL_PREFIX, TokenSigner, hash_token, new_personal_token
from parcela.models import ApiToken, User
from parcela.repositories.events import EventRecord
from parcela.repositories.paging import Page, PageRequest
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork
from parcela.services.access import Caller
from parcela.services.auth_rules import (
    account_disabled,
    bad_credentials,
    caller_of,
    check_session,
    checked_token,
    mark_of,
    require_session,
    unknown_token,
)
from parcela.services.events.visibility import ENDING
from parcela.services.identity.caller_cache import KEPT_FOR, CallerCache, Housekeeper
from parcela.services.identity.login_limits.attempts import Attempt, own_key
from parcela.services.identity.login_limits.guard import LoginGuard, lock_user
from parcela.services.identity.revoking import revoke_access
from parcela.services.identity.second_factors import SecondFactorService, code_required, wrong_code
from parcela.services.identity.sessions import NOWHERE, Origin, SessionService, TokenPair
from parcela.services.identity.tokens import NewPersonalToken, check_wished

CHALLENGE_S = 300
FORGETTING = ENDING | {f"project.member_{what}" for what in ("added", "changed", "removed", "joined")}
"""Events after which a user's tokens are looked up again; all events of roles have that effect on everybody.

Those of this class are also acted on directly; here they matter where they come from another process.
"""


@dataclass(frozen=True, slots=True)
class Challenge:
    """The password was right (or the provider said who it is), and a code is still needed.

    Attributes:
        box: for ``finish``; good for five minutes and until the password is changed. Nobody can read or make one.
    """

    box: str


@dataclass(frozen=True, slots=True)
class Opening:
    """An attempt to open a session."""

    attempt: Attempt
    user: User
    origin: Origin
    code: str = ""


class AuthService:
    """Logins, sessions and tokens.

    Opens units of work of its own where it hashes: on SQLite an open write unit of work holds the one writer lock, and
    a failed login must be counted although the answer is an error.
    """

    def __init__(
        self,
        guard: LoginGuard,
        sessions: SessionService,
        second_factors: SecondFactorService,
        signer: TokenSigner,
        sealer: Sealer,
    ) -> None:
        """Take the collaborators; feed committed events to ``on_events``."""
        self._uows = guard.uows
        self._guard = guard
        self._sessions = sessions
        self._second_factors = second_factors
        self._signer = signer
        self._sealer = sealer
        self._clock = guard.uows.clock
        self._cache = CallerCache()
        self.cache_counts = self._cache.counts
        self._housekeeper = Housekeeper(guard)
        sessions.on_end = self.forget_user

    async def login(
        self, identifier: str, password: str, address: str, *, code: str = "", agent: str = "", device: str = ""
    ) -> TokenPair:
        """Open a session for an e-mail address or username (case does not matter).

        Args:
            identifier: e-mail address or username.
            password: of the account.
            address: of the client.
            code: of the authenticator app, or a recovery code, when the account has a second factor.
            agent: what the client calls itself.
            device: the device cookie of a browser; "" without.

        Raises:
            ParcelaError: ``unauthenticated`` (the same for a wrong password and an unknown account; ``totp_required``
                when a code is missing, ``bad_code`` when it is wrong), or ``rate_limited`` with code
                ``too_many_attempts``.
        """
        return await self.login_from(identifier, password, Origin(address, agent, device=device), code=code)

    async def login_from(self, identifier: str, password: str, origin: Origin, *, code: str = "") -> TokenPair:
        """As ``login``, with all that is known of the client."""
        outcome = await self.begin(identifier, password, origin, code=code)
        if isinstance(outcome, Challenge):
            raise code_required()
        return outcome

    async def begin(self, identifier: str, password: str, origin: Origin, *, code: str = "") -> TokenPair | Challenge:
        """As ``login``, but a missing code gives a challenge for ``finish``."""
        attempt = await self._guard.verify(identifier, password, origin)
        if attempt is None or attempt.user is None:
            raise bad_credentials()
        return await self._opened(Opening(attempt, attempt.user, origin, code))

    async def finish(self, box: str, code: str, origin: Origin) -> TokenPair:
        """Open the session of a challenge with its code.

        Raises:
            ParcelaError: ``unauthenticated`` with ``challenge_expired`` or ``bad_code``, or ``rate_limited``.
        """
        user_id, mark = self._sealer.open(box) or (0, "")
        async with self._uows.read() as uow:
            user = await uow.users.get_or_none(user_id)
            attempt = await self._guard.origins.attempt(uow, user, "", origin)
        if user is None or mark_of(user) != mark:
            raise unauthenticated("challenge_expired", "This sign-in took too long; begin again.")
        outcome = await self._opened(Opening(replace(attempt, keys=()), user, origin, code or "-"))
        if isinstance(outcome, Challenge):
            raise code_required()
        return outcome

    async def enter(self, user: User, origin: Origin) -> TokenPair | Challenge:
        """Open a session for somebody whom an identity provider has vouched for."""
        async with self._uows.read() as uow:
            attempt = await self._guard.origins.attempt(uow, user, "", origin)
        return await self._opened(Opening(replace(attempt, keys=()), user, origin))

    async def _opened(self, opening: Opening) -> TokenPair | Challenge:
        outcome = await self._guard.repeat(partial(self._open_session, opening))
        if isinstance(outcome, ParcelaError):
            raise outcome
        return outcome

    async def _open_session(self, opening: Opening, uow: UnitOfWork) -> TokenPair | Challenge | ParcelaError:
        attempt, user, origin, code = opening.attempt, opening.user, opening.origin, opening.code
        coded = await self._second_factors.required(uow, user.id)
        if coded and code:
            await self._guard.throttles.begin(uow, sorted({*attempt.keys, *attempt.factor_keys}))
        else:
            await self._guard.throttles.check_locked(uow, attempt.keys)
        fresh = await lock_user(uow, user.id)
        if fresh is None or mark_of(fresh) != mark_of(user):
            raise bad_credentials()
        if not fresh.is_active:
            raise account_disabled()
        if await self._second_factors.required(uow, user.id):
            if not code:
                return Challenge(self._sealer.seal([fresh.id, mark_of(fresh)], CHALLENGE_S))
            if not await self._second_factors.spend(uow, fresh, code):
                return await self._guard.write_failure(attempt.factor_keys, user, origin.address, uow) or wrong_code()
        await uow.tokens.clear_throttles(attempt.cleared)
        device = await self._guard.origins.remember(uow, fresh, origin)
        fresh.last_login_at = self._clock()
        uow.add_event(
            "auth.logged_in",
            actor_id=fresh.id,
            owner_id=fresh.id,
            data={"user_id": fresh.id, "username": fresh.username, "address": origin.address},
        )
        return replace(await self._sessions.issue(uow, fresh, origin), device=device)

    async def refresh(self, refresh_token: str, address: str) -> TokenPair:
        """Exchange a refresh token for a new pair. A spent one, used again, ends the whole session: it was stolen."""
        claims = self._signer.verify(checked_token(refresh_token), kind="refresh")
        outcome = await self._guard.repeat(partial(self._rotate, claims.user_id, hash_token(refresh_token), address))
        if isinstance(outcome, ParcelaError):
            self.forget_user(claims.user_id)
            raise outcome
        return outcome

    async def _rotate(self, user_id: int, token_hash: str, address: str, uow: UnitOfWork) -> TokenPair | ParcelaError:
        user = await lock_user(uow, user_id)  # before the token, as everywhere: no deadlocks
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
        origin = Origin(address, row.agent, row.family, row.session_started_at, speaks_vm_api=row.speaks_vm_api)
        return await self._sessions.issue(uow, user, origin)

    async def logout(self, caller: Caller) -> None:
        """End the caller's session: its access tokens and its refresh token are worth nothing from now on."""
        require_session(caller)

        async def work(uow: UnitOfWork) -> None:
            await uow.tokens.revoke_family(caller.user_id, caller.token_family)
            facts = {"user_id": caller.user_id, "username": caller.username}
            uow.add_event("auth.logged_out", actor_id=caller.user_id, owner_id=caller.user_id, data=facts)

        await self._guard.repeat(work)
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
            _is_behind_this(known, self._sessions)
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
        _is_behind_this(caller, self._sessions)
        return caller

    async def change_password(
        self, caller: Caller, old: str, new: str, origin: Origin = NOWHERE, *, keep_personal: bool = False
    ) -> str:
        """Change the caller's own password; end their other sessions, and personal tokens unless they are to be kept.

        Returns:
            The new value of the browser's device cookie: the old one is worth nothing any more.

        Raises:
            ParcelaError: ``invalid`` (code ``wrong_password``) when the old one does not fit; counts as a failed login.
        """
        require_session(caller)
        async with self._uows.read() as uow:
            own = await uow.users.get(caller.user_id)
        self._guard.policy.check(new, "new_password", [own.email, own.username, own.full_name])
        user = await self._guard.verify_own(caller, old, "old_password", "The old password is wrong.")
        new_hash = await self._guard.hasher.hash(new)
        keys = [own_key("own", caller)]

        async def work(uow: UnitOfWork) -> str:
            await self._guard.throttles.check_locked(uow, keys)
            fresh = await lock_user(uow, user.id)
            if fresh is None or mark_of(fresh) != mark_of(user):
                raise bad_credentials()
            fresh.password_hash = new_hash
            await revoke_access(uow, fresh, keep_personal=keep_personal, except_family=caller.token_family)
            facts = {"user_id": user.id, "username": user.username}
            uow.add_event("user.password_changed", actor_id=user.id, owner_id=user.id, data=facts)
            return await self._guard.origins.remember(uow, fresh, origin)

        device = await self._guard.repeat(work)
        self.forget_user(caller.user_id)
        return device

    async def create_token(
        self,
        uow: UnitOfWork,
        caller: Caller,
        *,
        name: str,
        scopes: Sequence[str],
        expires_at: datetime | None,
        speaks_vm_api: bool = False,
    ) -> NewPersonalToken:
        """Make a personal token. Only a session may: a stolen token must not make itself a longer-lived sister.

        ``speaks_vm_api``: for a client of that older API, which has no login of its own to be known by.
        """
        require_session(caller)
        now = self._clock()
        check_wished(caller, scopes, expires_at, now)
        await check_session(uow, caller)
        await self._sessions.check_personal(uow, caller)
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
                speaks_vm_api=speaks_vm_api,
            )
        )
        _token_event(uow, "token.created", caller, row.id, name=name, scopes=row.scopes)
        return NewPersonalToken(row.id, name, row.scopes, now, expires_at, speaks_vm_api, secret)

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
            if record.type.startswith("role.") or record.type == "project.deleted":
                self.forget_all()
            elif record.type in FORGETTING:
                self.forget_user(int(record.data["user_id"]))

    def forget_user(self, user_id: int) -> None:
        """Look this user's tokens up again on their next use."""
        self._cache.forget_user(user_id)

    def forget_all(self) -> None:
        """Look everybody's tokens up again on their next use."""
        self._cache.forget_all()

    async def purge(self) -> int:
        """Remove expired tokens and old login counters; how many rows. Done by itself once an hour."""
        return await self._housekeeper.purge()

    async def aclose(self) -> None:
        """Wait for what is written in the background. Call it before the database is closed."""
        await self._housekeeper.settle()


def _is_behind_this(caller: Caller, sessions: SessionService) -> None:
    """Tell the audit trail and the log who the present request comes from, and that they were seen."""
    identify(user_id=caller.user_id, username=caller.username, role=caller.role, token_id=caller.token_id)
    if sessions.presence is not None:
        sessions.presence.touch(caller.user_id)


def _token_event(uow: UnitOfWork, event_type: str, caller: Caller, token_id: int, **data: object) -> None:
    facts = {"user_id": caller.user_id, "token_id": token_id, **data}
    uow.add_event(event_type, actor_id=caller.user_id, owner_id=caller.user_id, data=facts)
