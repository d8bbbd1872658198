"""Second factors, identities of other providers, password resets, and the mails that are on their way."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from parcela.models.base import Base, Id, pk


class SecondFactor(Base):
    """The authenticator app of a user. It counts once it is confirmed.

    ``sealed_secret`` is encrypted with a key that is not in the database. ``last_step`` is the time step of the last
    code that was taken: it and older ones are never taken again.
    """

    __tablename__ = "second_factors"

    user_id: Mapped[int] = mapped_column(Id, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    sealed_secret: Mapped[str] = mapped_column(Text)
    last_step: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]


class RecoveryCode(Base):
    """One code for the day the phone is lost; only its SHA-256 is here, and the row goes when it is spent."""

    __tablename__ = "recovery_codes"
    __table_args__ = (UniqueConstraint("user_id", "code_hash"),)

    id: Mapped[int] = pk()
    user_id: Mapped[int] = mapped_column(Id, ForeignKey("users.id", ondelete="CASCADE"))
    code_hash: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]


class ExternalIdentity(Base):
    """Who somebody is at an OpenID Connect provider.

    ``key_hash`` is the SHA-256 of issuer and subject: it makes the pair unique on every database, where collations
    would take ``Ana`` and ``ana`` for the same subject.
    """

    __tablename__ = "external_identities"
    __table_args__ = (UniqueConstraint("key_hash"), Index("ix_external_identities_user_id", "user_id"))

    id: Mapped[int] = pk()
    user_id: Mapped[int] = mapped_column(Id, ForeignKey("users.id", ondelete="CASCADE"))
    issuer: Mapped[str] = mapped_column(String(255))
    subject: Mapped[str] = mapped_column(String(255))
    key_hash: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    last_login_at: Mapped[datetime | None]


class KnownAddress(Base):
    """An address from which a user has signed in: failures of strangers do not delay them there.

    Only a keyed hash of user and address is here, so that nobody who reads the database learns the addresses.
    """

    __tablename__ = "known_addresses"
    __table_args__ = (
        UniqueConstraint("user_id", "key_hash"),
        Index("ix_known_addresses_last_used_at", "last_used_at"),
    )

    id: Mapped[int] = pk()
    user_id: Mapped[int] = mapped_column(Id, ForeignKey("users.id", ondelete="CASCADE"))
    key_hash: Mapped[str] = mapped_column(String(64))
    last_used_at: Mapped[datetime]


class PasswordReset(Base):
    """A wish for a new password; only the SHA-256 of its token is here.

    ``user_id`` is None where somebody asked for an account that does not exist: the work is the same, the mail is not.
    """

    __tablename__ = "password_resets"
    __table_args__ = (
        UniqueConstraint("token_hash"),
        Index("ix_password_resets_user_id", "user_id"),
        Index("ix_password_resets_expires_at", "expires_at"),
    )

    id: Mapped[int] = pk()
    user_id: Mapped[int | None] = mapped_column(Id, ForeignKey("users.id", ondelete="CASCADE"))
    token_hash: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class OutboxMail(Base):
    """A mail that has to be sent. The row goes when the mail server has taken it.

    ``sealed_body`` is encrypted: it may hold a link that stands for a password. An empty ``recipient`` is a mail to
    nobody, which is dropped instead of sent.
    """

    __tablename__ = "mail_outbox"
    __table_args__ = (
        CheckConstraint("state IN ('queued', 'failed')", name="state_known"),
        Index("ix_mail_outbox_state_next_attempt_at", "state", "next_attempt_at"),
    )

    id: Mapped[int] = pk()
    kind: Mapped[str] = mapped_column(String(64))
    recipient: Mapped[str] = mapped_column(String(254))
    subject: Mapped[str] = mapped_column(String(255))
    sealed_body: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16), default="queued")
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    created_at: Mapped[datetime]
    next_attempt_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    last_error: Mapped[str] = mapped_column(String(500), default="")
