"""``parcela zone``."""

from typing import Annotated

import typer

from parcela.cli.client.lookup import find_zone, taken_for
from parcela.cli.declare import SUBJECT, Cli, Yes, command, to_change
from parcela.cli.output import when

app = typer.Typer(no_args_is_help=True, help="Availability zones: named sets of hosts with one provider.")
COLUMNS = (
    ("id", "id"),
    ("name", "name"),
    ("provider", "provider"),
    ("description", "description"),
    ("created", when("created_at")),
)


ZoneRef = Annotated[str, typer.Argument(metavar="ZONE", help="Id or name."), SUBJECT]


@command(app, "list")
def list_zones(cli: Cli) -> None:
    """List the zones."""
    cli.out.table(cli.api.pages("/zones/"), COLUMNS, empty="No zones.")


@command(app, "add")
def add(
    cli: Cli,
    name: Annotated[str, typer.Argument(help="Its name.")],
    provider: Annotated[str, typer.Option(help="libvirt, openstack or simulated; it never changes.")],
    description: Annotated[str, typer.Option(help="A sentence about it.")] = "",
) -> None:
    """Add a zone."""
    body = {"name": name, "provider": provider, "description": description}
    cli.out.record(cli.api.create("/zones/", body), COLUMNS)


@command(app, "set")
def change(
    cli: Cli,
    ref: ZoneRef,
    name: Annotated[str | None, typer.Option(help="New name.")] = None,
    description: Annotated[str | None, typer.Option(help="A sentence about it.")] = None,
) -> None:
    """Rename or describe a zone; what is in it stays."""
    body = to_change(": --name or --description.", name=name, description=description)
    found = find_zone(cli.api, ref)
    cli.out.record(cli.api.change("PATCH", f"/zones/{found['id']}", body), COLUMNS)


@command(app, "delete")
def delete(cli: Cli, ref: ZoneRef, yes: Yes = False) -> None:
    """Remove a zone that has no hosts."""
    zone = find_zone(cli.api, ref)
    cli.sure(f"Delete the zone {zone['id']} '{zone['name']}'?", yes=yes, told=taken_for("zone", ref, zone))
    cli.api.change("DELETE", f"/zones/{zone['id']}")
    cli.out.result(zone, f"Zone {zone['id']} '{zone['name']}' is deleted.")
