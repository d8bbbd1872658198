"""Users, roles, tokens and the counters against guessing."""

from datetime import datetime

from sqlalchemy import Boolean, CheckConstraint, ForeignKey, Index, Integer, String, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from parcela.models.base import Base, Id, pk
from parcela.models.derived import Written, folded_of, sort_key_of


class Role(Base):
    """A named set of permissions."""

    __tablename__ = "roles"
    __table_args__ = (
        UniqueConstraint("name"),
        Index("ix_roles_name_sort_id", "name_sort", "id"),
    )

    id: Mapped[int] = pk()
    name: Mapped[str] = mapped_column(Written(64))
    name_sort: Mapped[str] = sort_key_of("name")
    description: Mapped[str] = mapped_column(Written(255), default="")
    is_builtin: Mapped[bool] = mapped_column(Boolean, default=False)
    created_at: Mapped[datetime]


class RolePermission(Base):
    """One right of a role (1:N)."""

    __tablename__ = "role_permissions"

    role_id: Mapped[int] = mapped_column(Id, ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True)
    permission: Mapped[str] = mapped_column(String(64), primary_key=True)


class User(Base):
    """Somebody who may log in. ``email`` and ``username`` are stored in lower case.

    ``credential_version`` is raised whenever everything that was issued for the account becomes invalid; unfinished
    logins and device cookies carry it. ``self_registered``: nobody has vouched for the e-mail address.
    ``verified_email`` is the address that somebody has vouched for (an administrator, the identity provider, a link in
    a mail); it counts only while it equals ``email``, so that a changed address is unverified by itself.
    """

    __tablename__ = "users"
    __table_args__ = (
        UniqueConstraint("email"),
        UniqueConstraint("username"),
        CheckConstraint("email = lower(email)", name="email_lower"),
        CheckConstraint("username = lower(username)", name="username_lower"),
        Index("ix_users_email_sort_id", "email_sort", "id"),
        Index("ix_users_username_sort_id", "username_sort", "id"),
        Index("ix_users_full_name_sort_id", "full_name_sort", "id"),
        Index("ix_users_full_name_fold_id", "full_name_fold", "id"),
    )

    id: Mapped[int] = pk()
    email: Mapped[str] = mapped_column(Written(254))
    email_sort: Mapped[str] = sort_key_of("email")
    username: Mapped[str] = mapped_column(Written(64))
    username_sort: Mapped[str] = sort_key_of("username")
    full_name: Mapped[str] = mapped_column(Written(255), default="")
    full_name_sort: Mapped[str] = sort_key_of("full_name")
    full_name_fold: Mapped[str] = folded_of("full_name")
    password_hash: Mapped[str] = mapped_column(String(255))
    role_id: Mapped[int] = mapped_column(Id, ForeignKey("roles.id"))
    is_superuser: Mapped[bool] = mapped_column(Boolean, default=False)
    is_active: Mapped[bool] = mapped_column(Boolean, default=True)
    locale: Mapped[str] = mapped_column(String(8), default="en")
    created_at: Mapped[datetime]
    last_login_at: Mapped[datetime | None]
    credential_version: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    verified_email: Mapped[str | None] = mapped_column(String(254))
    self_registered: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())


class ApiToken(Base):
    """A token somebody holds; only its SHA-256 is here.

    ``kind`` is ``session`` (an access token), ``refresh`` or ``personal``; all tokens of one login share a ``family``,
    which logout and the reuse of a spent refresh token revoke as a whole. ``session_started_at`` is the time of that
    login, and ``agent`` is what the program that logged in calls itself. ``speaks_vm_api``: its holder is a client of
    the older API of that name, which shares addresses with ours and is answered in its own shapes there.
    """

    __tablename__ = "api_tokens"
    __table_args__ = (
        UniqueConstraint("token_hash"),
        CheckConstraint("kind IN ('session', 'refresh', 'personal')", name="kind_known"),
        Index("ix_api_tokens_user_id_kind", "user_id", "kind"),
        Index("ix_api_tokens_family", "family"),
        Index("ix_api_tokens_expires_at", "expires_at"),
        Index("ix_api_tokens_revoked_at", "revoked_at"),
    )

    id: Mapped[int] = pk()
    user_id: Mapped[int] = mapped_column(Id, ForeignKey("users.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(Written(100), default="")
    name_sort: Mapped[str] = sort_key_of("name")
    token_hash: Mapped[str] = mapped_column(String(64))
    family: Mapped[str] = mapped_column(String(64), default="")
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    ip: Mapped[str] = mapped_column(String(64), default="")
    session_started_at: Mapped[datetime | None]
    agent: Mapped[str] = mapped_column(String(200), default="", server_default="")
    speaks_vm_api: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())


class LoginThrottle(Base):
    """Failures of one account, client address, device or session.

    See ``services/identity/login_limits/throttles.py``.
    """

    __tablename__ = "login_throttles"

    key: Mapped[str] = mapped_column(String(320), primary_key=True)
    failures: Mapped[int] = mapped_column(Integer, default=0)
    last_failure_at: Mapped[datetime]
    locked_until: Mapped[datetime | None]
