"""What replicas share in Redis: versions of lists, wake-up calls, who was seen when, and counted requests.

All of it may vanish at any time. Nothing here raises because Redis is lost: a read then gives None.

A version is a random word, never a number: a Redis that comes back empty can count to the same number again, and an
answer from before would look fresh; it cannot say the same word again.
"""

import secrets
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from parcela.db.link import StoreLostError

if TYPE_CHECKING:  # who has no Redis need not load its client
    from redis.asyncio import Redis

    from parcela.db.redis import RedisStore

VERSION_TTL_S = 3600
SEEN_TTL_S = 86_400
EVERYTHING = "all"
EVERYBODY = "*"
Versions = tuple[str, str]
"""Of everything, and of one scope."""


class Shared:
    """One installation's keys in Redis."""

    def __init__(self, redis: "RedisStore", installation: str) -> None:
        """``installation`` keeps several of them in one Redis apart."""
        self._redis = redis
        self._prefix = f"parcela:{installation}"
        # What was written while Redis was lost has told nobody: after every loss all lists are read afresh.
        redis.link.on_return(self._forget_lists)

    # ---- versions of lists

    async def versions(self, owner_id: int | None) -> Versions | None:
        """The versions that hold now for the list of an owner (None: everybody's); take them before reading."""
        keys = [self._version_key(EVERYTHING), self._version_key(owner_id)]

        async def read(client: "Redis") -> Versions:
            found = await client.mget(keys)
            if None in found:
                async with client.pipeline(transaction=False) as pipe:
                    for key in keys:
                        pipe.set(key, secrets.token_hex(8), nx=True, ex=VERSION_TTL_S)
                    pipe.mget(keys)
                    found = (await pipe.execute())[-1]
            return str(found[0]), str(found[1])

        try:
            return await self._redis.call(read)
        except StoreLostError:
            return None

    async def changed(self, owners: Collection[int | None] | None, last_id: int) -> None:
        """Give lists new versions and wake the other replicas, before the writer gets its answer.

        Args:
            owners: whose lists; None: all.
            last_id: number of the newest event, for those who look at the channel.
        """
        scopes: Sequence[int | str | None] = [EVERYTHING] if owners is None else list(owners)

        async def write(client: "Redis") -> None:
            async with client.pipeline(transaction=False) as pipe:
                for scope in scopes:
                    pipe.set(self._version_key(scope), secrets.token_hex(8), ex=VERSION_TTL_S)
                pipe.publish(self._channel, str(last_id))
                await pipe.execute()

        try:
            await self._redis.call(write)
        except StoreLostError:
            return

    async def _forget_lists(self) -> None:
        await self._redis.client.set(self._version_key(EVERYTHING), secrets.token_hex(8), ex=VERSION_TTL_S)

    def _version_key(self, scope: int | str | None) -> str:
        return f"{self._prefix}:lists:{EVERYBODY if scope is None else scope}"

    # ---- events

    @property
    def _channel(self) -> str:
        return f"{self._prefix}:events"

    def wakes(self) -> AsyncIterator[str | None]:
        """Gives something whenever there may be new events."""
        return self._redis.listen(self._channel)

    # ---- who was seen

    async def touch(self, seen: Mapping[int, datetime]) -> bool:
        """Note when users were seen; False when it was not noted."""

        async def write(client: "Redis") -> None:
            scores: dict[Any, Any] = {str(user_id): at.timestamp() for user_id, at in seen.items()}
            key = f"{self._prefix}:seen"
            async with client.pipeline(transaction=False) as pipe:
                pipe.zadd(key, scores, gt=True)
                pipe.zremrangebyscore(key, "-inf", max(scores.values()) - SEEN_TTL_S)
                pipe.expire(key, SEEN_TTL_S)
                await pipe.execute()

        try:
            await self._redis.call(write)
        except StoreLostError:
            return False
        return True

    async def seen(self, user_ids: Sequence[int]) -> Mapping[int, datetime]:
        """When users were seen last; those of whom nothing is known are left out."""
        if not user_ids:
            return {}

        async def read(client: "Redis") -> list[Any]:
            return list(await client.zmscore(f"{self._prefix}:seen", [str(user_id) for user_id in user_ids]))

        try:
            scores = await self._redis.call(read)
        except StoreLostError:
            return {}
        return {
            user_id: datetime.fromtimestamp(score, UTC)
            for user_id, score in zip(user_ids, scores, strict=True)
            if score is not None
        }

    # ---- limits of requests

    async def count(self, key: str, expiry_s: int) -> int | None:
        """Count one under a key that is forgotten ``expiry_s`` after its last use; None when nobody answers."""
        name = f"{self._prefix}:limits:{key}"

        async def write(client: "Redis") -> int:
            async with client.pipeline(transaction=False) as pipe:
                pipe.incr(name)
                pipe.expire(name, expiry_s)
                return int((await pipe.execute())[0])

        try:
            return await self._redis.call(write)
        except StoreLostError:
            return None
