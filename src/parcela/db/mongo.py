"""MongoDB: one client per process, short timeouts, and a state that fails at once while the server is away."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import ConfigurationError, ConnectionFailure, ExecutionTimeout, InvalidURI, OperationFailure

from parcela.core.disks import storage_full
from parcela.core.errors import ErrorKind, ParcelaError, Problem, invalid
from parcela.db.link import Link

Document = dict[str, Any]
ANSWER_TIMEOUT_MS = 3_000
SELECTION_TIMEOUT_MS = 1_000
ASK_EVERY_S = 1.0
DEFAULT_DATABASE = "parcela"
LOST = (ConnectionFailure, ExecutionTimeout)
"""What says that the server is away; anything else is our mistake, or a full disk."""
FULL_CODES = frozenset({14031, 8000})
"""OutOfDiskSpace, and what hosted servers say of a quota that is used up."""
_SAYS_FULL = re.compile(r"no space left|disk is full|out of disk space|space quota", re.IGNORECASE)


class Mongo:
    """The MongoDB of this process."""

    def __init__(
        self,
        url: str,
        *,
        selection_timeout_ms: int = SELECTION_TIMEOUT_MS,
        answer_timeout_ms: int = ANSWER_TIMEOUT_MS,
    ) -> None:
        """Take ``mongodb://host/database``; connects when ``start`` is called.

        Args:
            url: of the server and its database.
            selection_timeout_ms: for finding a server that takes writes, and for connecting to it.
            answer_timeout_ms: for each answer. The short defaults are for requests, whose callers can try again.

        Raises:
            ParcelaError: kind ``invalid``: no such address.
        """
        effect = "maintenance records are not readable, writes of them are refused"
        self.link = Link("mongodb", effect, self._ping, every_s=ASK_EVERY_S, watched=True)
        try:
            self._client: AsyncMongoClient[Document] = AsyncMongoClient(
                url,
                serverSelectionTimeoutMS=selection_timeout_ms,
                connectTimeoutMS=selection_timeout_ms,
                socketTimeoutMS=answer_timeout_ms,
                appname="parcela",
                tz_aware=True,
                w="majority",
            )
            self.database: AsyncDatabase[Document] = self._client.get_default_database(DEFAULT_DATABASE)
        except (InvalidURI, ConfigurationError, ValueError) as exc:
            text = "MONGO_URL is no MongoDB address; it looks like mongodb://host:27017/parcela."
            raise invalid("settings_invalid", text, Problem("MONGO_URL", text, "bad_setting")) from exc

    def prepare(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do this whenever the server is (back) there, such as making indexes; it must be repeatable."""
        self.link.on_return(work)

    async def start(self) -> None:
        """Ask once, then keep watching."""
        await self.link.open()

    async def aclose(self) -> None:
        """Close all connections."""
        await self.link.aclose()
        await self._client.close()

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[AsyncDatabase[Document]]:
        """The database, for one request to it.

        Raises:
            ParcelaError: kind ``unavailable``, at once when the server is known to be away; ``no_capacity`` when its
                disk is full.
        """
        if not self.link.up:
            raise _unavailable(self.link.reason)
        since = self.link.losses
        try:
            yield self.database
        except LOST as exc:
            self.link.lost(exc, since=since)
            raise _unavailable(str(exc)) from exc
        except OperationFailure as exc:
            if exc.code in FULL_CODES or _SAYS_FULL.search(str(exc)):
                raise storage_full("the disk of the store of maintenance records", str(exc)) from exc
            raise

    async def _ping(self) -> None:
        await self.database.command("ping")


def _unavailable(reason: str) -> ParcelaError:
    return ParcelaError(
        ErrorKind.UNAVAILABLE,
        "maintenance_store_unavailable",
        "The store of maintenance records does not answer; nothing was changed. Try again in a moment.",
        internal=reason,
        retry_after_s=2,
    )
