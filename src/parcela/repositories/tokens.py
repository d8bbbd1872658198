"""Tokens and login throttles."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, func, or_, select, update
from sqlalchemy.dialects import mysql, postgresql, sqlite

from parcela.core.permissions import ProjectRole
from parcela.models import ApiToken, LoginThrottle, Role, RolePermission, User
from parcela.repositories.base import Repository
from parcela.repositories.paging import Page, PageRequest, fetch_page
from parcela.repositories.projects import ProjectRepository

SESSION_KINDS = ("session", "refresh")
SHOWN = ("id", "name", "scopes", "created_at", "expires_at", "last_used_at", "ip", "speaks_vm_api")


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """A token, who holds it and what they may do: all that one authentication needs, in two queries."""

    token_id: int
    kind: str
    family: str
    scopes: frozenset[str]
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    user_id: int
    username: str
    locale: str
    is_active: bool
    is_superuser: bool
    role: str
    permissions: frozenset[str]
    projects: Mapping[int, ProjectRole]
    speaks_vm_api: bool


@dataclass(frozen=True, slots=True)
class ActiveSession:
    """Somebody who is logged in, and when they were seen last."""

    user_id: int
    username: str
    full_name: str
    role: str
    seen_at: datetime


class TokenRepository(Repository[ApiToken]):
    """Tokens by their hash, and the counters against guessing."""

    model = ApiToken
    noun = "token"

    async def facts(self, token_hash: str) -> TokenFacts | None:
        """A token with its holder, whatever state both are in."""
        return await self._facts(ApiToken.token_hash == token_hash)

    async def facts_by_id(self, token_id: int) -> TokenFacts | None:
        """The same for a token that was judged before."""
        return await self._facts(ApiToken.id == token_id)

    async def facts_of_session(self, user_id: int, family: str) -> TokenFacts | None:
        """The token of an open session that is valid longest, with its holder; None once the session has ended."""
        return await self._facts(
            and_(
                ApiToken.user_id == user_id,
                ApiToken.family == family,
                ApiToken.kind.in_(SESSION_KINDS),
                ApiToken.revoked_at.is_(None),
            )
        )

    async def _facts(self, wanted: ColumnElement[bool]) -> TokenFacts | None:
        statement = (
            select(ApiToken, User, Role.name, RolePermission.permission)
            .join(User, User.id == ApiToken.user_id)
            .join(Role, Role.id == User.role_id)
            .outerjoin(RolePermission, RolePermission.role_id == Role.id)
            .where(wanted)
            .order_by(ApiToken.expires_at.desc())
        )
        rows = (await self._session.execute(statement)).all()
        if not rows:
            return None
        token, user, role, _ = rows[0]
        return TokenFacts(
            token_id=token.id,
            kind=token.kind,
            family=token.family,
            scopes=frozenset(token.scopes),
            expires_at=token.expires_at,
            revoked_at=token.revoked_at,
            last_used_at=token.last_used_at,
            user_id=user.id,
            username=user.username,
            locale=user.locale,
            is_active=user.is_active,
            is_superuser=user.is_superuser,
            role=role,
            # An outer join: the permission is None for a role without rights, whatever the model's type says.
            permissions=frozenset(str(row[3]) for row in rows if row[3] is not None),  # type: ignore[redundant-expr]
            projects=await ProjectRepository(self._session, self._clock).roles_of_user(user.id),
            speaks_vm_api=token.speaks_vm_api,
        )

    async def lock_by_hash(self, token_hash: str) -> ApiToken | None:
        """The token, fresh and locked until the unit of work ends."""
        statement = select(ApiToken).where(ApiToken.token_hash == token_hash).with_for_update()
        return (await self._session.scalars(statement, execution_options={"populate_existing": True})).one_or_none()

    async def personal_page(self, request: PageRequest, user_id: int) -> Page:
        """Personal tokens of a user that are neither revoked nor expired; no hashes."""
        statement = select(*[ApiToken.__table__.c[name] for name in SHOWN]).where(
            ApiToken.user_id == user_id,
            ApiToken.kind == "personal",
            ApiToken.revoked_at.is_(None),
            or_(ApiToken.expires_at.is_(None), ApiToken.expires_at > self._clock()),
        )
        sortable: dict[str, Any] = {"name": ApiToken.name, "created_at": ApiToken.created_at}
        return await fetch_page(self._session, statement, request, sortable=sortable, id_column=ApiToken.__table__.c.id)

    def _sessions(self, user_id: int) -> Select[Any]:
        """One row per session that is open: its refresh token, which is replaced at every renewal."""
        used = select(func.max(ApiToken.last_used_at)).where(ApiToken.user_id == user_id)
        newest = ApiToken.__table__.alias("refresh")
        columns = [newest.c[name] for name in ("id", "family", "session_started_at", "expires_at", "ip", "agent")]
        last_used = used.where(ApiToken.family == newest.c.family).scalar_subquery().label("last_used_at")
        return select(*columns, newest.c.created_at.label("renewed_at"), last_used).where(
            newest.c.user_id == user_id,
            newest.c.kind == "refresh",
            newest.c.revoked_at.is_(None),
            newest.c.expires_at > self._clock(),
        )

    async def session_page(self, request: PageRequest, user_id: int) -> Page:
        """Open sessions of a user. ``family`` is a secret of ours: the edge never shows it."""
        statement = self._sessions(user_id)
        id_column = statement.selected_columns["id"]
        return await fetch_page(self._session, statement, request, sortable={}, id_column=id_column)

    async def families(self, user_id: int) -> list[str]:
        """Families of the open sessions of a user."""
        rows = await self._session.execute(self._sessions(user_id))
        return [str(row.family) for row in rows]

    async def revoke(self, token_id: int, user_id: int, kind: str) -> bool:
        """Revoke one token of a user; False when there is no such valid one."""
        statement = update(ApiToken).where(
            ApiToken.id == token_id,
            ApiToken.user_id == user_id,
            ApiToken.kind == kind,
            ApiToken.revoked_at.is_(None),
        )
        return bool(await self._changed(statement.values(revoked_at=self._clock())))

    async def revoke_family(self, user_id: int, family: str) -> int:
        """Revoke all tokens of one login; how many were still valid."""
        statement = update(ApiToken).where(
            ApiToken.user_id == user_id,
            ApiToken.family == family,
            ApiToken.kind.in_(SESSION_KINDS),
            ApiToken.revoked_at.is_(None),
        )
        return await self._changed(statement.values(revoked_at=self._clock()))

    async def revoke_of_user(
        self, user_id: int, *, kinds: Collection[str] = SESSION_KINDS, except_family: str | None = None
    ) -> int:
        """Revoke the tokens of a user; how many were still valid."""
        statement = update(ApiToken).where(
            ApiToken.user_id == user_id, ApiToken.kind.in_(kinds), ApiToken.revoked_at.is_(None)
        )
        if except_family is not None:
            statement = statement.where(ApiToken.family != except_family)
        return await self._changed(statement.values(revoked_at=self._clock()))

    async def note_use(self, uses: Mapping[int, tuple[datetime, str]]) -> None:
        """Note when and from which address tokens were used last, in the order of their ids (no deadlocks)."""
        for token_id, (used_at, address) in sorted(uses.items()):
            statement = update(ApiToken).where(ApiToken.id == token_id)
            await self._changed(statement.values(last_used_at=used_at, ip=address[:64]))

    async def active_sessions(self, limit: int) -> list[ActiveSession]:
        """Who has a session that is good now, the last seen first; each once."""
        seen = func.max(func.coalesce(ApiToken.last_used_at, ApiToken.created_at))
        columns = (User.id, User.username, User.full_name, Role.name)
        statement = (
            select(*columns, seen)
            .join(User, User.id == ApiToken.user_id)
            .join(Role, Role.id == User.role_id)
            .where(
                ApiToken.kind == "session",
                ApiToken.revoked_at.is_(None),
                ApiToken.expires_at > self._clock(),
                User.is_active.is_(True),
            )
            .group_by(*columns)
            .order_by(seen.desc(), User.id)
            .limit(limit)
        )
        return [ActiveSession(*row) for row in (await self._session.execute(statement)).all()]

    async def purge(self) -> int:
        """Remove expired tokens; how many. Spent refresh tokens stay until then: using one again is an alarm."""
        return await self._changed(delete(ApiToken).where(ApiToken.expires_at < self._clock()))

    async def throttles(self, keys: Sequence[str]) -> list[LoginThrottle]:
        """Counters of some keys, as stored now."""
        statement = select(LoginThrottle).where(LoginThrottle.key.in_(keys))
        return list((await self._session.scalars(statement, execution_options={"populate_existing": True})).all())

    async def lock_throttles(self, keys: Sequence[str]) -> list[LoginThrottle]:
        """Existing counters of some keys, fresh and locked, in the order of their keys."""
        statement = select(LoginThrottle).where(LoginThrottle.key.in_(keys)).order_by(LoginThrottle.key)
        result = await self._session.scalars(statement.with_for_update(), execution_options={"populate_existing": True})
        return list(result.all())

    async def lock_or_add_throttle(self, key: str) -> LoginThrottle:
        """The counter of a key, locked; begun at zero when there was none.

        The insert comes first and never fails: a SELECT that finds nothing locks nothing, and two attempts would then
        both insert. On MariaDB it is an upsert because INSERT IGNORE takes a shared lock on the row that is in the way,
        and two holders of shared locks that both want to write are a deadlock.
        """
        values = {"key": key, "failures": 0, "last_failure_at": self._clock(), "locked_until": None}
        dialect = self._session.get_bind().dialect.name
        if dialect in {"mysql", "mariadb"}:
            upsert = mysql.insert(LoginThrottle).values(**values)
            await self._session.execute(upsert.on_duplicate_key_update(key=upsert.inserted.key))
        elif dialect == "postgresql":
            await self._session.execute(postgresql.insert(LoginThrottle).values(**values).on_conflict_do_nothing())
        else:
            await self._session.execute(sqlite.insert(LoginThrottle).values(**values).on_conflict_do_nothing())
        return (await self.lock_throttles([key]))[0]

    async def clear_throttles(self, keys: Sequence[str]) -> None:
        """Forget the failures of some keys."""
        await self._changed(delete(LoginThrottle).where(LoginThrottle.key.in_(keys)))

    async def purge_throttles(self, before: datetime) -> int:
        """Remove counters whose window began before a time and that lock nothing; how many."""
        statement = delete(LoginThrottle).where(
            LoginThrottle.last_failure_at < before,
            or_(LoginThrottle.locked_until.is_(None), LoginThrottle.locked_until < self._clock()),
        )
        return await self._changed(statement)
