"""Commands for the stores of this machine's installation: ``store move``."""

import asyncio
from typing import Annotated

import typer

from parcela.cli.local.server import AsJson, alone, configured
from parcela.cli.output import Output
from parcela.cli.root import Root
from parcela.core.errors import Problem, invalid
from parcela.core.settings import Settings
from parcela.db import migrate as migrations
from parcela.db.database import Database
from parcela.db.mongo import Mongo
from parcela.repositories.maintenance.codec import Checksum
from parcela.repositories.maintenance.mongo import MongoActivityStore, MongoMaintenanceStore, MoveMarker
from parcela.repositories.uow import UnitOfWorkFactory
from parcela.services.inventory.record_store_migration import Proof, StoreKind, StoreMove

app = typer.Typer(no_args_is_help=True)
UNSEEN = (
    "With a database server this command cannot see whether a Parcela process still runs: stop them all first. "
    "When records change during the move, it stops, and nothing is removed."
)
# More than for requests: nobody waits for this at a browser, and a move that gives up has to begin anew.
SELECTION_TIMEOUT_MS = 5_000
ANSWER_TIMEOUT_MS = 60_000


@app.callback()
def store() -> None:
    """Where maintenance records are kept."""


@app.command()
def move(
    ctx: typer.Context,
    to: Annotated[StoreKind, typer.Option("--to", help="Where they shall be: tables of the database, or MongoDB.")],
    replace: Annotated[bool, typer.Option("--replace", help="Throw away what the target has.")] = False,
    as_json: AsJson = False,
) -> None:
    """Move maintenance records and the activity log, prove it by count and checksum, then empty the source.

    Stop every Parcela process first. MONGO_URL names the MongoDB. May be cut off at any time and repeated.
    """
    out = Output(as_json=as_json or ctx.find_root().ensure_object(Root).as_json)
    settings = configured()
    if settings.mongo_url is None:
        text = "Both ends are needed for a move: set MONGO_URL, also when the records leave MongoDB."
        raise invalid("settings_invalid", text, Problem("MONGO_URL", text, "bad_setting"))
    if not settings.resolved_database_url.startswith("sqlite"):
        out.note(UNSEEN)
    with alone(settings):
        migrations.upgrade(settings.resolved_database_url)
        proof = asyncio.run(_move(settings, settings.mongo_url.get_secret_value(), to, replace=replace))
    facts = {"to": to.value, "records": _facts(proof.records), "activity": _facts(proof.activity)}
    out.result(
        facts, "\n".join([f"Moved to '{to.value}'; count and SHA-256 were the same on both sides.", *_lines(proof)])
    )


def _facts(found: Checksum) -> dict[str, int | str]:
    return {"count": found.count, "sha256": found.sha256}


def _lines(proof: Proof) -> list[str]:
    named = (("records", proof.records), ("activity", proof.activity))
    return [f"  {name:<9} {found.count:>9}  {found.sha256}" for name, found in named]


async def _move(settings: Settings, mongo_url: str, to: StoreKind, *, replace: bool) -> Proof:
    database = Database(settings.resolved_database_url)
    mongo = Mongo(mongo_url, selection_timeout_ms=SELECTION_TIMEOUT_MS, answer_timeout_ms=ANSWER_TIMEOUT_MS)
    try:
        stores = MongoMaintenanceStore(mongo), MongoActivityStore(mongo)
        await mongo.start()
        return await StoreMove(UnitOfWorkFactory(database), stores, MoveMarker(mongo)).run(to, replace=replace)
    finally:
        await mongo.aclose()
        await database.aclose()
