"""Databases of the lab's MongoDB, one for each who asks."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

from pymongo import MongoClient

from parcela.db.mongo import Mongo

VARIABLE = "PARCELA_TEST_MONGO_URL"
PATIENCE_MS = 240_000


def why_no_mongo() -> str:
    """Why there is no MongoDB in this run; "" when there is one."""
    if os.environ.get(VARIABLE):
        return ""
    return os.environ.get("PARCELA_TEST_MONGO_SKIP") or f"{VARIABLE} is not set: run under the test lab"


def fresh_url() -> str:
    """The address of a database that nobody has used."""
    return str(urlunsplit(urlsplit(os.environ[VARIABLE])._replace(path=f"/test_{uuid4().hex[:12]}")))


def drop(url: str) -> None:
    """Throw a database away."""
    with MongoClient[dict[str, object]](url) as client:
        client.drop_database(client.get_default_database().name)


@asynccontextmanager
async def mongo_database() -> AsyncIterator[Mongo]:
    """A client of a fresh database; whoever takes it starts it."""
    url = fresh_url()
    mongo = Mongo(url, selection_timeout_ms=PATIENCE_MS, answer_timeout_ms=PATIENCE_MS)
    try:
        yield mongo
    finally:
        await mongo.aclose()
        drop(url)
