"""How many tokens there are of somebody, and what goes when there are too many."""

from sqlalchemy import delete, func, or_, select

from parcela.models import ApiToken
from parcela.repositories.base import Repository


class TokenCounts(Repository[ApiToken]):
    """Counts and thins out."""

    model = ApiToken
    noun = "token"

    async def count_personal(self, user_id: int) -> int:
        """How many personal tokens of a user are good."""
        statement = select(func.count(ApiToken.id)).where(
            ApiToken.user_id == user_id,
            ApiToken.kind == "personal",
            ApiToken.revoked_at.is_(None),
            or_(ApiToken.expires_at.is_(None), ApiToken.expires_at > self._clock()),
        )
        return int((await self._session.execute(statement)).scalar_one())

    async def renewed_least(self, user_id: int) -> list[str]:
        """Families of the open sessions of a user, those renewed longest ago first."""
        statement = select(ApiToken.family).where(
            ApiToken.user_id == user_id,
            ApiToken.kind == "refresh",
            ApiToken.revoked_at.is_(None),
            ApiToken.expires_at > self._clock(),
        )
        return list((await self._session.scalars(statement.order_by(ApiToken.id))).all())

    async def thin_out(self, family: str, kept: int) -> None:
        """Remove the tokens of a session but the newest ``kept``: each renewal leaves two spent ones."""
        ids = select(ApiToken.id).where(ApiToken.family == family).order_by(ApiToken.id.desc())
        last = await self._session.scalar(ids.offset(kept).limit(1))
        if last is not None:
            await self._changed(delete(ApiToken).where(ApiToken.family == family, ApiToken.id <= last))
