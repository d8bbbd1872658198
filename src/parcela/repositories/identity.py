"""Second factors, identities of other providers, password resets."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import delete, func, select

from parcela.models import ExternalIdentity, KnownAddress, PasswordReset, RecoveryCode, SecondFactor
from parcela.repositories.base import Repository


class SecondFactorRepository(Repository[SecondFactor]):
    """One authenticator app per user, and the recovery codes beside it."""

    model = SecondFactor
    noun = "second factor"

    async def confirmed(self, user_id: int) -> SecondFactor | None:
        """The app of a user, when it counts."""
        row = await self.of_user(user_id)
        return row if row is not None and row.confirmed_at is not None else None

    async def of_user(self, user_id: int) -> SecondFactor | None:
        """The app of a user, confirmed or not, as stored now. Lock the user's row before it is changed."""
        statement = select(SecondFactor).where(SecondFactor.user_id == user_id)
        return (await self._session.scalars(statement, execution_options={"populate_existing": True})).one_or_none()

    async def remove(self, user_id: int) -> int:
        """Forget app and codes of a user; 1 when there was an app."""
        await self._changed(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
        return await self._changed(delete(SecondFactor).where(SecondFactor.user_id == user_id))

    async def set_codes(self, user_id: int, hashes: Iterable[str]) -> None:
        """Replace the recovery codes of a user."""
        await self._changed(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
        now = self._clock()
        self._session.add_all([RecoveryCode(user_id=user_id, code_hash=item, created_at=now) for item in hashes])

    async def spend_code(self, user_id: int, code_hash: str) -> bool:
        """Use a recovery code up; False when there is none such."""
        mine = delete(RecoveryCode).where(RecoveryCode.user_id == user_id, RecoveryCode.code_hash == code_hash)
        return bool(await self._changed(mine))

    async def codes_left(self, user_id: int) -> int:
        """Recovery codes that are good."""
        statement = select(func.count(RecoveryCode.id)).where(RecoveryCode.user_id == user_id)
        return int((await self._session.execute(statement)).scalar_one())


class ExternalIdentityRepository(Repository[ExternalIdentity]):
    """Who users are elsewhere."""

    model = ExternalIdentity
    noun = "external identity"

    async def by_key(self, key_hash: str) -> ExternalIdentity | None:
        """The identity of an issuer and subject."""
        return (
            await self._session.scalars(select(ExternalIdentity).where(ExternalIdentity.key_hash == key_hash))
        ).one_or_none()

    async def of_user(self, user_id: int) -> list[ExternalIdentity]:
        """All identities of a user, the oldest first."""
        statement = select(ExternalIdentity).where(ExternalIdentity.user_id == user_id).order_by(ExternalIdentity.id)
        return list((await self._session.scalars(statement)).all())


class KnownAddressRepository(Repository[KnownAddress]):
    """Addresses from which users have signed in, as keyed hashes."""

    model = KnownAddress
    noun = "known address"

    async def is_known(self, user_id: int, key_hash: str) -> bool:
        """Whether a user has signed in from there."""
        statement = select(KnownAddress.id).where(KnownAddress.user_id == user_id, KnownAddress.key_hash == key_hash)
        return (await self._session.scalars(statement)).first() is not None

    async def remember(self, user_id: int, key_hash: str, most: int) -> None:
        """Note a use now; of more than ``most`` the longest unused is forgotten. The user's row must be locked."""
        statement = select(KnownAddress).where(KnownAddress.user_id == user_id).order_by(KnownAddress.last_used_at)
        rows = list((await self._session.scalars(statement)).all())
        for row in rows:
            if row.key_hash == key_hash:
                row.last_used_at = self._clock()
                return
        for row in rows[: max(0, len(rows) + 1 - most)]:
            await self.delete(row)
        await self.add(KnownAddress(user_id=user_id, key_hash=key_hash, last_used_at=self._clock()))

    async def remove_of_user(self, user_id: int) -> None:
        """Forget all of a user's."""
        await self._changed(delete(KnownAddress).where(KnownAddress.user_id == user_id))

    async def purge(self, before: datetime) -> int:
        """Forget those that were used last before a time; how many."""
        return await self._changed(delete(KnownAddress).where(KnownAddress.last_used_at < before))


class PasswordResetRepository(Repository[PasswordReset]):
    """Wishes for new passwords."""

    model = PasswordReset
    noun = "password reset"

    async def good(self, token_hash: str) -> PasswordReset | None:
        """The reset behind a token that belongs to somebody and has not run out."""
        statement = select(PasswordReset).where(
            PasswordReset.token_hash == token_hash,
            PasswordReset.user_id.is_not(None),
            PasswordReset.expires_at > self._clock(),
        )
        return (await self._session.scalars(statement)).one_or_none()

    async def spend(self, token_hash: str) -> bool:
        """Use a token up; False when somebody was faster."""
        return bool(await self._changed(delete(PasswordReset).where(PasswordReset.token_hash == token_hash)))

    async def remove_of_user(self, user_id: int) -> None:
        """Forget all of a user's."""
        await self._changed(delete(PasswordReset).where(PasswordReset.user_id == user_id))

    async def purge(self) -> int:
        """Forget those that have run out; how many."""
        return await self._changed(delete(PasswordReset).where(PasswordReset.expires_at <= self._clock()))
