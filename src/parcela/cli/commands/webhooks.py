"""``parcela webhook``."""

from typing import Annotated

import typer

from parcela.cli.client.client import Json
from parcela.cli.client.lookup import find, number_of, taken_for
from parcela.cli.declare import SUBJECT, Cli, Yes, command
from parcela.cli.output import briefly, when

app = typer.Typer(no_args_is_help=True, help="Webhooks: other servers that are told of events.")
COLUMNS = (
    ("id", "id"),
    ("name", "name"),
    ("url", "url"),
    ("events", lambda row: ", ".join(row["event_types"]) or "all"),
    ("active", "is_active"),
    ("failing since", when("failing_since")),
)
DELIVERY_COLUMNS = (
    ("id", "id"),
    ("event", "event_id"),
    ("type", "event_type"),
    ("state", "state"),
    ("attempts", "attempts"),
    ("answer", "response_status"),
    ("error", "error"),
    ("next attempt", when("next_attempt_at")),
)
Ref = Annotated[str, typer.Argument(metavar="WEBHOOK", help="Id or name."), SUBJECT]


def _find(cli: Cli, ref: str) -> Json:
    return find(cli.api, "webhook", "/webhooks", ref)


def _path(cli: Cli, ref: str) -> str:
    return f"/webhooks/{_find(cli, ref)['id']}"


@command(app, "list")
def list_webhooks(cli: Cli) -> None:
    """List your webhooks; administrators see all."""
    cli.out.table(cli.api.pages("/webhooks/"), COLUMNS, empty="No webhooks.")


@command(app, "add")
def add(
    cli: Cli,
    name: Annotated[str, typer.Argument(help="What it is for.")],
    url: Annotated[str, typer.Argument(help="Where to send events to: https://...")],
    event: Annotated[
        list[str] | None, typer.Option("--event", help="Only these, e.g. vm.state or slice.* (may be given again).")
    ] = None,
) -> None:
    """Have a server told of events. The secret that signs them is printed this once, on stdout."""
    made = cli.api.post("/webhooks/", {"name": name, "url": url, "event_types": event or []})
    cli.out.note(f"Webhook {made['id']} '{made['name']}'; keep its secret, it is not shown again:")
    cli.out.result(made, made["secret"])


@command(app, "set")
def set_active(
    cli: Cli,
    ref: Ref,
    active: Annotated[bool, typer.Option("--on/--off", help="Switch it on (from now) or off.")],
) -> None:
    """Switch a webhook on or off."""
    cli.out.record(cli.api.change("PATCH", _path(cli, ref), {"is_active": active}), COLUMNS)


@command(app, "rotate")
def rotate(cli: Cli, ref: Ref) -> None:
    """Give it a new secret, printed this once on stdout; the old one signs too for a day."""
    made = cli.api.post(f"{_path(cli, ref)}/rotate-secret")
    cli.out.result(made, made["secret"])


@command(app, "deliveries")
def deliveries(
    cli: Cli,
    ref: Ref,
    state: Annotated[str | None, typer.Option(help="Only these: pending, delivered or failed.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Print so many at most.")] = 50,
) -> None:
    """List what became of each event, the newest first."""
    rows = cli.api.pages(f"{_path(cli, ref)}/deliveries", limit, sort="-id", state=state)
    cli.out.table(rows, briefly(DELIVERY_COLUMNS), empty="No deliveries.")


@command(app, "resend")
def resend(cli: Cli, ref: Ref, delivery: Annotated[str, typer.Argument(metavar="DELIVERY", help="Its id.")]) -> None:
    """Deliver an event once more, now."""
    number = number_of(delivery, "delivery")
    row = cli.api.post(f"{_path(cli, ref)}/deliveries/{number}/resend")
    cli.out.result(row, f"Event {row['event_id']} goes out again.")


@command(app, "delete")
def delete(cli: Cli, ref: Ref, yes: Yes = False) -> None:
    """Remove a webhook and its log of deliveries."""
    found = _find(cli, ref)
    told = taken_for("webhook", ref, found)
    cli.sure(f"Delete the webhook {found['id']} '{found['name']}'?", yes=yes, told=told)
    cli.api.change("DELETE", f"/webhooks/{found['id']}")
    cli.out.result({"id": found["id"]}, f"Webhook {found['id']} '{found['name']}' is deleted.")
