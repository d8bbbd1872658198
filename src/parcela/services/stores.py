"""The optional stores of a process: opened together, watched together, closed together."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from parcela.core.settings import Settings
from parcela.db.link import Link
from parcela.repositories.maintenance.external_sync import Outside
from parcela.repositories.redis_shared import Shared

if TYPE_CHECKING:
    from parcela.db.mongo import Mongo
    from parcela.db.redis import RedisStore


class Stores:
    """What the settings name; a store that is not named is None, and one that is down is there and says so.

    Attributes:
        shared: what replicas share in Redis; None without one.
        outside: where maintenance records are when not in the database.
    """

    def __init__(
        self, redis: "RedisStore | None" = None, mongo: "Mongo | None" = None, outside: Outside | None = None
    ) -> None:
        """Take the clients; nothing is connected yet."""
        self._redis = redis
        self._mongo = mongo
        self.shared: Shared | None = None
        self.outside = outside

    @classmethod
    def named(cls, settings: Settings) -> "Stores":
        """Make the clients of what the settings name.

        Their libraries are loaded only then: together they cost half a second of the start, and 30 MB.
        """
        redis = _redis(settings.redis_url.get_secret_value()) if settings.redis_url else None
        mongo, outside = _mongo(settings.mongo_url.get_secret_value()) if settings.mongo_url else (None, None)
        return cls(redis, mongo, outside)

    @property
    def links(self) -> Sequence[Link]:
        """For health."""
        return [store.link for store in (self._redis, self._mongo) if store is not None]

    async def open(self, installation: str) -> None:
        """Ask each for the first time; one that is down is asked again in the background."""
        if self._redis is not None:
            self.shared = Shared(self._redis, installation)
        for link in self.links:
            await link.open()

    async def aclose(self) -> None:
        """Close the clients."""
        if self._redis is not None:
            await self._redis.aclose()
        if self._mongo is not None:
            await self._mongo.aclose()


def _redis(url: str) -> "RedisStore":
    from parcela.db.redis import RedisStore as Client

    return Client(url)


def _mongo(url: str) -> tuple["Mongo", Outside]:
    from parcela.db.mongo import Mongo as Client
    from parcela.repositories.maintenance.mongo import MongoActivityStore, MongoMaintenanceStore

    mongo = Client(url)
    return mongo, Outside(MongoMaintenanceStore(mongo), MongoActivityStore(mongo))
