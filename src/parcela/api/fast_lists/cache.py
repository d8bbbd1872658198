"""Answers of lists, kept as bytes per scope and version and given out before FastAPI sees the request.

A *scope* is what the body of a list depends on besides the query: the owner it is filtered by, or None for everybody's.
Every committed event moves the versions of the scopes it may concern, so an answer is never older than the last write
of this process; sixty seconds are the backstop for a write whose event got lost (a task cancelled inside its commit).
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from parcela.api.etags import matches
from parcela.api.rate_limits import CALLER
from parcela.core.errors import ParcelaError
from parcela.core.permissions import Permission
from parcela.repositories.events import EventRecord
from parcela.repositories.redis_shared import Shared, Versions
from parcela.services.access import Caller
from parcela.services.events.list_cache_scopes import scopes_of

KEPT_FOR_S = 60.0
MAX_BODY_BYTES = 262_144
MAX_BYTES = 33_554_432
NOBODY = 0
"""No user has this id."""
CACHED_LISTS: Mapping[str, Permission] = MappingProxyType({"/api/v1/virtual-machines/": Permission.VM_READ_ALL})
"""Path of a list -> the right that shows everybody's things."""
Version = tuple[int, int, Versions]
"""Of everything and of one scope, in this process; and the same two among all replicas."""
ALONE: Versions = ("", "")
"""The versions among replicas where there are none."""


class Key(NamedTuple):
    """What an answer depends on. ``owner_id`` is the scope. A tuple: one is made and hashed for every request.

    ``vm_api``: clients of that older API get other bytes at the same address.
    """

    path: str
    owner_id: int | None
    query: bytes
    gzip: bool
    vm_api: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """A 200 as it went over the wire."""

    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class _Entry:
    answer: Answer
    version: Version
    until: float


class ListCache:
    """Answers by key, the least used thrown out first; safe because everything happens on one event loop.

    Where other processes write too, ``shared`` has the versions that all of them move; without an answer from there
    nothing is given out and nothing kept.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic, max_bytes: int = MAX_BYTES) -> None:
        """Begin empty. ``now`` counts seconds."""
        self._now = now
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._everything = 0
        self.hits = self.misses = 0
        self._versions: dict[int | None, int] = {}
        self.shared: Shared | None = None

    def on_events(self, records: Sequence[EventRecord]) -> None:
        """Take committed events. They must come here before the writer gets its answer."""
        scopes = scopes_of(records)
        if scopes is None:
            self._everything += 1
            self._versions.clear()
            return
        for owner_id in scopes:
            self._versions[owner_id] = self._versions.get(owner_id, 0) + 1

    def counts(self) -> tuple[int, int]:
        """Hits and misses."""
        return self.hits, self.misses

    async def among_all(self, owner_id: int | None) -> Versions | None:
        """The versions of a scope among all replicas, None when they are not known; take them before reading."""
        return ALONE if self.shared is None else await self.shared.versions(owner_id)

    def version(self, owner_id: int | None, among_all: Versions = ALONE) -> Version:
        """Version of a scope; take it before the database is read."""
        return self._everything, self._versions.get(owner_id, 0), among_all

    def get(self, key: Key, among_all: Versions = ALONE) -> Answer | None:
        """The answer, while nothing of its scope has changed."""
        entry = self._entries.get(key)
        if entry is None or entry.version != self.version(key.owner_id, among_all) or entry.until <= self._now():
            self._drop(key)
            self.misses += 1
            return None
        self.hits += 1
        self._entries.move_to_end(key)
        return entry.answer

    def put(self, key: Key, answer: Answer, version: Version) -> None:
        """Keep an answer that was read at ``version``, unless its scope has changed since."""
        if version != self.version(key.owner_id, version[2]) or len(answer.body) > min(MAX_BODY_BYTES, self._max_bytes):
            return
        self._drop(key)
        self._entries[key] = _Entry(answer, version, self._now() + KEPT_FOR_S)
        self._bytes += len(answer.body)
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= len(entry.answer.body)


class CachedLists:
    """ASGI middleware: stands outside compression, so that kept answers are compressed once.

    Only good answers of known lists are kept; everything else, and every doubt, goes on to the application.
    ``Cache-Control: no-cache`` reads afresh. The cache is ``app.state.lists``; without one, nothing is kept. Stands
    inside of the rate limits, which have found out who asks.
    """

    def __init__(self, app: ASGIApp, lists: Mapping[str, Permission]) -> None:
        """``lists``: path -> the right that shows everybody's things."""
        self._app = app
        self._lists = lists

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer from the cache, or watch the application answer."""
        read_all = self._lists.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "GET" else None
        cache: ListCache | None = getattr(scope["app"].state, "lists", None) if read_all else None
        if read_all is None or cache is None:
            await self._app(scope, receive, send)
            return
        caller: Caller | None = scope.get(CALLER)
        owner_id = NOBODY if caller is None else _owner(caller, read_all)
        if caller is None or owner_id == NOBODY:
            await self._app(scope, receive, send)
            return
        among_all = await cache.among_all(owner_id)
        if among_all is None:
            await self._app(scope, receive, send)
            return
        headers = dict(reversed(scope["headers"]))  # of several with one name the first counts
        gzip = b"gzip" in headers.get(b"accept-encoding", b"")
        key = Key(scope["path"], owner_id, scope["query_string"], gzip, caller.speaks_vm_api)
        found = None if b"no-cache" in headers.get(b"cache-control", b"") else cache.get(key, among_all)
        if found is None:
            await self._app(scope, receive, _Recorder(cache, key, among_all, send))
        else:
            await _answer(found, headers.get(b"if-none-match", b""), send)


def _owner(caller: Caller, read_all: Permission) -> int | None:
    """The scope of the caller's list; NOBODY where the application has to refuse, or the list is nobody else's.

    A project's manager sees what others own: events of those would have to reach this list as well.
    """
    try:
        owner_id = caller.list_filter(read_all)
    except ParcelaError:
        return NOBODY
    return NOBODY if owner_id is not None and caller.managed else owner_id


async def _answer(found: Answer, asked: bytes, send: Send) -> None:
    """Send a kept answer, or 304 when the client has these bytes already."""
    headers, body, status = found.headers, found.body, 200
    if asked and found.etag and matches(asked.decode("latin-1"), found.etag):
        headers = [header for header in headers if header[0] != b"content-length"]
        body, status = b"", 304
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class _Recorder:
    """Passes an answer on and keeps it when it is whole."""

    def __init__(self, cache: ListCache, key: Key, among_all: Versions, send: Send) -> None:
        self._cache = cache
        self._key = key
        self._version = cache.version(key.owner_id, among_all)
        self._send = send
        self._headers: list[tuple[bytes, bytes]] | None = None
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            self._headers = list(message["headers"])
        elif message["type"] == "http.response.body" and self._headers is not None:
            self._body += message.get("body", b"")
            if len(self._body) > MAX_BODY_BYTES:
                self._headers = None
            elif not message.get("more_body", False):
                etag = Headers(raw=self._headers).get("etag", "")
                self._cache.put(self._key, Answer(tuple(self._headers), bytes(self._body), etag), self._version)
        await self._send(message)
