"""``parcela events``."""

import time
from collections import deque
from collections.abc import Iterable
from typing import Annotated

import typer

from parcela.cli.client.client import Json
from parcela.cli.client.lookup import find_slice
from parcela.cli.client.watching import follow
from parcela.cli.declare import Cli, command
from parcela.cli.output import clean, local_time

app = typer.Typer()
PAGE = 1000


def sentence(event: Json) -> str:
    """An event as one line."""
    about = [f"{what} {event[f'{what}_id']}" for what in ("slice", "vm", "operation") if event[f"{what}_id"]]
    facts = [f"{key}={clean(value)}" for key, value in event["data"].items() if value not in {"", None}]
    words = [f"{event['id']:>6}", local_time(event["at"]), event["type"], *about, *facts]
    return "  ".join(words)


@command(app, "events")
def events(
    cli: Cli,
    follow_on: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens from now, live.")] = False,
    since: Annotated[int | None, typer.Option(min=0, help="Only those after this number.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Print so many at most (without --follow).")] = 100,
    in_slice: Annotated[str | None, typer.Option("--slice", help="Only those of this slice (id or name).")] = None,
    kind: Annotated[
        list[str] | None, typer.Option("--type", help="Only this type, e.g. vm.state; may be given again.")
    ] = None,
) -> None:
    """Print the newest events (with --since: the next ones), or follow them live.

    With --json: one JSON document per line.
    """
    slice_id = find_slice(cli.api, in_slice)["id"] if in_slice else None
    if follow_on:
        for event in follow(cli.api, since, pause=time.sleep, slice_id=slice_id):
            if not kind or event["type"] in kind:
                _print(cli, event)
        return
    filters = {"slice_id": slice_id, "type": kind or None}
    for event in _newest(cli, limit, filters) if since is None else _after(cli, since, limit, filters):
        _print(cli, event)


def _after(cli: Cli, since: int, limit: int, filters: Json) -> list[Json]:
    items: list[Json] = cli.api.get("/events", since=since, limit=limit, **filters)["items"]
    return items


def _newest(cli: Cli, limit: int, filters: Json) -> Iterable[Json]:
    """The last ones; the API lists forwards only, so this walks through all."""
    newest: deque[Json] = deque(maxlen=limit)
    since = 0
    while items := _after(cli, since, PAGE, filters):
        newest += items
        since = items[-1]["id"]
        if len(items) < PAGE:
            break
    return newest


def _print(cli: Cli, event: Json) -> None:
    if cli.out.as_json:
        cli.out.line(event)
    else:
        cli.out.raw(sentence(event) + "\n")
