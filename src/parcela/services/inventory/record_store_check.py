"""Says when maintenance records are in the store that the settings do not name: their lists would just look empty."""

from parcela.repositories.uow import ReadUnitOfWork
from parcela.services.observability.health import Check

NAME = "maintenance records"
IN_TABLES = (
    "records are in the tables of the database, but MONGO_URL is set and they are looked for in MongoDB: stop Parcela "
    "and run 'parcela store move --to mongo', or take MONGO_URL away"
)
IN_MONGODB = (
    "records are in MongoDB, but MONGO_URL is not set and they are looked for in the tables of the database: set it "
    "again, or stop Parcela and run 'parcela store move --to sql'"
)


class MaintenancePlace:
    """For health, and for the log at the start."""

    def __init__(self, *, uses_mongodb: bool) -> None:
        """Take what the settings say."""
        self._uses_mongodb = uses_mongodb

    async def check(self, uow: ReadUnitOfWork) -> Check:
        """Ask the database alone: whether records are where they are looked for."""
        if self._uses_mongodb:
            wrong, where, text = await uow.maintenance_place.in_tables(), "in MongoDB", IN_TABLES
        else:
            wrong, where, text = await uow.maintenance_place.in_mongodb(), "in the tables of the database", IN_MONGODB
        return Check(NAME, "down", text) if wrong else Check(NAME, "ok", where)
