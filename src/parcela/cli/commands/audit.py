"""``parcela audit``."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import httpx2
import typer

from parcela.cli.client import Json
from parcela.cli.commanding import Cli, command
from parcela.cli.exits import Exit, fail
from parcela.cli.files import unwritable
from parcela.cli.output import local_time

app = typer.Typer(no_args_is_help=True, help="Who did what to what, when, from where (needs audit:read).")
FORMATS = ("ndjson", "csv")
Actor = Annotated[str | None, typer.Option(help="Only what this user did.")]
Noun = Annotated[str | None, typer.Option(help="Only what was done to this kind of thing, e.g. flavour.")]
NounId = Annotated[str | None, typer.Option("--id", help="Only what was done to the thing with this id.")]
Action = Annotated[str | None, typer.Option(help="Only this action, e.g. flavour.updated, or all of a kind: flavour.*")]
Refused = Annotated[bool, typer.Option("--refused", help="Only failed logins and writes without the right to them.")]
Address = Annotated[str | None, typer.Option(help="Only from this address.")]
Since = Annotated[datetime | None, typer.Option("--from", help="Only from this local time on.")]
Until = Annotated[datetime | None, typer.Option("--to", help="Only before this local time.")]


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


def _filters(**given: Any) -> Json:
    refused = given.pop("refused")
    times = {"from": given.pop("since"), "to": given.pop("until")}
    texts = {name: value.astimezone().isoformat() if value else None for name, value in times.items()}
    return {**given, **texts, "outcome": "refused" if refused else None}


@command(app, "list")
def list_entries(
    cli: Cli,
    actor: Actor = None,
    noun: Noun = None,
    noun_id: NounId = None,
    action: Action = None,
    refused: Refused = False,
    address: Address = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, help="Print so many at most.")] = 50,
) -> None:
    """List the newest entries of the audit trail."""
    filters = _filters(
        actor=actor,
        noun=noun,
        noun_id=noun_id,
        action=action,
        refused=refused,
        address=address,
        since=since,
        until=until,
    )
    cli.out.table(cli.api.pages("/audit", limit, sort="-id", **filters), COLUMNS, empty="No entries.")


@command(app, "export")
def export(
    cli: Cli,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="File to write; - is stdout.")] = Path("-"),
    form: Annotated[str, typer.Option("--format", help="ndjson or csv.")] = "ndjson",
    actor: Actor = None,
    noun: Noun = None,
    noun_id: NounId = None,
    action: Action = None,
    refused: Refused = False,
    address: Address = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """Write every entry that fits, oldest first: a JSON document per line, or CSV."""
    if form not in FORMATS:
        raise fail(Exit.USAGE, "usage", f"The format is '{form}', but must be {' or '.join(FORMATS)}.")
    filters = _filters(
        actor=actor,
        noun=noun,
        noun_id=noun_id,
        action=action,
        refused=refused,
        address=address,
        since=since,
        until=until,
    )
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
