"""In which store the maintenance records of an installation are, as the relational database knows it.

It can look into its own tables. Of MongoDB it keeps a note, because without ``MONGO_URL`` nobody can be asked.
"""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from parcela.models import Counter, MaintenanceRow

NOTE = "maintenance_in_mongodb"


class PlaceRepository:
    """Two cheap questions and a note."""

    def __init__(self, session: AsyncSession) -> None:
        """Work in a session of the unit of work."""
        self._session = session

    async def in_tables(self) -> bool:
        """Whether a maintenance record is in the tables."""
        return (await self._session.execute(select(MaintenanceRow.id).limit(1))).first() is not None

    async def in_mongodb(self) -> bool:
        """Whether records were last seen in MongoDB."""
        noted = await self._session.scalar(select(Counter.value).where(Counter.name == NOTE))
        return bool(noted)

    async def note_mongodb(self, *, filled: bool) -> None:
        """Write down whether MongoDB has records."""
        await self._session.merge(Counter(name=NOTE, value=int(filled)))
