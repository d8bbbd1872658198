"""``parcela machine``."""

from typing import Annotated

import typer

from parcela.cli.client.client import Json
from parcela.cli.client.lookup import find_machine
from parcela.cli.declare import SUBJECT, Cli, command

app = typer.Typer(no_args_is_help=True, help="The lab's machines: what stands where, and how it is.")
MachineRef = Annotated[str, typer.Argument(metavar="MACHINE", help="Id or code of the machine."), SUBJECT]
Status = Annotated[str | None, typer.Option(help="operational, maintenance, damaged or retired.")]
COLUMNS = (
    ("id", "id"),
    ("code", "code"),
    ("type", "type"),
    ("area", "area"),
    ("status", "status"),
    ("serial", "serial"),
    ("responsible", "responsible"),
    ("host", "host"),
    ("open", "open_maintenance"),
)
DETAILS = (
    *COLUMNS,
    ("host state", "host_state"),
    ("registered", "registered_on"),
    ("notes", "notes"),
    ("archived", "archived_at"),
)


@command(app, "list")
def list_machines(
    cli: Cli,
    search: Annotated[str | None, typer.Option(help="A part of code, serial, type, area or notes.")] = None,
    status: Status = None,
    area: Annotated[str | None, typer.Option(help="Only those of this area.")] = None,
    type_: Annotated[str | None, typer.Option("--type", help="Only those of this type.")] = None,
    archived: Annotated[bool, typer.Option("--archived", help="Those that were archived instead.")] = False,
) -> None:
    """List the machines."""
    wanted: Json = {"search": search, "status": status, "area": area, "type": type_, "archived": archived or None}
    cli.out.table(cli.api.pages("/machines/", sort="code", **wanted), COLUMNS, empty="No machines.")


@command(app, "show")
def show(cli: Cli, ref: MachineRef) -> None:
    """Show a machine."""
    cli.out.record(find_machine(cli.api, ref), DETAILS)


@command(app, "add")
def add(
    cli: Cli,
    code: Annotated[str, typer.Argument(help="Its code, unique whatever the case.")],
    type_: Annotated[str, typer.Option("--type", help="PC, printer, server ...")],
    area: Annotated[str, typer.Option(help="Where it stands.")] = "",
    serial: Annotated[str, typer.Option(help="Serial number.")] = "",
    notes: Annotated[str, typer.Option(help="Anything else.")] = "",
    status: Status = None,
    registered_on: Annotated[str | None, typer.Option(help="Since when it is here, as 2024-03-01; today.")] = None,
) -> None:
    """Register a machine."""
    body: Json = {"code": code, "type": type_, "area": area, "serial": serial, "notes": notes}
    more: Json = {"status": status, "registered_on": registered_on}
    given = {name: value for name, value in more.items() if value}
    cli.out.record(cli.api.create("/machines/", body | given), DETAILS)
