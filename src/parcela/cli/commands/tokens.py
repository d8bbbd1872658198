"""``parcela token``."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from parcela.cli.client.lookup import choose, taken_for
from parcela.cli.declare import SUBJECT, Cli, command
from parcela.cli.durations import Duration
from parcela.cli.output import when

app = typer.Typer(no_args_is_help=True, help="Personal tokens: let programs act for you (PARCELA_TOKEN).")

COLUMNS = (
    ("id", "id"),
    ("name", "name"),
    ("scopes", "scopes"),
    ("created", when("created_at")),
    ("expires", when("expires_at")),
    ("last used", when("last_used_at")),
    ("from", "ip"),
    ("for vm_api", lambda row: "yes" if row.get("speaks_vm_api") else ""),
)


@command(app, "list")
def list_tokens(cli: Cli) -> None:
    """List your personal tokens."""
    cli.out.table(cli.api.pages("/tokens/"), COLUMNS, empty="No tokens.")


@command(app, "create")
def create(
    cli: Cli,
    name: Annotated[str, typer.Argument(help="What it is for, e.g. laptop.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="What it may do at most, e.g. vm:* (may be given again); all: '*'.")
    ] = None,
    expires_in: Annotated[Duration | None, Duration.option("End of its life, e.g. 30d; never when left out.")] = None,
    vm_api: Annotated[
        bool,
        typer.Option(
            "--vm-api",
            help="For a program written for the older API vm_api, not for this command: answers in its shapes.",
        ),
    ] = False,
) -> None:
    """Make a personal token. Its secret is printed this once, on stdout."""
    until = datetime.now(UTC) + timedelta(seconds=expires_in.seconds) if expires_in else None
    body = {
        "name": name,
        "scopes": scope or ["*"],
        "expires_at": until.isoformat() if until else None,
        "speaks_vm_api": vm_api,
    }
    made = cli.api.post("/tokens/", body)
    cli.out.note(f"Token {made['id']} '{made['name']}'; keep it, it is not shown again:")
    cli.out.result(made, made["token"])


@command(app, "revoke")
def revoke(cli: Cli, ref: Annotated[str, typer.Argument(metavar="TOKEN", help="Id or name."), SUBJECT]) -> None:
    """Make a personal token worthless from now on."""
    token = choose("token", ref, cli.api.pages("/tokens/"))
    if told := taken_for("token", ref, token):
        cli.out.note(told)
    cli.api.change("DELETE", f"/tokens/{token['id']}")
    cli.out.result(token, f"Token {token['id']} '{token['name']}' is revoked.")
