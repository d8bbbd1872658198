"""``parcela audit``."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import httpx2
import typer

from parcela.cli.client.client import Json
from parcela.cli.declare import Cli, Together, command
from parcela.cli.exits import Exit, fail
from parcela.cli.files import unwritable
from parcela.cli.output import local_time

app = typer.Typer(no_args_is_help=True, help="Who did what to what, when, from where (needs audit:read).")
FORMATS = ("ndjson", "csv")


def _what(row: Any) -> str:
    return " ".join(str(part) for part in (row["noun"], row["noun_id"], row["noun_name"]) if part) or "-"


COLUMNS = (
    ("id", "id"),
    ("when", lambda row: local_time(row["at"])),
    ("who", lambda row: row["actor_name"] or "-"),
    ("action", "action"),
    ("what", _what),
    ("outcome", "outcome"),
    ("from", lambda row: row["address"] or "-"),
)


def _filters(
    actor: Annotated[str | None, typer.Option(help="Only what this user did.")] = None,
    noun: Annotated[str | None, typer.Option(help="Only what was done to this kind of thing, e.g. flavour.")] = None,
    noun_id: Annotated[str | None, typer.Option("--id", help="Only what was done to the thing with this id.")] = None,
    action: Annotated[
        str | None, typer.Option(help="Only this action, e.g. flavour.updated, or all of a kind: flavour.*")
    ] = None,
    refused: Annotated[
        bool, typer.Option("--refused", help="Only failed logins and writes without the right to them.")
    ] = False,
    address: Annotated[str | None, typer.Option(help="Only from this address.")] = None,
    since: Annotated[datetime | None, typer.Option("--from", help="Only from this local time on.")] = None,
    until: Annotated[datetime | None, typer.Option("--to", help="Only before this local time.")] = None,
) -> Json:
    """The query of the API; None is left out of it."""
    times = {"from": since, "to": until}
    texts = {name: value.astimezone().isoformat() if value else None for name, value in times.items()}
    said = {"actor": actor, "noun": noun, "noun_id": noun_id, "action": action, "address": address}
    return {**said, **texts, "outcome": "refused" if refused else None}


Filters = Annotated[Json, Together(_filters)]


@command(app, "list")
def list_entries(
    cli: Cli,
    filters: Filters,
    limit: Annotated[int, typer.Option(min=1, help="Print so many at most.")] = 50,
) -> None:
    """List the newest entries of the audit trail."""
    cli.out.table(cli.api.pages("/audit", limit, sort="-id", **filters), COLUMNS, empty="No entries.")


REFUSED = (
    ("hour", lambda row: local_time(row["hour"])),
    ("who", lambda row: row["actor_name"] or "-"),
    ("action", "action"),
    ("reason", "reason"),
    ("account", lambda row: row["noun_id"] or "-"),
    ("from", lambda row: row["origin"] or "-"),
    ("count", "count"),
    ("last", lambda row: local_time(row["last_at"])),
)


@command(app, "refusals")
def refusals(cli: Cli, limit: Annotated[int, typer.Option(min=1, help="Print so many at most.")] = 50) -> None:
    """Show how often what was refused, the newest first. The first of each kind in an hour is in the list, too."""
    cli.out.table(cli.api.pages("/audit/refusals", limit, sort="-id"), REFUSED, empty="Nothing was refused.")


@command(app, "export")
def export(
    cli: Cli,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="File to write; - is stdout.")] = Path("-"),
    form: Annotated[str, typer.Option("--format", help="ndjson or csv.")] = "ndjson",
    *,
    filters: Filters,
) -> None:
    """Write every entry that fits, oldest first: a JSON document per line, or CSV."""
    if form not in FORMATS:
        raise fail(Exit.USAGE, "usage", f"The format is '{form}', but must be {' or '.join(FORMATS)}.")
    try:
        with cli.api.stream("/audit/export", {}, format=form, **filters) as answer:
            _save(answer, path)
    except httpx2.TransportError as error:
        raise fail(Exit.UNAVAILABLE, "export_cut_off", f"The connection broke: {error}. Export again.") from error
    except OSError as error:
        raise unwritable(path, error) from error


def _save(answer: httpx2.Response, path: Path) -> None:
    if str(path) == "-":
        for text in answer.iter_text():
            sys.stdout.write(text)
        sys.stdout.flush()
        return
    with path.open("wb") as file:
        for part in answer.iter_bytes():
            file.write(part)
