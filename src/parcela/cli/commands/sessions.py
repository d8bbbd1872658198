"""``parcela session``."""

from typing import Annotated

import typer

from parcela.cli.declare import Cli, Limit, Yes, command
from parcela.cli.exits import Exit, fail
from parcela.cli.output import when

app = typer.Typer(no_args_is_help=True, help="Where you are logged in.")
COLUMNS = (
    ("id", "id"),
    ("this one", "current"),
    ("program", "agent"),
    ("from", "ip"),
    ("since", when("started_at")),
    ("last used", when("last_used_at")),
)


@command(app, "list")
def list_sessions(cli: Cli, limit: Limit = None) -> None:
    """List your open sessions."""
    cli.out.table(cli.api.pages("/sessions/", limit, sort="-id"), COLUMNS, empty="No sessions.")


@command(app, "end")
def end(
    cli: Cli,
    ref: Annotated[str | None, typer.Argument(metavar="SESSION", help="Id, or its beginning.")] = None,
    others: Annotated[bool, typer.Option("--others", help="All but this one.")] = False,
    yes: Yes = False,
) -> None:
    """End one of your sessions, or all others."""
    if others == (ref is not None):
        raise fail(Exit.USAGE, "session_missing", "Name a session, or give --others.")
    if others:
        cli.sure("End all your other sessions?", yes=yes)
        cli.api.change("DELETE", "/sessions/")
        cli.out.result({"ended": "others"}, "All your other sessions have ended.")
        return
    found = [row for row in cli.api.pages("/sessions/") if row["id"].startswith(str(ref))]
    if len(found) != 1:
        text = f"{len(found)} sessions begin with '{ref}'; 'parcela session list' prints yours."
        raise fail(Exit.REFUSED, "session_not_found", text)
    cli.api.change("DELETE", f"/sessions/{found[0]['id']}")
    cli.out.result(found[0], f"The session {found[0]['id']} has ended.")
