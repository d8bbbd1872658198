"""Redis: one client per process, that never makes anybody wait for long and never makes a request fail."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from parcela.db.link import PROBED_EVERY_S, Link, StoreLostError

AnswerT = TypeVar("AnswerT")
TIMEOUT_S = 1.0
PROBE_KEY = "parcela:probe"
LISTEN_S = 5.0
FAILURES = (RedisError, OSError, TimeoutError)


class RedisStore:
    """The client and its state. Nothing that is in Redis is the only copy of anything."""

    def __init__(self, url: str, *, timeout_s: float = TIMEOUT_S, every_s: float = PROBED_EVERY_S) -> None:
        """Connect on first use.

        Args:
            url: ``redis://`` or ``rediss://``.
            timeout_s: for connecting and for each answer.
            every_s: pause between two tries while it is lost.
        """
        # One retry without a pause: a connection that Redis closed while it lay in the pool is no loss.
        self.client = Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 1),
        )
        effect = "every process works by itself: events are looked for once a second, lists are not kept"
        self.link = Link("redis", effect, self._ping, every_s=every_s)

    async def _ping(self) -> None:
        # A write: one that is full or only a copy answers to PING and is of no use to us.
        await self.client.set(PROBE_KEY, "1", ex=60)

    async def call(self, work: Callable[[Redis], Awaitable[AnswerT]]) -> AnswerT:
        """Ask something.

        Raises:
            StoreLostError: there is no answer, or there was none a moment ago.
        """
        if not self.link.up:
            raise StoreLostError(self.link.name)
        since = self.link.losses
        try:
            return await work(self.client)
        except FAILURES as exc:
            self.link.lost(exc, since=since)
            raise StoreLostError(self.link.name) from exc

    async def listen(self, channel: str) -> AsyncIterator[str | None]:
        """Messages of a channel, for ever; None each time the subscription begins (again): something may be lost."""
        while True:
            await self.link.wait_up()
            since = self.link.losses
            subscription = self.client.pubsub(ignore_subscribe_messages=True)
            try:
                await subscription.subscribe(channel)
                yield None
                while True:
                    message = await subscription.get_message(timeout=LISTEN_S)
                    if message is not None:
                        yield str(message["data"])
            except FAILURES as exc:
                self.link.lost(exc, since=since)
            finally:
                with suppress(*FAILURES):
                    await subscription.aclose()  # type: ignore[no-untyped-call]

    async def aclose(self) -> None:
        """Close all connections."""
        await self.link.aclose()
        with suppress(*FAILURES):
            await self.client.aclose()
