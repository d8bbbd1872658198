"""Sessions: the tokens of a login, the list of one's own, and ending them."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from parcela.core.errors import ErrorKind, ParcelaError, not_found
from parcela.core.permissions import ADMIN_ROLE, Permission
from parcela.core.settings import Settings
from parcela.core.tokens import TokenSigner, hash_token, session_id_of
from parcela.models import ApiToken, User
from parcela.repositories.paging import Page, PageRequest
from parcela.repositories.tokens import ActiveSession
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork
from parcela.services.access import Caller
from parcela.services.auth_rules import require_session
from parcela.services.identity.presence import Presence
from parcela.services.quota_rules import ceiling, require_room

MAX_AGENT_CHARS = 200
MAX_SHOWN = 500
ACCESS = "access"
STORED: Mapping[str, str] = {ACCESS: "session", "refresh": "refresh"}
"""Kinds of a session's tokens, by the kind that a token says of itself."""
SPENT_KEPT = 200
"""Tokens of a session that are kept: using a spent one of them again ends the session; older ones are unknown."""


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a login gives.

    Attributes:
        access_token: for ``Authorization: Bearer``; ends after ``expires_in_s`` seconds.
        refresh_token: good for one ``refresh``.
        device: value of the browser's device cookie after a login; "" otherwise.
    """

    access_token: str
    refresh_token: str
    expires_in_s: int
    token_type: str = "bearer"  # noqa: S105 (a word of RFC 6750)
    device: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a session comes from.

    Attributes:
        address: of the client.
        agent: what the program calls itself (``User-Agent``).
        family: of a session that goes on; "" for a new one.
        started_at: of the login; None for now.
        device: the device cookie of a browser; "" without.
        roles: names of roles in the words of an older API, whose clients look for theirs in the access token (``rol``).
        speaks_vm_api: whether the session is one of a client of ``vm_api``; it stays so as long as the session lives.
    """

    address: str
    agent: str = ""
    family: str = ""
    started_at: datetime | None = None
    device: str = ""
    roles: Mapping[str, str] | None = None
    speaks_vm_api: bool = False


NOWHERE = Origin("")
"""Of work without a client."""


class SessionService:
    """Issues tokens, lists sessions and ends them."""

    def __init__(self, signer: TokenSigner, settings: Settings) -> None:
        """Take the signer and the lengths of life; ``on_end`` may be set by whoever remembers callers."""
        self._signer = signer
        self._settings = settings
        self.on_end: Callable[[int], None] = lambda _user_id: None
        self.presence: Presence | None = None

    async def issue(self, uow: UnitOfWork, user: User, origin: Origin) -> TokenPair:
        """A new access token and refresh token of a session, new or going on."""
        role = (await uow.roles.get(user.role_id)).name
        family, now = origin.family or secrets.token_hex(16), uow.clock()
        if origin.family:
            await uow.token_counts.thin_out(family, SPENT_KEPT)
        else:
            await self._make_room(uow, user)
        going_on = replace(origin, family=family, started_at=origin.started_at or now)
        access, refresh = [await self._add(uow, user, role, going_on, kind) for kind in STORED]
        return TokenPair(access, refresh, expires_in_s=self._settings.access_token_ttl_s)

    async def _add(self, uow: UnitOfWork, user: User, role: str, origin: Origin, kind: str) -> str:
        """A new token of a session."""
        settings = self._settings
        life_s = settings.access_token_ttl_s if kind == ACCESS else settings.refresh_token_ttl_s
        told = None if origin.roles is None else {"rol": _told_role(user, role, origin.roles)}
        token, claims = self._signer.sign(user_id=user.id, role=role, kind=kind, ttl_s=life_s, more=told)
        agent = "".join(character for character in origin.agent if character.isprintable())
        await uow.tokens.add(
            ApiToken(
                user_id=user.id,
                kind=STORED[kind],
                token_hash=hash_token(token),
                family=origin.family,
                scopes=[],
                created_at=uow.clock(),
                expires_at=claims.expires_at,
                ip=origin.address[:64],
                session_started_at=origin.started_at,
                agent=agent[:MAX_AGENT_CHARS],
                speaks_vm_api=origin.speaks_vm_api,
            )
        )
        return token

    def is_ageing(self, token: str, now: datetime) -> bool:
        """Whether less than half of the life of an access token is left."""
        left = self._signer.verify(token, kind=ACCESS).expires_at - now
        return left.total_seconds() * 2 < self._settings.access_token_ttl_s

    async def prolong(self, uow: UnitOfWork, *, token: str) -> str | None:
        """A newer access token of the session of this one; None when the session has ended, or is at its end.

        For clients that keep it in a cookie and cannot refresh: the session ends when its refresh token would. Requests
        that are under way at the same time still come with the old one, so that stays good until its own end.
        """
        user_id = self._signer.verify(token, kind=ACCESS).user_id
        try:
            user = await uow.users.lock(user_id)  # before the token, as everywhere: no deadlocks
        except ParcelaError as exc:
            if exc.kind is not ErrorKind.NOT_FOUND:
                raise
            return None
        row = await uow.tokens.lock_by_hash(hash_token(token))
        if row is None or row.revoked_at is not None or row.kind != STORED[ACCESS] or not user.is_active:
            return None
        began = row.session_started_at or row.created_at
        if uow.clock() >= began + timedelta(seconds=self._settings.refresh_token_ttl_s):
            return None
        await uow.token_counts.thin_out(row.family, SPENT_KEPT)
        uow.note("auth.refreshed", actor_id=user.id, actor_name=user.username, noun="user", noun_id=str(user.id))
        origin = Origin(row.ip or "", row.agent, row.family, began, speaks_vm_api=row.speaks_vm_api)
        return await self._add(uow, user, (await uow.roles.get(user.role_id)).name, origin, ACCESS)

    async def check_personal(self, uow: UnitOfWork, caller: Caller) -> None:
        """Raise ``quota_exceeded`` when the caller (their row is locked) has as many tokens as one may have."""
        used, most = await uow.token_counts.count_personal(caller.user_id), self._settings.quota_personal_tokens
        require_room("personal_tokens", "personal tokens", used=used, more=1, most=ceiling(caller, most))

    async def _make_room(self, uow: UnitOfWork, user: User) -> None:
        """End the oldest sessions of somebody who has as many as one may have."""
        most = self._settings.quota_sessions
        families = await uow.token_counts.renewed_least(user.id) if most else []
        surplus = families[: len(families) - most + 1] if len(families) >= most > 0 else []
        for family in surplus:
            await uow.tokens.revoke_family(user.id, family)
        if surplus:
            facts = {"user_id": user.id, "username": user.username, "sessions": [session_id_of(one) for one in surplus]}
            uow.add_event("auth.session_ended", actor_id=user.id, owner_id=user.id, data=facts)
            uow.after_commit(partial(self.on_end, user.id))

    async def active(self, uow: ReadUnitOfWork, caller: Caller) -> Sequence[ActiveSession]:
        """Users with a session that is good now, the last seen first; at most 500. Needs ``user:read``.

        When somebody was seen is noted now and then, not at every request: with Redis every few seconds, by whatever
        replica; without it the time may be a minute old.
        """
        caller.require(Permission.USER_READ)
        found = await uow.tokens.active_sessions(MAX_SHOWN)
        seen = await self.presence.seen([one.user_id for one in found]) if self.presence else {}
        fresh = [replace(one, seen_at=max(one.seen_at, seen.get(one.user_id, one.seen_at))) for one in found]
        return sorted(fresh, key=lambda one: one.seen_at, reverse=True)

    async def page(self, uow: ReadUnitOfWork, caller: Caller, request: PageRequest) -> Page:
        """The caller's open sessions; each with its public ``session_id`` and whether it is the ``current`` one."""
        require_session(caller)
        page = await uow.tokens.session_page(request, caller.user_id)
        rows = [
            {
                **{name: value for name, value in row.items() if name not in {"id", "family"}},
                "id": session_id_of(row["family"]),
                "started_at": row["session_started_at"] or row["renewed_at"],
                "current": row["family"] == caller.token_family,
            }
            for row in page.rows
        ]
        return Page(rows, page.next_cursor)

    async def end(self, uow: UnitOfWork, caller: Caller, session_id: str) -> None:
        """End one of the caller's sessions, possibly the present one."""
        require_session(caller)
        families = await uow.tokens.families(caller.user_id)
        family = next((known for known in families if session_id_of(known) == session_id), None)
        if family is None or not await uow.tokens.revoke_family(caller.user_id, family):
            raise not_found("session", session_id)
        self._ended(uow, caller, [session_id])

    async def end_others(self, uow: UnitOfWork, caller: Caller) -> None:
        """End all of the caller's sessions but the present one. Personal tokens stay."""
        require_session(caller)
        families = set(await uow.tokens.families(caller.user_id)) - {caller.token_family}
        if families:
            await uow.tokens.revoke_of_user(caller.user_id, except_family=caller.token_family)
            self._ended(uow, caller, sorted(session_id_of(family) for family in families))

    def _ended(self, uow: UnitOfWork, caller: Caller, session_ids: list[str]) -> None:
        facts = {"user_id": caller.user_id, "username": caller.username, "sessions": session_ids}
        uow.add_event("auth.session_ended", actor_id=caller.user_id, owner_id=caller.user_id, data=facts)
        uow.after_commit(partial(self.on_end, caller.user_id))


def _told_role(user: User, role: str, names: Mapping[str, str]) -> str:
    """A role in the words of an older API; who bypasses all rights is an administrator to its pages."""
    return names.get(ADMIN_ROLE if user.is_superuser else role, role)
